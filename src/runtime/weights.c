/* The weight store: a list of derived forms, looked up by form and sources under a lock (only while programs are made);
 * a form is made by all threads of the pool. */
#include "runtime/weights.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/context_internal.h"
#include "base/error.h"
#include "tensor/convert.h"
#include "tensor/quantize.h"

enum { MAX_PARTS = 8, TASK_ROWS = 64, DROP_TASKS = 32 };

/* A derived form: made from the rows of `parts` source tensors. */
typedef struct derived {
    const ds__weight_form *form;
    const void *sources[MAX_PARTS];
    int32_t parts;
    void *data;
    size_t bytes;
} derived;

struct ds__weight_store {
    ds_context *context;
    pthread_mutex_t lock;
    const ds__file_map **maps;
    size_t map_count, map_capacity;
    derived *items;
    size_t item_count, item_capacity;
};

/* One source tensor as rows. */
typedef struct source {
    const char *name;
    const unsigned char *data, *scales; /* scales: of DS_I8, perhaps unaligned */
    ds_dtype dtype;
    size_t rows, cols;
} source;

static bool dense_bytes(size_t rows, size_t cols, size_t *bytes) {
    return ds__size_mul(rows, cols, bytes) && ds__size_mul(*bytes, sizeof(float), bytes);
}

static void put_dense(const float *rows, size_t ld, size_t count, size_t cols, size_t first, void *out) {
    for (size_t i = 0; i < count; i++) memcpy((float *)out + (first + i) * cols, rows + i * ld, cols * sizeof *rows);
}

const ds__weight_form ds__weight_form_raw = {.name = "raw"};
const ds__weight_form ds__weight_form_dense = {"dense", DS_F32, dense_bytes, NULL, put_dense, NULL};

ds_status ds__weight_store_create(ds_context *context, ds__weight_store **out, ds_error *error) {
    ds__weight_store *store = ds__alloc_zeroed(&context->heap, sizeof *store);
    if (!store) return ds__alloc_failed(&context->heap, sizeof *store, "the weight store", error);
    store->context = context;
    pthread_mutex_init(&store->lock, NULL);
    *out = store;
    return DS_OK;
}

void ds__weight_store_destroy(ds__weight_store *store) {
    if (!store) return;
    ds__heap *heap = &store->context->heap;
    for (size_t i = 0; i < store->item_count; i++) ds__free(heap, store->items[i].data, store->items[i].bytes);
    ds__free(heap, store->items, store->item_capacity * sizeof *store->items);
    ds__free(heap, store->maps, store->map_capacity * sizeof *store->maps);
    pthread_mutex_destroy(&store->lock);
    ds__free(heap, store, sizeof *store);
}

ds_status ds__weight_store_add_map(ds__weight_store *store, const ds__file_map *map, ds_error *error) {
    ds__heap *heap = &store->context->heap;
    if (!ds__grow(heap, (void **)&store->maps, &store->map_capacity, store->map_count + 1, sizeof *store->maps))
        return ds__alloc_failed(heap, sizeof *store->maps, "the list of weight files", error);
    store->maps[store->map_count++] = map;
    return DS_OK;
}

uint64_t ds__weight_store_bytes(ds__weight_store *store) {
    uint64_t bytes = 0;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->item_count; i++) bytes += store->items[i].bytes;
    pthread_mutex_unlock(&store->lock);
    return bytes;
}

static source source_of(const ds__value *value) {
    source s = {
        .name = value->name, .data = value->data, .scales = value->scales, .dtype = value->dtype, .rows = 1, .cols = 1};
    if (value->shape.rank > 0) s.rows = (size_t)value->shape.dims[0].base;
    for (int i = 1; i < value->shape.rank; i++) s.cols *= (size_t)value->shape.dims[i].base;
    return s;
}

/* Gives the pages of some rows of a source back, if they are a file's, and what the kernel has mapped around them: up
 * to 2 MiB, which may belong to others that have been given back already.  Whoever still reads there gets them again.
 */
static void drop_pages(const ds__weight_store *store, const source *s, size_t row, size_t count) {
    const size_t row_bytes = s->cols * ds_dtype_size(s->dtype), around = 2 << 20;
    for (size_t i = 0; i < store->map_count; i++) {
        const ds__file_map *map = store->maps[i];
        uintptr_t start = (uintptr_t)map->data, at = (uintptr_t)s->data + row * row_bytes;
        if (!map->data || at < start || at - start >= map->size) continue;
        size_t first = at - start, last = first + count * row_bytes;
        first = first > around ? first - around : 0;
        last = map->size - last > around ? last + around : map->size;
        ds__file_map_drop(map, first, last - first);
    }
}

/* Bringing sources into a form, shared out over the pool: task by task a block of rows of one source. */
typedef struct fill_job {
    const ds__weight_store *store;
    const derived *into;
    const source *source;
    size_t first;         /* the source's place in the whole */
    float *blocks;        /* for each worker TASK_ROWS rows of floats, where the source holds something else */
    _Atomic bool refused; /* a type that cannot be widened */
    _Atomic bool broken;  /* codes or a scale that break the scheme */
} fill_job;

