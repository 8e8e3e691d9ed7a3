/* Quantising a folder: which tensors, their codes, and the files around them. */
#include "pipeline/quantize_folder.h"

#include <math.h>
#include <stdio.h>

#include "base/context_internal.h"
#include "base/error.h"
#include "formats/safetensors_header.h"
#include "pipeline/copy_folder.h"
#include "tensor/convert.h"
#include "tensor/quantize.h"

enum { TASK_ROWS = 64 };

typedef struct job {
    ds_context *context;
    const ds_quantize_options *options;
    ds__folder folder;
    ds__arena arena; /* names, lists */
    ds__save save;
    bool *chosen; /* [tensors]: to be quantised */
    size_t tensors, quantized;
} job;

/* Quantising one matrix, shared out over the pool by rows. */
typedef struct matrix_job {
    const ds__safetensor *tensor;
    size_t rows, cols;
    int8_t *codes;
    float *scales, *blocks; /* blocks: a row of floats for each worker */
    double *errors, *sizes; /* of each row, squared; not finite where the row is not */
} matrix_job;

static void quantize_rows(void *argument, int task, int worker) {
    matrix_job *m = argument;
    const size_t first = (size_t)task * TASK_ROWS, element = ds_dtype_size(m->tensor->dtype);
    float *row = m->blocks + (size_t)worker * m->cols;
    for (size_t r = first; r < first + TASK_ROWS && r < m->rows; r++) {
        if (ds__widen_to_f32(m->tensor->dtype, m->tensor->data + r * m->cols * element, row, m->cols) != DS_OK) return;
        double error = 0, size = 0;
        for (size_t p = 0; p < m->cols; p++) size += (double)row[p] * (double)row[p];
        m->scales[r] = ds__weight_scale(ds__weight_range_of(row, m->cols));
        const float factor = ds__weight_factor(m->scales[r]);
        for (size_t p = 0; p < m->cols && isfinite(size); p++) {
            int8_t code = ds__weight_code(row[p], factor);
            double miss = (double)row[p] - (double)m->scales[r] * code;
            m->codes[r * m->cols + p] = code;
            error += miss * miss;
        }
        m->errors[r] = error;
        m->sizes[r] = size;
    }
}

static double sum(const double *values, size_t count) {
    double total = 0;
    for (size_t i = 0; i < count; i++) total += values[i];
    return total;
}

/* Codes and scales of a matrix, into memory of the arena `into`; *error_share as ds_quantized_tensor has it. */
static ds_status quantize(job *j, const ds__safetensor *tensor, ds__arena *into, matrix_job *m, double *error_share,
                          ds_error *error) {
    ds__pool *pool = j->context->pool;
    *m = (matrix_job){.tensor = tensor, .rows = (size_t)tensor->shape[0], .cols = (size_t)tensor->shape[1]};
    size_t block = (size_t)ds__pool_threads(pool) * m->cols * sizeof *m->blocks;
    m->codes = ds__arena_alloc(into, m->rows * m->cols);
    m->scales = ds__arena_alloc(into, m->rows * sizeof *m->scales);
    m->errors = ds__arena_zeroed(into, m->rows * sizeof *m->errors);
    m->sizes = ds__arena_zeroed(into, m->rows * sizeof *m->sizes);
    m->blocks = ds__arena_alloc(into, block);
    if (!m->codes || !m->scales || !m->errors || !m->sizes || !m->blocks)
        return ds__alloc_failed(&j->context->heap, m->rows * m->cols + block, tensor->name.data, error);
    ds__pool_run(pool, (int)((m->rows + TASK_ROWS - 1) / TASK_ROWS), quantize_rows, m);
    for (size_t r = 0; r < m->rows; r++)
        if (!isfinite(m->sizes[r]))
            return ds__fail(error, DS_BAD_FORMAT, "%s: row %zu of tensor \"%s\" holds a NaN or an infinity",
                            tensor->path, r, tensor->name.data);
    double size = sum(m->sizes, m->rows);
    *error_share = size > 0 ? sqrt(sum(m->errors, m->rows) / size) : 0;
    return DS_OK;
}

