/* Opening one version of a model: checks, warm-up, and how many tokens a batch should have on this machine. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "serve/service_internal.h"

enum { MEASURED_TEXT = 32, MEASURED_FROM = 64, MEASURED_TO = 1024, MEASURED_RUNS = 4 };

static const uint64_t MEASURED_NS = 2000000000u; /* a large model is not measured to the end */

/* What is measured with. */
typedef struct trial {
    int32_t *ids, *seq_start;
    float *out;
    size_t ids_bytes, start_bytes, out_bytes;
} trial;

static void trial_free(ds__heap *heap, trial *t) {
    ds__free(heap, t->ids, t->ids_bytes);
    ds__free(heap, t->seq_start, t->start_bytes);
    ds__free(heap, t->out, t->out_bytes);
}

static ds_status trial_make(ds__heap *heap, const ds__instance *instance, size_t tokens, trial *t, ds_error *error) {
    t->ids_bytes = tokens * sizeof *t->ids;
    t->start_bytes = (tokens + 1) * sizeof *t->seq_start;
    size_t floats = 0; /* a text may have one token */
    for (int pass = 0; pass < DS__PASSES; pass++)
        if (instance->row_floats[pass] > floats) floats = instance->row_floats[pass];
    t->out_bytes = tokens * floats * sizeof *t->out;
    t->ids = ds__alloc(heap, t->ids_bytes);
    t->seq_start = ds__alloc(heap, t->start_bytes);
    t->out = ds__alloc(heap, t->out_bytes);
    if (!t->ids || !t->seq_start || !t->out)
        return ds__alloc_failed(heap, t->ids_bytes + t->start_bytes + t->out_bytes, "the warm-up", error);
    for (size_t i = 0; i < tokens; i++) t->ids[i] = (int32_t)((i * 7919 + 1) % (size_t)instance->info.vocab_size);
    return DS_OK;
}

ds__pass ds__instance_pass(const ds__instance *instance) {
    return instance->kind == DS__INSTANCE_CLASSIFY ? DS__PASS_LOGITS : DS__PASS_EMBEDDING;
}

ds_status ds__instance_run(const ds__instance *instance, ds__pass pass, const ds_packed_batch *batch, float *out,
                           ds_error *error) {
    ds_output output = pass == DS__PASS_LOGITS ? DS_OUTPUT_LOGITS : DS_OUTPUT_EMBEDDING;
    return ds_forward(instance->session, batch, output, out, error);
}

/* Runs `tokens` tokens in texts of `length` for what the model is for. */
static ds_status trial_run(const ds__instance *instance, trial *t, size_t tokens, size_t length, double *tokens_per_s,
                           ds_error *error) {
    size_t texts = 0;
    for (size_t at = 0; at < tokens; at += length) t->seq_start[texts++] = (int32_t)at;
    t->seq_start[texts] = (int32_t)tokens;
    ds_packed_batch batch = {t->ids, NULL, t->seq_start, texts};
    uint64_t start = ds__clock_ns();
    DS_TRY(ds__instance_run(instance, ds__instance_pass(instance), &batch, t->out, error));
    *tokens_per_s = (double)tokens * 1e9 / (double)(ds__clock_ns() - start + 1);
    return DS_OK;
}

/* The smallest batch that reaches 97 % of the best speed: larger ones only make everybody in them wait longer. The
 * memory limit may end the series earlier. */
static ds_status measure(ds__instance *instance, trial *t, size_t length, ds_error *error) {
    double speeds[8] = {0}, best = 0;
    size_t sizes[8], count = 0;
    uint64_t start = ds__clock_ns();
    for (size_t tokens = MEASURED_FROM; tokens <= MEASURED_TO; tokens *= 2) {
        double speed = 0, once;
        ds_status status = DS_OK;
        /* The first run also plans and touches memory; the best of the others counts, since others use the machine. */
        for (int i = 0; status == DS_OK && i < MEASURED_RUNS; i++) {
            status = trial_run(instance, t, tokens, length, &once, error);
            if (i && status == DS_OK && once > speed) speed = once;
        }
        if (status == DS_MEMORY_LIMIT && count) break;
        if (status != DS_OK) return status;
        sizes[count] = tokens;
        speeds[count++] = speed;
        if (speed > best) best = speed;
        if (ds__clock_ns() - start > MEASURED_NS) break;
    }
    for (size_t i = 0; i < count; i++)
        if (speeds[i] >= 0.97 * best) {
            instance->batch_tokens = sizes[i];
            instance->tokens_per_s = speeds[i];
            break;
        }
    return DS_OK;
}

/* The longest text must fit too, in each pass. */
static ds_status run_longest(const ds__instance *instance, trial *t, ds_error *error) {
    for (int pass = 0; pass < DS__PASSES; pass++) {
        if (!instance->row_floats[pass]) continue;
        t->seq_start[0] = 0;
        t->seq_start[1] = instance->max_tokens[pass];
        ds_packed_batch batch = {t->ids, NULL, t->seq_start, 1};
        DS_TRY(ds__instance_run(instance, (ds__pass)pass, &batch, t->out, error));
    }
    return DS_OK;
}

