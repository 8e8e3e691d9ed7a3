/* Ten steps of training against PyTorch: tests/data/train/NAME.safetensors (tests/reference/make_training.py says what
 * is in it) holds the batches, and what they must give: losses, norms and rates of all steps, gradients of the first
 * and of the last one, final weights.  The reference was computed in float64; PyTorch's own float32 is within 1e-5 of
 * it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/model_case.h"

enum { STEPS = 10, WHOLE = 512 /* larger tensors are stored with a stride */ };
enum { FIRST, LAST, FINAL };

/* Relative to a loss, a norm, and to the largest element of a gradient or a weight. */
static const double loss_bound = 1e-4, gradient_bound = 1e-4, weight_bound = 2e-5, rate_bound = 1e-6;
/* Times the norm of all gradients: what rounding leaves of a gradient that is zero, as a key's bias has. */
static const double gradient_floor = 1e-7;
/* An element whose gradient is nearly zero may take Adam's first step in the other direction. */
enum { ASTRAY = 1 /* elements of a tensor */ };
/* Weights after other ways to compute the same steps. */
/* Other micro-batches add in another order, which Adam blows up where a gradient is next to nothing. */
static const double same_weights = 2e-5;

typedef struct training_case {
    const char *name, *folder;
    ds_trainer_options options; /* beside those in options_of */
} training_case;

static const float class_weights[] = {0.5f, 1, 2, 0.25f, 3};
static const char *const embeddings[] = {"*embeddings*"};

static const training_case cases[] = {
    {"bert", "bert_seq", {0}},
    {"roberta", "roberta_seq", {0}},
    {"distilbert", "distilbert_seq", {0}},
    {"tagging", "bert_token", {0}},
    {"tagging_distilbert", "distilbert_token", {0}},
    {"tagging_roberta", "roberta_token", {0}},
    {"new_head", "bert_base", {.task = DS_TRAIN_CLASSIFICATION, .labels = 3}},
    {"new_head_roberta", "roberta_base", {.task = DS_TRAIN_CLASSIFICATION, .labels = 4}},
    {"smoothing", "bert_seq", {.label_smoothing = 0.1f}},
    {"class_weights", "bert_seq", {.class_weights = class_weights}},
    {"multilabel", "bert_multilabel", {0}},
    {"regression", "bert_regression", {0}},
    {"soft_labels", "bert_seq", {.loss = DS_LOSS_SOFT_LABELS}},
    {"cosine", "st_mean", {.task = DS_TRAIN_EMBEDDING, .loss = DS_LOSS_COSINE}},
    {"cosine_max", "st_max", {.task = DS_TRAIN_EMBEDDING, .loss = DS_LOSS_COSINE}},
    {"negatives", "st_mean", {.task = DS_TRAIN_EMBEDDING, .loss = DS_LOSS_IN_BATCH_NEGATIVES}},
    {"vectors", "st_mean", {.task = DS_TRAIN_EMBEDDING, .loss = DS_LOSS_SQUARED_ERROR}},
    {"vectors_cls", "st_cls", {.task = DS_TRAIN_EMBEDDING, .loss = DS_LOSS_SQUARED_ERROR}},
    {"sgd", "bert_seq", {.optimizer = DS_OPTIMIZER_SGD, .momentum = 0.9f, .learning_rate = 0.05f}},
    {"warmup", "bert_seq", {.schedule = DS_SCHEDULE_COSINE, .warmup_steps = 3}},
    {"constant",
     "distilbert_seq",
     {.schedule = DS_SCHEDULE_CONSTANT,
      .max_grad_norm = -1,
      .weight_decay = 0.1f,
      .beta1 = 0.8f,
      .beta2 = 0.99f,
      .epsilon = 1e-6f}},
    {"freeze", "bert_seq", {.freeze = embeddings, .freeze_count = 1}},
    {"layer_decay", "bert_seq", {.layer_decay = 0.9f}},
    {"lora", "bert_seq", {.lora_rank = 4, .lora_alpha = 8}},
    {"padding_token", "bert_seq", {0}},
    {"padding_token_distilbert", "distilbert_seq", {0}},
};
enum { CASES = sizeof cases / sizeof *cases };

