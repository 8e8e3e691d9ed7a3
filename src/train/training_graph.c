/* The graphs of a trainer: the model with its loss, and behind it the backward part. */
#include <string.h>

#include "autograd/autograd.h"
#include "base/error.h"
#include "ops/ops.h"
#include "train/trainer.h"

enum { NEGATIVES_SCALE = 20 }; /* sentence-transformers' default */

/* The loss of each row of `out`, [R]; targets or labels become inputs. */
static ds_value add_loss(const ds_trainer *trainer, ds_graph *graph, ds_value out) {
    const ds__shape *shape = &graph->values[out.index].shape;
    const ds_loss loss = trainer->info.loss;
    if (loss == DS_LOSS_IN_BATCH_NEGATIVES) return ds__in_batch_negatives(graph, out, NEGATIVES_SCALE);
    if (loss == DS_LOSS_CROSS_ENTROPY) {
        ds_value labels = ds__graph_input(graph, "labels", DS_I32, 1, shape->dims);
        return ds__cross_entropy(graph, out, labels, trainer->options.label_smoothing);
    }
    if (loss == DS_LOSS_COSINE) out = ds__pair_cosine(graph, out);
    if (!ds__graph_ok(graph)) return DS_NO_VALUE;
    shape = &graph->values[out.index].shape;
    ds_value targets = ds__graph_input(graph, "targets", DS_F32, 2, (ds_dim[]){shape->dims[0], shape->dims[1]});
    if (loss == DS_LOSS_BINARY_CROSS_ENTROPY) return ds__binary_cross_entropy(graph, out, targets);
    if (loss == DS_LOSS_SOFT_LABELS) return ds__soft_cross_entropy(graph, out, targets);
    return ds__squared_error(graph, out, targets);
}

/* Beside the labels' loss: how far each text's vector is from where `targets` want it, as a squared distance. */
static ds_value add_distance(const ds_trainer *trainer, ds_graph *graph, ds__model_builder *builder, ds_value loss) {
    const ds_value vectors = ds__folder_pool(builder, trainer->folder.pooling, trainer->folder.normalize);
    if (!ds__graph_ok(graph)) return DS_NO_VALUE;
    const ds__shape *shape = &graph->values[vectors.index].shape;
    const ds_value targets = ds__graph_input(graph, "targets", DS_F32, 2, (ds_dim[]){shape->dims[0], shape->dims[1]});
    const float weight = trainer->options.keep_vectors * (float)trainer->folder.config.hidden_size; /* sum from mean */
    return ds__add(graph, loss, ds__scale(graph, ds__squared_error(graph, vectors, targets), weight));
}

static void choose_precision(const ds_trainer *trainer, ds_graph *graph) {
    if (trainer->info.precision != DS_PRECISION_BFLOAT16) return;
    for (size_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].op == &ds__op_linear || graph->nodes[i].op == &ds__op_matmul)
            graph->nodes[i].attributes.precision = DS__PRECISION_BF16;
}

/* The optimiser's step on a parameter, behind everything else; its output is the gradient's length. */
static ds_value add_update(const ds_trainer *trainer, ds_graph *graph, ds_value loss, const ds__parameter *p,
                           ds_value weight, ds_value gradient) {
    ds_value settings = DS_NO_VALUE;
    for (size_t v = 0; v < graph->value_count; v++)
        if (strcmp(graph->values[v].name, "settings") == 0) settings = (ds_value){(int32_t)v};
    if (settings.index < 0)
        settings =
            ds__graph_input(graph, "settings", DS_F32, 2,
                            (ds_dim[]){ds__dim_of((int64_t)trainer->parameters.count), ds__dim_of(DS__UPDATE_COLUMNS)});
    const ds_value inputs[DS__UPDATE_SECOND + 1] = {
        [DS__UPDATE_GRADIENT] = gradient,
        [DS__UPDATE_SETTINGS] = settings,
        [DS__UPDATE_LOSS] = loss,
        [DS__UPDATE_WEIGHT] = weight,
        [DS__UPDATE_FIRST] = p->first ? ds__graph_state(graph, "first", p->rank, p->shape, p->first) : DS_NO_VALUE,
        [DS__UPDATE_SECOND] = p->second ? ds__graph_state(graph, "second", p->rank, p->shape, p->second) : DS_NO_VALUE,
    };
    return ds__update(graph, inputs, p - trainer->parameters.items);
}