/* Marks the tensors that the folder's own graph would bring to int8. */
static ds_status choose(job *j, ds_error *error) {
    ds_graph *graph;
    ds__graph_wish wish = {
        .output = DS_OUTPUT_EMBEDDING,
        .pooling = j->folder.pooling,
        .plan = {DS__PRECISION_INT8, DS__PRECISION_F32, j->options->exclude, j->options->exclude_count},
    };
    DS_TRY(ds__graph_create(j->context, &graph, error));
    ds_status status = ds__folder_build_graph(&j->folder, &wish, graph, NULL, error);
    for (size_t v = 0; status == DS_OK && v < graph->value_count; v++) {
        const ds__value *value = &graph->values[v];
        if (value->precision != DS__PRECISION_INT8 || value->dtype == DS_I8 ||
            value->shape.dims[1].base > DS__QUANTIZE_MAX_K)
            continue;
        for (size_t i = 0; i < j->tensors; i++)
            if (ds__weights_at(j->folder.weights, i)->data == value->data && !j->chosen[i]) {
                j->chosen[i] = true;
                j->quantized++;
            }
    }
    ds__graph_destroy(graph);
    return status;
}

/* The tensors of the new file: wide types first, so that each is aligned to its element. */
typedef struct entry {
    ds__stored_tensor stored;
    const ds__safetensor *source;
    bool codes, scales; /* of a chosen matrix; neither: as it is stored */
    size_t element;
} entry;

static bool scale_name(job *j, const ds__safetensor *tensor, const char **out) {
    size_t size = tensor->name.size + sizeof "_scale";
    char *name = ds__arena_alloc(&j->arena, size);
    if (name) snprintf(name, size, "%s_scale", tensor->name.data);
    *out = name;
    return name != NULL;
}

static size_t list_entries(job *j, entry *entries) {
    size_t count = 0;
    for (size_t element = 8; element > 0; element /= 2)
        for (size_t i = 0; i < j->tensors; i++) {
            const ds__safetensor *t = ds__weights_at(j->folder.weights, i);
            entry e = {.source = t, .element = t->known_dtype ? ds_dtype_size(t->dtype) : 1};
            e.stored = (ds__stored_tensor){t->name.data, t->dtype_name.data, t->rank, {0}, t->bytes};
            memcpy(e.stored.shape, t->shape, sizeof e.stored.shape);
            if (!j->chosen[i]) {
                if (e.element == element) entries[count++] = e;
                continue;
            }
            if (element == 4) {
                e.scales = true;
                e.stored = (ds__stored_tensor){NULL, "F32", 1, {t->shape[0]}, (size_t)t->shape[0] * sizeof(float)};
                if (!scale_name(j, t, &e.stored.name)) return 0;
                entries[count++] = e;
            } else if (element == 1) {
                e.codes = true;
                e.stored.dtype = "I8";
                e.stored.bytes = (size_t)t->shape[0] * (size_t)t->shape[1];
                entries[count++] = e;
            }
        }
    return count;
}

/* One entry's data. A matrix is quantised twice, once for its scales and once for its codes: holding all codes until
 * the end would cost the memory that this is meant to save. */
static ds_status write_entry(job *j, const entry *e, ds_error *error) {
    if (!e->codes && !e->scales) return ds__save_write(&j->save, e->source->data, e->source->bytes, error);
    ds__arena memory;
    matrix_job m;
    double share = 0;
    ds__arena_init(&memory, &j->context->heap, 0);
    ds_status status = quantize(j, e->source, &memory, &m, &share, error);
    if (status == DS_OK)
        status =
            ds__save_write(&j->save, e->codes ? (const void *)m.codes : (const void *)m.scales, e->stored.bytes, error);
    if (status == DS_OK && e->codes) {
        ds_quantized_tensor told = {e->source->name.data, e->source->shape[0], e->source->shape[1], share};
        if (j->options->each) j->options->each(j->options->user, &told, j->quantized);
    }
    ds__arena_deinit(&memory);
    return status;
}