/* One case opened: the file and a trainer that has made `step` steps. */
typedef struct training {
    const training_case *row;
    const char *how; /* for messages */
    ds__safetensors *file;
    ds_trainer *trainer;
    int step;
} training;

static ds_context *context;
static ds_error error;

static size_t held; /* by the context itself */

static int open_context(void **state) {
    if (ds_context_create(NULL, &context, &error) != DS_OK) return -1;
    held = context->heap.bytes;
    return 0;
}

static int close_context(void **state) {
    size_t left = context->heap.bytes - held;
    ds_context_destroy(context);
    return left == 0 ? 0 : -1;
}

static void must(const training *t, ds_status status) {
    if (status != DS_OK) fail_msg("%s, %s, step %d: %s", t->row->name, t->how, t->step, error.message);
}

static const ds__safetensor *find(const training *t, const char *prefix, const char *name) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return ds__safetensors_find(t->file, ds__str_of(full));
}

static const ds__safetensor *stored(const training *t, const char *name) {
    const ds__safetensor *tensor = find(t, "", name);
    if (!tensor) fail_msg("%s: the file has no %s", t->row->name, name);
    return tensor;
}

static const int32_t *ints(const training *t, const char *name) { return (const void *)stored(t, name)->data; }
static const float *floats(const training *t, const char *name) { return (const void *)stored(t, name)->data; }

static ds_trainer_options options_of(const training_case *row) {
    ds_trainer_options options = row->options;
    if (options.learning_rate == 0) options.learning_rate = 1e-3f;
    options.total_steps = STEPS;
    options.dropout = -1;
    options.precision = DS_PRECISION_FLOAT32;
    return options;
}

/* ---- Tensors ---- */

static ds_train_tensor tensor_at(const training *t, size_t index) {
    ds_train_tensor tensor;
    must(t, ds_trainer_tensor(t->trainer, index, &tensor, &error));
    return tensor;
}

static size_t size_of(const ds_train_tensor *tensor) {
    size_t size = 1;
    for (int i = 0; i < tensor->rank; i++) size *= (size_t)tensor->shape[i];
    return size;
}

/* A key's bias shifts all scores of a query alike: softmax does not see it, and Adam blows its rounding errors up. */
static bool is_free(const char *name) { return strstr(name, "key.bias") || strstr(name, "k_lin.bias"); }

/* What a comparison allows. */
typedef struct tolerance {
    double relative, absolute; /* to the largest expected element; added to it */
    size_t astray;             /* elements that may be off by more */
} tolerance;

/* `got` must be what is expected, at the elements that the file has. kind: FIRST, LAST or FINAL. */
static void compare(const training *t, int kind, const ds_train_tensor *tensor, const float *got, tolerance allowed) {
    static const char *const prefixes[] = {"first.", "last.", "final."};
    const ds__safetensor *expected = find(t, prefixes[kind], tensor->name);
    size_t size = size_of(tensor), stride = size > WHOLE ? (size_t)ints(t, "stride")[kind] : 1;
    size_t count = (size + stride - 1) / stride, far = 0, worst = 0;
    const float *values = (const void *)expected->data;
    double largest = 0, difference = 0;
    if (expected->bytes != count * sizeof *values)
        fail_msg("%s: %s has %zu elements, the file does not fit", t->row->name, tensor->name, size);
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)values[i]));
    double bound = allowed.relative * largest + allowed.absolute;
    for (size_t i = 0; i < count; i++) {
        double here = fabs((double)values[i] - (double)got[i * stride]);
        if (here <= bound) continue; /* a NaN goes on */
        far++;
        if (here > difference || isnan(here)) difference = here, worst = i;
    }
    if (far > allowed.astray)
        fail_msg("%s, %s: %s%s: %zu of %zu elements are off, [%zu] is %.9g, expected %.9g +- %.2g", t->row->name,
                 t->how, prefixes[kind], tensor->name, far, count, worst * stride, (double)got[worst * stride],
                 (double)values[worst], bound);
}