/* The sum of a micro-batch's gradient and those before, right behind the former: what it is made of can go then. */
static ds_value add_to_kept(ds_graph *graph, ds_value gradient, const ds__parameter *p) {
    const int32_t producer = ds__graph_producer(graph, gradient.index);
    ds_value sum = ds__add(graph, gradient, ds__graph_state(graph, "gradient", p->rank, p->shape, p->gradient));
    if (sum.index >= 0) ds__graph_move_up(graph, graph->node_count - 1, (size_t)(producer + 1));
    return sum;
}

/* Behind the loss: the gradients of everything that is trained, as outputs in the order of the parameters; or their
 * lengths, where they are applied at once. */
static ds_status add_gradients(ds_trainer *trainer, ds_graph *graph, ds_value loss, bool more, ds_error *error) {
    ds__arena memory;
    ds__arena_init(&memory, &trainer->context->heap, 0);
    const size_t most = graph->value_count;
    int32_t *parameters = ds__arena_alloc(&memory, (most + 1) * sizeof *parameters);
    int32_t *gradients = ds__arena_alloc(&memory, (most + 1) * sizeof *gradients);
    ds__differentiation job = {.loss = loss.index, .parameters = parameters, .gradients = gradients};
    ds_status status = DS_OK;
    if (!parameters || !gradients)
        status = ds__alloc_failed(&trainer->context->heap, most * sizeof *parameters, "a backward pass", error);
    for (size_t v = 0; v < most && status == DS_OK; v++) {
        const ds__value *value = &graph->values[v];
        const ds__parameter *p =
            value->kind == DS__VALUE_STATE ? ds__parameters_find(&trainer->parameters, value->name) : NULL;
        if (p && p->trained) parameters[job.count++] = (int32_t)v;
    }
    if (status == DS_OK) {
        const ds__shape *shape = &graph->values[loss.index].shape;
        job.seed = ds__graph_input(graph, "row_weights", DS_F32, 1, shape->dims).index;
        status = ds__autograd(graph, &job, error);
    }
    if (status == DS_OK && trainer->info.gradient_checkpointing) status = ds__recompute(graph, job.forward, error);
    choose_precision(trainer, graph);
    if (status == DS_OK && trainer->info.precision == DS_PRECISION_BFLOAT16)
        status = ds__keep_narrow(graph, job.forward, error);
    for (size_t i = 0; i < job.count && status == DS_OK; i++) {
        const char *name = graph->values[parameters[i]].name;
        const ds__parameter *p = ds__parameters_find(&trainer->parameters, name);
        if (gradients[i] < 0) continue;
        ds_value gradient = {gradients[i]};
        if (trainer->updates)
            gradient = add_update(trainer, graph, loss, p, (ds_value){parameters[i]}, gradient);
        else if (more)
            gradient = add_to_kept(graph, gradient, p);
        ds__graph_output(graph, name, gradient);
    }
    ds__arena_deinit(&memory);
    if (status == DS_OK && !ds__graph_ok(graph))
        status = ds__fail(error, graph->error.status, "%s", graph->error.message);
    return status;
}

static ds_status build_graph(ds_trainer *trainer, ds__train_program which, ds_graph *graph, ds__built *built,
                             ds_error *error) {
    const bool embeds = trainer->info.task == DS_TRAIN_EMBEDDING;
    const bool trains = which == DS__TRAIN_FIRST || which == DS__TRAIN_MORE;
    const ds__training_wish training = {
        .own = &trainer->parameters,
        .parameter = ds__parameters_get,
        .adapter = ds__parameters_adapter,
        .drops = trains && trainer->options.dropout >= 0,
        .quantizes = trainer->options.quantization_aware,
        .new_head = trainer->info.new_head,
        .pairs = trains || which == DS__TRAIN_MEASURED ? ds__trainer_pairs(trainer) : false,
    };
    const ds__graph_wish wish = {.output = embeds ? DS_OUTPUT_EMBEDDING : DS_OUTPUT_LOGITS,
                                 .pooling = trainer->folder.pooling,
                                 .normalize = trainer->folder.normalize,
                                 .training = &training};
    ds__model_builder builder;
    ds_value out = ds__folder_build(&trainer->folder, &wish, graph, NULL, &builder);
    built->result = built->loss = SIZE_MAX;
    if (!trains) {
        built->result = graph->output_count;
        ds__graph_output(graph, "out", out);
    }
    ds_status status = DS_OK;
    if (which != DS__TRAIN_RESULT && ds__graph_ok(graph)) {
        ds_value loss = add_loss(trainer, graph, out);
        if (trains && trainer->options.keep_vectors > 0) loss = add_distance(trainer, graph, &builder, loss);
        built->loss = graph->output_count;
        ds__graph_output(graph, "loss", loss);
        if (trains && ds__graph_ok(graph)) status = add_gradients(trainer, graph, loss, which == DS__TRAIN_MORE, error);
    }
    if (status == DS_OK && !ds__graph_ok(graph))
        status = ds__fail(error, graph->error.status, "%s", graph->error.message);
    if (!trains) choose_precision(trainer, graph);
    return status;
}

