/* The model builder: inputs, and weights by name out of the folder's tensors. */
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>

#include "models/architecture.h"
#include "ops/ops.h"

enum { NAME_SIZE = 160 }; /* with the prefix; the longest is about 60 */

void ds__model_builder_init(ds__model_builder *builder, ds_graph *graph, const ds__architecture *architecture,
                            const ds__model_config *config, const ds__weights *weights, bool *used,
                            const ds__training_wish *training) {
    *builder = (ds__model_builder){
        .graph = graph,
        .architecture = architecture,
        .config = config,
        .weights = weights,
        .type_ids = DS_NO_VALUE,
        .used = used,
        .training = training,
        .rng = DS_NO_VALUE,
    };
    const bool pairs = training && training->pairs;
    ds_dim tokens = ds__graph_symbol(graph, "T"), bounds = ds__graph_symbol(graph, pairs ? "P" : "B");
    if (pairs) bounds.factor = 2;
    bounds.base++;
    builder->ids = ds__graph_input(graph, "ids", DS_I32, 1, &tokens);
    builder->positions = ds__graph_input(graph, "positions", DS_I32, 1, &tokens);
    if (config->type_vocab_size) builder->type_ids = ds__graph_input(graph, "type_ids", DS_I32, 1, &tokens);
    builder->seq_start = ds__graph_input(graph, "seq_start", DS_I32, 1, &bounds);
    if (training && training->drops) builder->rng = ds__graph_input(graph, "rng", DS_I32, 1, (ds_dim[]){ds__dim_of(3)});
}

ds_value ds__model_dropout(ds__model_builder *builder, ds_value x, float rate) {
    if (builder->rng.index < 0 || rate == 0) return x;
    return ds__dropout_of(builder->graph, x, builder->rng, rate, builder->sites++);
}

/* Checkpoints converted from TensorFlow call a norm's weight and bias gamma and beta. false: it has no such name. */
static bool old_name(char out[NAME_SIZE], const char *name) {
    static const char *const pairs[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                           {"LayerNorm.bias", "LayerNorm.beta"}};
    for (int i = 0; i < 2; i++) {
        size_t size = strlen(name), tail = strlen(pairs[i][0]);
        if (size < tail || strcmp(name + size - tail, pairs[i][0]) != 0) continue;
        snprintf(out, NAME_SIZE, "%.*s%s", (int)(size - tail), name, pairs[i][1]);
        return true;
    }
    return false;
}

/* With the prefix, else without; in each case also by the old name. */
static const ds__safetensor *find(const ds__model_builder *builder, const char *name, size_t *index) {
    const char *const prefixes[] = {builder->architecture->weight_prefix, ""};
    char full[NAME_SIZE], old[NAME_SIZE];
    const ds__safetensor *tensor = NULL;
    for (int i = 0; i < 2 && !tensor; i++) {
        snprintf(full, sizeof full, "%s%s", prefixes[i], name);
        tensor = ds__weights_find(builder->weights, ds__str_of(full), index);
        if (!tensor && old_name(old, full)) tensor = ds__weights_find(builder->weights, ds__str_of(old), index);
    }
    return tensor;
}

