/* The weight store: a list of derived forms, looked up by form and sources under a lock (only while programs are made).
 */
#include "runtime/weights.h"

#include <pthread.h>

#include "base/context_internal.h"
#include "base/error.h"
#include "tensor/convert.h"

enum { MAX_PARTS = 8, WIDEN_ROWS = 64 };

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
    const unsigned char *data;
    ds_dtype dtype;
    size_t rows, cols;
} source;

static bool raw_floats(size_t rows, size_t cols, size_t *floats) { return ds__size_mul(rows, cols, floats); }

static void put_dense(const float *rows, size_t ld, size_t count, size_t cols, size_t first, float *out) {
    for (size_t i = 0; i < count; i++) memcpy(out + (first + i) * cols, rows + i * ld, cols * sizeof *rows);
}

const ds__weight_form ds__weight_form_raw = {"raw", raw_floats, NULL};
const ds__weight_form ds__weight_form_dense = {"dense", raw_floats, put_dense};

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
    source s = {.data = value->data, .dtype = value->dtype, .rows = 1, .cols = 1};
    if (value->shape.rank > 0) s.rows = (size_t)value->shape.dims[0].base;
    for (int i = 1; i < value->shape.rank; i++) s.cols *= (size_t)value->shape.dims[i].base;
    return s;
}

/* Gives the pages of a source back, if they are a file's. */
static void drop_pages(const ds__weight_store *store, const source *s) {
    size_t bytes = s->rows * s->cols * ds_dtype_size(s->dtype);
    for (size_t i = 0; i < store->map_count; i++) {
        const ds__file_map *map = store->maps[i];
        uintptr_t start = (uintptr_t)map->data, at = (uintptr_t)s->data;
        if (map->data && at >= start && at - start < map->size) ds__file_map_drop(map, at - start, bytes);
    }
}

/* Brings one source into the form, widening a block of rows at a time where it is not stored as floats. */
static ds_status put_source(ds__weight_store *store, const source *s, const derived *into, size_t first,
                            ds_error *error) {
    size_t element = ds_dtype_size(s->dtype), bytes = WIDEN_ROWS * s->cols * sizeof(float);
    if (s->dtype == DS_F32 && (uintptr_t)s->data % sizeof(float) == 0) {
        into->form->put((const float *)(const void *)s->data, s->cols, s->rows, s->cols, first, into->data);
        return DS_OK;
    }
    ds__heap *heap = &store->context->heap;
    float *block = ds__alloc(heap, bytes);
    if (!block) return ds__alloc_failed(heap, bytes, "widening a weight", error);
    ds_status status = DS_OK;
    for (size_t row = 0; row < s->rows && status == DS_OK; row += WIDEN_ROWS) {
        size_t count = s->rows - row < WIDEN_ROWS ? s->rows - row : WIDEN_ROWS;
        status = ds__widen_to_f32(s->dtype, s->data + row * s->cols * element, block, count * s->cols);
        if (status == DS_OK) into->form->put(block, s->cols, count, s->cols, first + row, into->data);
    }
    ds__free(heap, block, bytes);
    return status;
}

static ds_status fill(ds__weight_store *store, const source *sources, const derived *into, ds_error *error) {
    if (into->form == &ds__weight_form_raw) {
        memcpy(into->data, sources[0].data, into->bytes);
    } else {
        size_t first = 0;
        for (int32_t i = 0; i < into->parts; i++) {
            DS_TRY(put_source(store, &sources[i], into, first, error));
            first += sources[i].rows;
        }
    }
    for (int32_t i = 0; i < into->parts; i++) drop_pages(store, &sources[i]);
    return DS_OK;
}

/* Makes the form and remembers it. */
static ds_status derive(ds__weight_store *store, const char *name, const source *sources, derived *item,
                        ds_error *error) {
    ds__heap *heap = &store->context->heap;
    size_t rows = 0, floats;
    for (int32_t i = 0; i < item->parts; i++) rows += sources[i].rows;
    bool fits =
        item->form->floats(rows, sources[0].cols, &floats) &&
        ds__size_mul(floats, item->form == &ds__weight_form_raw ? ds_dtype_size(sources[0].dtype) : sizeof(float),
                     &item->bytes);
    if (!fits)
        return ds__fail(error, DS_SHAPE_MISMATCH, "weight \"%s\" of %zu x %zu elements is too large", name, rows,
                        sources[0].cols);
    if (!ds__grow(heap, (void **)&store->items, &store->item_capacity, store->item_count + 1, sizeof *store->items))
        return ds__alloc_failed(heap, sizeof *store->items, "the list of weights", error);
    item->data = ds__alloc_zeroed(heap, item->bytes);
    if (!item->data) return ds__alloc_failed(heap, item->bytes, name, error);
    ds_status status = fill(store, sources, item, error);
    if (status != DS_OK) {
        ds__free(heap, item->data, item->bytes);
        return status;
    }
    store->items[store->item_count++] = *item;
    return DS_OK;
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

ds_status ds__weight_store_get(ds__weight_store *store, const ds_graph *graph, int32_t index,
                               const ds__weight_form *form, ds_tensor *out, ds_error *error) {
    const ds__value *value = &graph->values[index];
    derived item = {.form = form, .parts = value->part_count ? value->part_count : 1};
    source sources[MAX_PARTS];
    if (item.parts > MAX_PARTS)
        return ds__fail(error, DS_INTERNAL, "weight \"%s\" has %d parts, at most %d are possible", value->name,
                        item.parts, MAX_PARTS);
    for (int32_t i = 0; i < item.parts; i++) {
        sources[i] = source_of(value->part_count ? &graph->values[value->parts[i]] : value);
        item.sources[i] = sources[i].data;
    }
    int64_t shape[DS_MAX_RANK];
    for (int i = 0; i < value->shape.rank; i++) shape[i] = value->shape.dims[i].base;
    ds_dtype dtype = form == &ds__weight_form_raw ? value->dtype : DS_F32;
    *out = ds_tensor_dense(dtype, value->shape.rank, shape, NULL);
    bool aligned = (uintptr_t)sources[0].data % ds_dtype_size(value->dtype) == 0;
    bool in_place = item.parts == 1 && aligned &&
                    (form == &ds__weight_form_raw || (form == &ds__weight_form_dense && value->dtype == DS_F32));
    if (in_place) {
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