/* Where the graph's inputs and sizes are found. */
static void find_places(const ds_graph *graph, ds__built *built) {
    static const char *const names[DS__SLOTS] = {
        [DS__SLOT_IDS] = "ids",           [DS__SLOT_POSITIONS] = "positions",
        [DS__SLOT_TYPE_IDS] = "type_ids", [DS__SLOT_SEQ_START] = "seq_start",
        [DS__SLOT_RNG] = "rng",           [DS__SLOT_LABELS] = "labels",
        [DS__SLOT_TARGETS] = "targets",   [DS__SLOT_ROW_WEIGHTS] = "row_weights",
        [DS__SLOT_SETTINGS] = "settings"};
    int32_t place = 0;
    for (int s = 0; s < DS__SLOTS; s++) built->place[s] = -1;
    for (size_t v = 0; v < graph->value_count; v++) {
        if (graph->values[v].kind != DS__VALUE_INPUT) continue;
        for (int s = 0; s < DS__SLOTS; s++)
            if (strcmp(graph->values[v].name, names[s]) == 0) built->place[s] = place;
        place++;
    }
    for (int32_t i = 0; i < graph->symbol_count; i++)
        *(strcmp(graph->symbols[i], "T") == 0 ? &built->tokens_symbol : &built->texts_symbol) = i;
}

/* Gradients, or their lengths, are written where they are kept, in every run. */
static ds_status bind_gradients(const ds_trainer *trainer, ds__built *built, ds_error *error) {
    const ds_graph *graph = ds__program_graph(built->program);
    const size_t bytes = graph->output_count * sizeof *built->outputs;
    built->outputs = ds__alloc_zeroed(&trainer->context->heap, bytes);
    if (!built->outputs) return ds__alloc_failed(&trainer->context->heap, bytes, "a training graph's outputs", error);
    built->output_count = graph->output_count;
    for (size_t i = 0; i < graph->output_count; i++) {
        if (i == built->loss || i == built->result) continue;
        const ds__parameter *p = ds__parameters_find(&trainer->parameters, graph->outputs[i].name);
        built->outputs[i] = trainer->updates ? trainer->lengths + (p - trainer->parameters.items) : p->gradient;
    }
    return DS_OK;
}

void ds__built_drop(ds__built *built, ds__heap *heap) {
    ds__execution_destroy(built->execution);
    ds__program_destroy(built->program);
    ds__free(heap, built->outputs, built->output_count * sizeof *built->outputs);
    *built = (ds__built){.program = NULL};
}

ds_status ds__trainer_program(ds_trainer *trainer, ds__train_program which, ds__built **out, ds_error *error) {
    ds__built *built = &trainer->built[which];
    *out = built;
    if (built->program) return DS_OK;
    ds_graph *graph;
    DS_TRY(ds__graph_create(trainer->context, &graph, error));
    ds_status status = build_graph(trainer, which, graph, built, error);
    if (status != DS_OK) {
        ds__graph_destroy(graph);
        return status;
    }
    find_places(graph, built);
    const ds__program_options options = {.backends = trainer->backends, .backend_count = trainer->backend_count};
    DS_TRY(ds__program_create(graph, trainer->store, &options, &built->program, error));
    status = ds__execution_create(built->program, &trainer->workspace, &built->execution, error);
    if (status == DS_OK) status = bind_gradients(trainer, built, error);
    if (status == DS_OK && built->loss != SIZE_MAX)
        ds__execution_watch(built->execution, built->loss); /* behind it lies the backward part */
    if (status != DS_OK) ds__built_drop(built, &trainer->context->heap);
    return status;
}