/* Each gradient of the reference must be there, and each that is not must be absent or zero. */
static void check_gradients(const training *t, int kind) {
    double norm = (double)floats(t, "norm")[kind == FIRST ? 0 : STEPS - 1];
    tolerance allowed = {gradient_bound, gradient_floor * norm, 0};
    for (size_t i = 0; i < ds_trainer_tensor_count(t->trainer); i++) {
        ds_train_tensor tensor = tensor_at(t, i);
        bool expected = find(t, kind == FIRST ? "first." : "last.", tensor.name);
        if (expected && !tensor.gradient) fail_msg("%s, %s: %s has no gradient", t->row->name, t->how, tensor.name);
        if (expected)
            compare(t, kind, &tensor, tensor.gradient, allowed);
        else
            for (size_t k = 0; tensor.gradient && k < size_of(&tensor); k++)
                if (tensor.gradient[k] != 0) fail_msg("%s, %s: %s has a gradient", t->row->name, t->how, tensor.name);
    }
}

/* Also that the trainer has every tensor that the file has a weight of, but for a pooler that vectors do not come from.
 */
static void check_weights(const training *t) {
    size_t expected = 0, found = 0;
    double moved = 0; /* how far a weight can be at most */
    for (int i = 0; i < STEPS; i++) moved += (double)floats(t, "rate")[i];
    for (size_t i = 0; i < ds__safetensors_count(t->file); i++)
        expected += ds__str_starts(ds__safetensors_at(t->file, i)->name, DS_STR("final.")) &&
                    !(ds_trainer_describe(t->trainer)->task == DS_TRAIN_EMBEDDING &&
                      ds__str_starts(ds__safetensors_at(t->file, i)->name, DS_STR("final.pooler.")));
    for (size_t i = 0; i < ds_trainer_tensor_count(t->trainer); i++) {
        ds_train_tensor tensor = tensor_at(t, i);
        if (!find(t, "final.", tensor.name)) continue; /* LoRA's frozen base */
        found++;
        compare(t, FINAL, &tensor, tensor.data,
                is_free(tensor.name) ? (tolerance){0, moved, 0} : (tolerance){weight_bound, 0, ASTRAY});
    }
    if (found != expected) fail_msg("%s: %zu of %zu tensors are there", t->row->name, found, expected);
}

/* ---- Steps ---- */

static void training_open(training *t, const training_case *row, const char *how, const ds_trainer_options *options) {
    char path[640];
    *t = (training){.row = row, .how = how};
    snprintf(path, sizeof path, DS_TEST_DATA "/train/%s.safetensors", row->name);
    must(t, ds__safetensors_open(&context->heap, path, &t->file, &error));
    snprintf(path, sizeof path, DS_TEST_DATA "/models/%s", row->folder);
    must(t, ds_trainer_create(context, path, options, &t->trainer, &error));
    for (size_t i = 0; i < ds_trainer_tensor_count(t->trainer); i++) {
        ds_train_tensor tensor = tensor_at(t, i);
        const ds__safetensor *start = find(t, "init.", tensor.name);
        if (!start) continue;
        assert_int_equal(start->bytes, size_of(&tensor) * sizeof(float));
        memcpy(tensor.data, start->data, start->bytes);
    }
}

static void training_close(training *t) {
    ds_trainer_destroy(t->trainer);
    ds__safetensors_close(t->file);
}

/* Makes the next step. */
static ds_train_step make_step(training *t) {
    const int32_t *seq_start = ints(t, "seq_start"), *batches = ints(t, "batch_start");
    int32_t first = batches[t->step], end = batches[t->step + 1], starts[16];
    size_t texts = (size_t)(end - first), row = (size_t)seq_start[first], all = (size_t)batches[STEPS];
    assert_true(texts < 16);
    for (size_t i = 0; i <= texts; i++) starts[i] = seq_start[(size_t)first + i] - seq_start[first];
    ds_train_batch batch = {
        .tokens = {ints(t, "ids") + row, ints(t, "type_ids") + row, starts, texts},
    };
    const ds__safetensor *labels = find(t, "", "labels"), *targets = find(t, "", "targets");
    if (labels) /* one a text, or one a token */
        batch.labels = ints(t, "labels") + (labels->shape[0] == batches[STEPS] ? (size_t)first : row);
    if (targets) /* so many a text; a half for pairs */
        batch.targets = floats(t, "targets") + targets->bytes / sizeof(float) * (size_t)first / all;
    ds_train_step step;
    must(t, ds_trainer_step(t->trainer, &batch, &step, &error));
    t->step++;
    assert_int_equal(step.step, t->step);
    assert_int_equal(step.tokens, starts[texts]);
    return step;
}