/* "[260, 32]" */
static void print_shape(char *text, size_t size, int rank, const int64_t *shape) {
    int used = snprintf(text, size, "[");
    for (int i = 0; i < rank && used >= 0 && (size_t)used < size; i++)
        used += snprintf(text + used, size - (size_t)used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (used >= 0 && (size_t)used < size) snprintf(text + used, size - (size_t)used, "]");
}

/* A matrix of 8-bit codes, [rows, cols]; its scales, one a row, stand beside it as "NAME_scale". */
static ds_value coded_weight(ds__model_builder *builder, const ds__safetensor *codes) {
    ds_graph *graph = builder->graph;
    char name[NAME_SIZE + 8], found[160] = "";
    size_t index = 0;
    snprintf(name, sizeof name, "%s_scale", codes->name.data);
    const ds__safetensor *scales = ds__weights_find(builder->weights, ds__str_of(name), &index);
    if (!scales)
        return ds__graph_fail(graph, DS_NOT_FOUND,
                              "%s: tensor \"%s\" is stored as I8, but there is no \"%s\" with its scales", codes->path,
                              codes->name.data, name);
    if (!scales->known_dtype || scales->dtype != DS_F32 || scales->rank != 1 || scales->shape[0] != codes->shape[0]) {
        print_shape(found, sizeof found, scales->rank, scales->shape);
        return ds__graph_fail(graph, DS_SHAPE_MISMATCH,
                              "%s: tensor \"%s\" is %s%s, expected F32[%lld], a scale for each row", scales->path, name,
                              scales->dtype_name.data, found, (long long)codes->shape[0]);
    }
    if (builder->used) builder->used[index] = true;
    return ds__graph_weight_codes(graph, codes->name.data, codes->rank, codes->shape, codes->data, scales->data);
}

/* A parameter in training: a state, under the name that it is saved by.  A model with a head has the prefix in front of
 * everything but the head's own names, which are those that the folder may lack. */
static ds_value state(ds__model_builder *builder, const ds__safetensor *tensor, int rank, const int64_t *shape,
                      const char *name) {
    const bool own = strncmp(name, "classifier", 10) == 0 || strncmp(name, "pre_classifier", 14) == 0;
    const char *prefix = builder->config->head == DS_HEAD_NONE || own ? "" : builder->architecture->weight_prefix;
    char full[NAME_SIZE + 32];
    ds_error error;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    if (tensor && builder->config->head == DS_HEAD_NONE) snprintf(full, sizeof full, "%s", tensor->name.data);
    float *data = builder->training->parameter(builder->training->own, full, tensor, rank, shape, &error);
    if (!data) return ds__graph_fail(builder->graph, error.status, "%s", error.message);
    return ds__graph_state(builder->graph, full, rank, shape, data);
}

static ds_value weight(ds__model_builder *builder, int rank, const int64_t *shape, const char *name) {
    ds_graph *graph = builder->graph;
    size_t index = 0;
    if (!ds__graph_ok(graph)) return DS_NO_VALUE;
    const ds__safetensor *tensor = find(builder, name, &index);
    const bool training = builder->training != NULL;
    if (training && builder->in_head && (!tensor || builder->training->new_head)) {
        const bool fits =
            tensor && tensor->rank == rank && memcmp(tensor->shape, shape, (size_t)rank * sizeof *shape) == 0;
        const bool pools = strncmp(name, "pooler", 6) == 0; /* of the encoder's making, so it is worth keeping */
        return state(builder, fits && pools ? tensor : NULL, rank, shape, name);
    }
    if (!tensor)
        return ds__graph_fail(graph, DS_NOT_FOUND, "%s: has no tensor \"%s%s\", nor \"%s\", which %s needs",
                              ds__weights_path(builder->weights), builder->architecture->weight_prefix, name, name,
                              builder->config->architecture);
    const bool codes = tensor->known_dtype && tensor->dtype == DS_I8 && rank == 2;
    if (!codes &&
        (!tensor->known_dtype || (tensor->dtype != DS_F32 && tensor->dtype != DS_F16 && tensor->dtype != DS_BF16)))
        return ds__graph_fail(graph, DS_UNSUPPORTED, "%s: tensor \"%s\" is stored as %s, expected F32, F16 or BF16",
                              tensor->path, tensor->name.data, tensor->dtype_name.data);
    if (tensor->rank != rank || memcmp(tensor->shape, shape, (size_t)rank * sizeof *shape) != 0) {
        char found[160], expected[160];
        print_shape(found, sizeof found, tensor->rank, tensor->shape);
        print_shape(expected, sizeof expected, rank, shape);
        return ds__graph_fail(graph, DS_SHAPE_MISMATCH, "%s: tensor \"%s\" is %s, expected %s as config.json says",
                              tensor->path, tensor->name.data, found, expected);
    }
    if (builder->used) builder->used[index] = true;
    if (training) return state(builder, tensor, rank, shape, name);
    if (codes) return coded_weight(builder, tensor);
    return ds__graph_weight(graph, tensor->name.data, tensor->dtype, rank, shape, tensor->data);
}

/* A matrix that is stored in codes stays so. */
static void plan_precision(const ds__model_builder *builder, ds__value *matrix) {
    const ds__precision_plan *plan = &builder->plan;
    if (matrix->dtype == DS_I8 || matrix->kind == DS__VALUE_STATE) return;
    matrix->precision = plan->precision;
    for (size_t i = 0; i < plan->exclude_count; i++)
        if (fnmatch(plan->exclude[i], matrix->name, 0) == 0) matrix->precision = plan->otherwise;
}

ds_value ds__model_matrix(ds__model_builder *builder, int64_t rows, int64_t cols, const char *format, ...) {
    char name[NAME_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    ds_value matrix = weight(builder, 2, (int64_t[]){rows, cols}, name);
    if (matrix.index >= 0) plan_precision(builder, &builder->graph->values[matrix.index]);
    return matrix;
}

ds_value ds__model_vector(ds__model_builder *builder, int64_t size, const char *format, ...) {
    char name[NAME_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return weight(builder, 1, &size, name);
}