static bool is_scale(float scale) { return scale >= 0 && isfinite(scale); }

/* Rows of codes: handed on as they are, or widened into `block`. */
static void put_codes(fill_job *job, size_t row, size_t count, float *block) {
    const source *s = job->source;
    const derived *into = job->into;
    const int8_t *codes = (const int8_t *)s->data + row * s->cols;
    float scales[TASK_ROWS];
    memcpy(scales, s->scales + row * sizeof *scales, count * sizeof *scales);
    for (size_t i = 0; i < count; i++) /* they come from a file; sums of other codes could saturate */
        if (!is_scale(scales[i]) || ds__weight_codes_broken_at(codes + i * s->cols, s->cols) < s->cols)
            atomic_store(&job->broken, true);
    if (into->form->put_codes) {
        into->form->put_codes(codes, scales, count, s->cols, job->first + row, into->data);
        return;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t p = 0; p < s->cols; p++) block[i * s->cols + p] = (float)codes[i * s->cols + p] * scales[i];
    into->form->put(block, s->cols, count, s->cols, job->first + row, into->data);
}

static void put_part(void *argument, int task, int worker) {
    fill_job *job = argument;
    const source *s = job->source;
    const derived *into = job->into;
    size_t row = (size_t)task * TASK_ROWS, count = s->rows - row < TASK_ROWS ? s->rows - row : TASK_ROWS;
    float *block = job->blocks ? job->blocks + (size_t)worker * TASK_ROWS * s->cols : NULL;
    if (s->dtype == DS_I8) {
        put_codes(job, row, count, block);
    } else if (!block) {
        const float *rows = (const float *)(const void *)s->data + row * s->cols;
        into->form->put(rows, s->cols, count, s->cols, job->first + row, into->data);
    } else {
        const unsigned char *stored = s->data + row * s->cols * ds_dtype_size(s->dtype);
        if (ds__widen_to_f32(s->dtype, stored, block, count * s->cols) != DS_OK)
            atomic_store(&job->refused, true);
        else
            into->form->put(block, s->cols, count, s->cols, job->first + row, into->data);
    }
    /* On the way, since a table may be larger than everything else, but not for every task: it stops all threads. */
    if (task % DROP_TASKS == DROP_TASKS - 1)
        drop_pages(job->store, s, row + count - DROP_TASKS * TASK_ROWS, DROP_TASKS * TASK_ROWS);
}

/* The first row that breaks the scheme, whichever a thread met first. */
static ds_status broken_codes(const source *s, ds_error *error) {
    for (size_t row = 0; row < s->rows; row++) {
        float scale;
        memcpy(&scale, s->scales + row * sizeof scale, sizeof scale);
        if (!is_scale(scale))
            return ds__fail(error, DS_BAD_FORMAT,
                            "tensor \"%s\": row %zu has scale %g, expected a finite number from 0", s->name, row,
                            (double)scale);
        const int8_t *codes = (const int8_t *)s->data + row * s->cols;
        const size_t at = ds__weight_codes_broken_at(codes, s->cols);
        if (at < s->cols)
            return ds__fail(error, DS_BAD_FORMAT,
                            "tensor \"%s\": row %zu has the codes %d and %d at input %zu, expected none of -128 and "
                            "magnitudes of at most 128 together; quantise the model with 'deepseek quantize'",
                            s->name, row, codes[at], at + 1 < s->cols ? codes[at + 1] : 0, at);
    }
    return DS_OK;
}

static ds_status put_source(ds__weight_store *store, const source *s, const derived *into, size_t first,
                            ds_error *error) {
    ds__heap *heap = &store->context->heap;
    ds__pool *pool = store->context->pool;
    fill_job job = {.store = store, .into = into, .source = s, .first = first};
    bool as_floats = s->dtype == DS_F32 && (uintptr_t)s->data % sizeof(float) == 0;
    size_t bytes = (size_t)ds__pool_threads(pool) * TASK_ROWS * s->cols * sizeof(float);
    if (!as_floats) job.blocks = ds__alloc(heap, bytes);
    if (!as_floats && !job.blocks) return ds__alloc_failed(heap, bytes, "widening a weight", error);
    ds__pool_run(pool, (int)((s->rows + TASK_ROWS - 1) / TASK_ROWS), put_part, &job);
    ds__free(heap, job.blocks, bytes);
    if (job.broken) return broken_codes(s, error);
    if (!job.refused) return DS_OK;
    return ds__fail(error, DS_UNSUPPORTED, "a weight of type %s cannot be widened to float32", ds_dtype_name(s->dtype));
}

static size_t rows_of(const source *sources, int32_t parts) {
    size_t rows = 0;
    for (int32_t i = 0; i < parts; i++) rows += sources[i].rows;
    return rows;
}