static void check_value(const training *t, const char *what, double got, double relative) {
    double expected = (double)floats(t, what)[t->step - 1];
    if (!(fabs(got - expected) <= relative * fabs(expected)))
        fail_msg("%s, %s, step %d: %s is %.9g, expected %.9g", t->row->name, t->how, t->step, what, got, expected);
}

static void check_against_reference(const training_case *row, const char *how, const ds_trainer_options *options) {
    training t;
    training_open(&t, row, how, options);
    while (t.step < STEPS) {
        ds_train_step step = make_step(&t);
        check_value(&t, "loss", step.loss, loss_bound);
        check_value(&t, "norm", step.gradient_norm, gradient_bound);
        check_value(&t, "rate", (double)step.learning_rate, rate_bound);
        if (t.step == 1) check_gradients(&t, FIRST);
    }
    check_gradients(&t, LAST);
    check_weights(&t);
    training_close(&t);
}

/* ---- The tests; *state is the case ---- */

static void plain(void **state) {
    ds_trainer_options options = options_of(*state);
    check_against_reference(*state, "plain", &options);
}

static void with_checkpointing(void **state) {
    ds_trainer_options options = options_of(*state);
    options.gradient_checkpointing = true;
    check_against_reference(*state, "gradient_checkpointing", &options);
}

/* 64 tokens are the longest text: most steps are made of two to four parts. */
static void in_parts(void **state) {
    ds_trainer_options options = options_of(*state);
    options.micro_batch_tokens = 64;
    check_against_reference(*state, "micro_batch_tokens", &options);
}

/* Clipping needs all gradients at once, so both runs are without it, and PyTorch's file only gives the batches. */
static void memory_efficient(void **state) {
    const training_case *row = *state;
    training usual, efficient;
    ds_trainer_options options = options_of(row);
    options.max_grad_norm = -1;
    training_open(&usual, row, "without clipping", &options);
    options.memory_efficient = true;
    training_open(&efficient, row, "memory_efficient", &options);
    while (usual.step < STEPS) {
        double loss = make_step(&usual).loss;
        assert_true(fabs(make_step(&efficient).loss - loss) <= same_weights * fabs(loss));
    }
    assert_int_equal(ds_trainer_tensor_count(usual.trainer), ds_trainer_tensor_count(efficient.trainer));
    for (size_t i = 0; i < ds_trainer_tensor_count(usual.trainer); i++) {
        ds_train_tensor a = tensor_at(&usual, i), b = tensor_at(&efficient, i);
        assert_string_equal(a.name, b.name);
        double off = largest_difference(a.data, b.data, size_of(&a));
        if (!(off <= same_weights) && !is_free(a.name))
            fail_msg("%s: %s differs by %g with memory_efficient", row->name, a.name, off);
    }
    training_close(&efficient);
    training_close(&usual);
}

/* Gradients that are applied where they arise: the same bits as keeping them all, when nothing is clipped.  A plan for
 * one longest text at once is smaller without their memory whatever the model. */