static bool runs_alike(const ds_model_info *a, const ds_model_info *b) {
    return strcmp(a->architecture, b->architecture) == 0 && a->layers == b->layers &&
           a->hidden_size == b->hidden_size && a->heads == b->heads && a->intermediate_size == b->intermediate_size &&
           a->precision == b->precision && a->int8_weights == b->int8_weights;
}

/* Takes what was measured with a version that serves already, on a machine that had less to do; false: there is none
 * like it. */
static bool take_measured(ds__service *service, ds__instance *instance) {
    bool found = false;
    pthread_mutex_lock(&service->lock);
    for (const ds__instance *other = instance->model->instances; other && !found; other = other->next)
        if (runs_alike(&other->info, &instance->info)) {
            instance->batch_tokens = other->batch_tokens;
            instance->tokens_per_s = other->tokens_per_s;
            found = true;
        }
    pthread_mutex_unlock(&service->lock);
    return found;
}

static ds_status warm_up(ds__service *service, ds__instance *instance, ds_error *error) {
    size_t most = (size_t)instance->max_tokens[ds__instance_pass(instance)], asked = service->options.max_batch_tokens;
    if (!asked && take_measured(service, instance)) asked = instance->batch_tokens;
    size_t length = most < MEASURED_TEXT ? most : MEASURED_TEXT, room = most > MEASURED_TO ? most : MEASURED_TO;
    trial t = {0};
    if (asked > room) room = asked;
    ds_status status = trial_make(service->heap, instance, room, &t, error);
    if (status == DS_OK && !asked) status = measure(instance, &t, length, error);
    if (asked) instance->batch_tokens = asked;
    if (status == DS_OK && asked) {
        double speed;
        status = trial_run(instance, &t, asked, length, &speed, error);
        if (!instance->tokens_per_s) instance->tokens_per_s = speed;
    }
    if (status == DS_OK) status = run_longest(instance, &t, error);
    trial_free(service->heap, &t);
    return status;
}

static ds_status check_model(const ds__service *service, ds__instance *instance, ds_error *error) {
    const ds_model_info *info = ds_model_describe(instance->engine);
    instance->info = *info;
    if (info->head == DS_HEAD_TOKEN)
        return ds__fail(error, DS_UNSUPPORTED,
                        "%s: %s tags words, which the server has no protocol for; 'deepseek tag' does it", info->folder,
                        info->architecture);
    instance->kind = info->head == DS_HEAD_SEQUENCE ? DS__INSTANCE_CLASSIFY : DS__INSTANCE_EMBED;
    instance->row_floats[DS__PASS_LOGITS] = info->head == DS_HEAD_SEQUENCE ? (size_t)info->labels : 0;
    instance->row_floats[DS__PASS_EMBEDDING] = (size_t)info->hidden_size;
    const ds__named_model *section = instance->model->section;
    int32_t asked = section ? section->max_seq_len : service->options.max_seq_len;
    if (asked > info->max_tokens)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "%s: the longest text is to be %d tokens, but the model has %d positions", info->folder, asked,
                        info->max_tokens);
    instance->max_tokens[DS__PASS_LOGITS] = asked ? asked : info->max_tokens;
    instance->max_tokens[DS__PASS_EMBEDDING] = asked ? asked : info->embed_max_tokens;
    return DS_OK;
}

ds_status ds__instance_open(ds__service *service, ds__served_model *model, int64_t version, const char *folder,
                            ds__instance **out, ds_error *error) {
    ds__instance *instance = ds__alloc_zeroed(service->heap, sizeof *instance);
    if (!instance) return ds__alloc_failed(service->heap, sizeof *instance, "a model's version", error);
    instance->model = model;
    instance->version = version;
    instance->refs = 1;
    ds_status status = DS_OK;
    if (model->is_identity) {
        instance->kind = DS__INSTANCE_IDENTITY;
    } else {
        const ds_model_options *how = model->section ? &model->section->model : &service->options.model;
        status = ds_model_open(service->context, folder, how, &instance->engine, error);
        if (status == DS_OK) status = check_model(service, instance, error);
        if (status == DS_OK) status = ds_session_create(instance->engine, &instance->session, error);
        if (status == DS_OK) status = warm_up(service, instance, error);
    }
    if (status != DS_OK) {
        ds__instance_close(service, instance);
        return status;
    }
    *out = instance;
    return DS_OK;
}

void ds__instance_close(ds__service *service, ds__instance *instance) {
    ds_session_destroy(instance->session);
    ds_model_close(instance->engine);
    ds__queue_deinit(&instance->queue, service->heap);
    ds__free(service->heap, instance, sizeof *instance);
}