static ds_status write_weights(job *j, ds_quantize_stats *stats, ds_error *error) {
    size_t most = 2 * j->tensors + 1;
    entry *entries = ds__arena_zeroed(&j->arena, most * sizeof *entries);
    ds__stored_tensor *stored = ds__arena_zeroed(&j->arena, most * sizeof *stored);
    if (!entries || !stored) return ds__alloc_failed(&j->context->heap, most * sizeof *entries, "tensors", error);
    size_t count = list_entries(j, entries);
    if (count == 0) return ds__alloc_failed(&j->context->heap, most * sizeof *entries, "names of tensors", error);
    for (size_t i = 0; i < count; i++) {
        stored[i] = entries[i].stored;
        stats->bytes_after += stored[i].bytes;
        if (!entries[i].scales) stats->bytes_before += entries[i].source->bytes;
    }
    ds__buffer header;
    ds__buffer_init(&header, &j->context->heap);
    ds_status status = ds__safetensors_header(stored, count, &header, error);
    if (status == DS_OK) status = ds__save_start(&j->save, "model.safetensors", error);
    if (status == DS_OK) status = ds__save_write(&j->save, header.data, header.size, error);
    for (size_t i = 0; i < count && status == DS_OK; i++) status = write_entry(j, &entries[i], error);
    ds__buffer_deinit(&header);
    return status == DS_OK ? ds__save_end(&j->save, error) : status;
}

static void describe(void *user, ds__json_writer *json) {
    const job *j = user;
    ds__json_key(json, "quantization_config");
    ds__json_open_object(json);
    ds__json_key(json, "quant_method");
    ds__json_put_string(json, DS_STR("deepseek-int8"));
    ds__json_key(json, "bits");
    ds__json_put_int(json, 8);
    ds__json_key(json, "weights");
    ds__json_put_string(json, DS_STR("symmetric, one scale a row, neighbouring codes at most 128 together"));
    ds__json_key(json, "activations");
    ds__json_put_string(json, DS_STR("asymmetric, found for each token at the run"));
    ds__json_key(json, "modules_to_not_convert");
    ds__json_open_array(json);
    for (size_t i = 0; i < j->options->exclude_count; i++)
        ds__json_put_string(json, ds__str_of(j->options->exclude[i]));
    ds__json_close_array(json);
    ds__json_close_object(json);
}

static bool is_replaced(void *user, ds__str key) {
    (void)user;
    return ds__str_is(key, "quantization_config");
}

static bool is_wanted(void *user, const char *name, bool is_folder) {
    (void)user, (void)name, (void)is_folder;
    return true;
}

static ds_status run(job *j, const char *output, ds_quantize_stats *stats, ds_error *error) {
    j->tensors = ds__weights_count(j->folder.weights);
    j->chosen = ds__arena_zeroed(&j->arena, (j->tensors + 1) * sizeof *j->chosen);
    if (!j->chosen) return ds__alloc_failed(&j->context->heap, j->tensors, "tensors", error);
    DS_TRY(choose(j, error));
    if (j->quantized == 0)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "%s: no tensor is left to be quantised; %zu patterns exclude some, others are int8 already",
                        j->folder.path, j->options->exclude_count);
    stats->quantized = j->quantized;
    DS_TRY(ds__save_begin(&j->context->heap, output, &j->save, error));
    ds_status status = write_weights(j, stats, error);
    ds__folder_copy copy = {&j->folder, &j->save, is_wanted, is_replaced, describe, j};
    if (status == DS_OK) status = ds__folder_copy_files(&copy, error);
    if (status == DS_OK) return ds__save_finish(&j->save, error);
    ds__save_abandon(&j->save);
    return status;
}

ds_status ds__model_quantize(ds_context *context, const char *folder, const char *output,
                             const ds_quantize_options *options, ds_quantize_stats *stats, ds_error *error) {
    job j = {.context = context, .options = options};
    ds_quantize_stats unused;
    if (!stats) stats = &unused;
    *stats = (ds_quantize_stats){0};
    DS_TRY(ds__folder_open(&context->heap, folder, NULL, &j.folder, error));
    ds__arena_init(&j.arena, &context->heap, 0);
    ds_status status = run(&j, output, stats, error);
    ds__arena_deinit(&j.arena);
    ds__folder_close(&j.folder);
    return status;
}