static void applied_at_once(void **state) {
    const training_case *row = *state;
    training usual, efficient;
    ds_trainer_options options = options_of(row);
    options.max_grad_norm = -1;
    training_open(&usual, row, "without clipping", &options);
    options.memory_efficient = true;
    options.micro_batch_tokens = 64;
    training_open(&efficient, row, "applied at once", &options);
    const ds_trainer_info *info = ds_trainer_describe(efficient.trainer);
    if (info->gradients != 0)
        fail_msg("%s: %llu bytes of gradients: %s", row->name, (unsigned long long)info->gradients, info->plan_why);
    assert_non_null(strstr(info->plan_why, "applied where they arise, takes"));
    while (usual.step < STEPS) {
        const ds_train_step expected = make_step(&usual), got = make_step(&efficient);
        assert_true(got.loss == expected.loss && got.learning_rate == expected.learning_rate);
        assert_true(fabs(got.gradient_norm - expected.gradient_norm) <= 1e-6 * expected.gradient_norm);
    }
    for (size_t i = 0; i < ds_trainer_tensor_count(usual.trainer); i++) {
        const ds_train_tensor a = tensor_at(&usual, i), b = tensor_at(&efficient, i);
        if (b.gradient) fail_msg("%s: %s has a gradient that was kept", row->name, b.name);
        if (memcmp(a.data, b.data, size_of(&a) * sizeof *a.data) != 0)
            fail_msg("%s: %s has other bits when gradients are applied at once", row->name, a.name);
    }
    training_close(&efficient);
    training_close(&usual);
}

/* A loss that is not finite leaves the weights as they were, though nothing waits for the end of the backward part. */
static void diverged_leaves_no_trace(void **state) {
    const training_case *row = *state;
    training t;
    ds_trainer_options options = options_of(row);
    options.max_grad_norm = -1;
    options.memory_efficient = true;
    options.micro_batch_tokens = 64;
    training_open(&t, row, "diverged", &options);
    make_step(&t);
    ds_train_tensor poisoned = tensor_at(&t, 0);
    for (size_t i = 0; i < size_of(&poisoned); i++) poisoned.data[i] = NAN;
    size_t bytes = 0, at = 0;
    for (size_t i = 0; i < ds_trainer_tensor_count(t.trainer); i++) {
        const ds_train_tensor tensor = tensor_at(&t, i);
        bytes += size_of(&tensor) * sizeof(float);
    }
    char *before = malloc(bytes);
    for (size_t i = 0; i < ds_trainer_tensor_count(t.trainer); i++) {
        const ds_train_tensor tensor = tensor_at(&t, i);
        memcpy(before + at, tensor.data, size_of(&tensor) * sizeof(float));
        at += size_of(&tensor) * sizeof(float);
    }
    const int32_t starts[] = {0, 2}, label = 1;
    const ds_train_batch batch = {.tokens = {ints(&t, "ids"), ints(&t, "type_ids"), starts, 1}, .labels = &label};
    assert_int_equal(ds_trainer_step(t.trainer, &batch, NULL, &error), DS_DIVERGED);
    at = 0;
    for (size_t i = 0; i < ds_trainer_tensor_count(t.trainer); i++) {
        const ds_train_tensor tensor = tensor_at(&t, i);
        if (memcmp(before + at, tensor.data, size_of(&tensor) * sizeof(float)) != 0)
            fail_msg("%s has changed", tensor.name);
        at += size_of(&tensor) * sizeof(float);
    }
    free(before);
    training_close(&t);
}

/* Every case in every way is a test of its own, so that one that fails does not hide the others. */
int main(void) {
    static const struct {
        const char *name;
        void (*run)(void **state);
    } ways[] = {{"plain", plain},
                {"gradient_checkpointing", with_checkpointing},
                {"micro_batch_tokens", in_parts},
                {"memory_efficient", memory_efficient},
                {"applied at once", applied_at_once}};
    enum { WAYS = sizeof ways / sizeof *ways };
    static char names[WAYS * CASES][64];
    static struct CMUnitTest tests[WAYS * CASES + 1];
    for (size_t i = 0; i < WAYS * CASES; i++) {
        const training_case *row = &cases[i % CASES];
        snprintf(names[i], sizeof names[i], "%s: %s", row->name, ways[i / CASES].name);
        tests[i] =
            (struct CMUnitTest){.name = names[i], .test_func = ways[i / CASES].run, .initial_state = (void *)row};
    }
    tests[WAYS * CASES] = (struct CMUnitTest){
        .name = "a loss that is not finite", .test_func = diverged_leaves_no_trace, .initial_state = (void *)&cases[0]};
    return cmocka_run_group_tests_name("training_reference", tests, open_context, close_context);
}