static ds_status fill(ds__weight_store *store, const source *sources, const derived *into, ds_error *error) {
    if (into->form == &ds__weight_form_raw) {
        memcpy(into->data, sources[0].data, into->bytes);
    } else {
        size_t first = 0;
        if (into->form->start) into->form->start(rows_of(sources, into->parts), sources[0].cols, into->data);
        for (int32_t i = 0; i < into->parts; i++) {
            DS_TRY(put_source(store, &sources[i], into, first, error));
            first += sources[i].rows;
        }
    }
    for (int32_t i = 0; i < into->parts; i++)
        drop_pages(store, &sources[i], 0, sources[i].rows); /* edges between tasks */
    return DS_OK;
}

static bool form_bytes(const ds__weight_form *form, const source *first, size_t rows, size_t *bytes) {
    if (form == &ds__weight_form_raw)
        return ds__size_mul(rows, first->cols, bytes) && ds__size_mul(*bytes, ds_dtype_size(first->dtype), bytes);
    return form->bytes(rows, first->cols, bytes) && rows / TASK_ROWS < INT32_MAX;
}

static const derived *find(const ds__weight_store *store, const derived *wanted) {
    for (size_t i = 0; i < store->item_count; i++) {
        const derived *item = &store->items[i];
        if (item->form == wanted->form && item->parts == wanted->parts &&
            memcmp(item->sources, wanted->sources, (size_t)wanted->parts * sizeof *wanted->sources) == 0)
            return item;
    }
    return NULL;
}

/* What a weight in a form is made of; data is NULL. */
static ds_status describe(const ds_graph *graph, int32_t index, const ds__weight_form *form, derived *item,
                          source *sources, ds_error *error) {
    const ds__value *value = &graph->values[index];
    *item = (derived){.form = form, .parts = value->part_count ? value->part_count : 1};
    if (item->parts > MAX_PARTS)
        return ds__fail(error, DS_INTERNAL, "weight \"%s\" has %d parts, at most %d are possible", value->name,
                        item->parts, MAX_PARTS);
    for (int32_t i = 0; i < item->parts; i++) {
        sources[i] = source_of(value->part_count ? &graph->values[value->parts[i]] : value);
        item->sources[i] = sources[i].data;
    }
    size_t rows = rows_of(sources, item->parts);
    if (form_bytes(form, sources, rows, &item->bytes)) return DS_OK;
    return ds__fail(error, DS_SHAPE_MISMATCH, "weight \"%s\" of %zu x %zu elements is too large", value->name, rows,
                    sources[0].cols);
}

/* Whether the weight can be used where it lies.  Small vectors are copied: they are strewn all over the file, and the
 * kernel maps up to 2 MiB around each that is touched. */
static bool is_in_place(const derived *item, const source *first) {
    enum { SMALL_BYTES = 1 << 20 };
    bool aligned = (uintptr_t)first->data % ds_dtype_size(first->dtype) == 0;
    bool dense = item->form == &ds__weight_form_dense && first->dtype == DS_F32 && item->bytes > SMALL_BYTES;
    return item->parts == 1 && aligned && (item->form == &ds__weight_form_raw || dense);
}

/* Makes the form and remembers it. */
static ds_status derive(ds__weight_store *store, const char *name, const source *sources, derived *item,
                        ds_error *error) {
    ds__heap *heap = &store->context->heap;
    if (!ds__grow(heap, (void **)&store->items, &store->item_capacity, store->item_count + 1, sizeof *store->items))
        return ds__alloc_failed(heap, sizeof *store->items, "the list of weights", error);
    item->data = ds__alloc(heap, item->bytes);
    if (!item->data) return ds__alloc_failed(heap, item->bytes, name, error);
    ds_status status = fill(store, sources, item, error);
    if (status != DS_OK) {
        ds__free(heap, item->data, item->bytes);
        return status;
    }
    store->items[store->item_count++] = *item;
    return DS_OK;
}

ds_status ds__weight_store_get(ds__weight_store *store, const ds_graph *graph, int32_t index,
                               const ds__weight_form *form, ds_tensor *out, ds_error *error) {
    const ds__value *value = &graph->values[index];
    derived item;
    source sources[MAX_PARTS];
    int64_t shape[DS_MAX_RANK];
    DS_TRY(describe(graph, index, form, &item, sources, error));
    for (int i = 0; i < value->shape.rank; i++) shape[i] = value->shape.dims[i].base;
    ds_dtype dtype = form == &ds__weight_form_raw ? value->dtype : form->dtype;
    *out = ds_tensor_dense(dtype, value->shape.rank, shape, NULL);
    if (is_in_place(&item, sources)) {
        out->data = (void *)sources[0].data;
        return DS_OK;
    }
    pthread_mutex_lock(&store->lock);
    const derived *found = find(store, &item);
    ds_status status = found ? DS_OK : derive(store, value->name, sources, &item, error);
    out->data = found ? found->data : item.data;
    pthread_mutex_unlock(&store->lock);
    return status;
}
