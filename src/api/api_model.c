/* Public functions on models and sessions. */
#include "deepseek/model.h"

#include "backends/backends.h"
#include "base/error.h"
#include "pipeline/prune_folder.h"
#include "pipeline/quantize_folder.h"
#include "pipeline/session.h"

ds_status ds_model_open(ds_context *context, const char *folder, const ds_model_options *options, ds_model **out,
                        ds_error *error) {
    static const ds_model_options defaults;
    *out = NULL;
    return ds__model_open(context, folder, options ? options : &defaults, ds__backends, DS__BACKEND_COUNT, out, error);
}

const char *ds_precision_name(ds_precision precision) {
    static const char *const names[] = {
        [DS_PRECISION_FLOAT32] = "float32", [DS_PRECISION_BFLOAT16] = "bfloat16", [DS_PRECISION_AUTO] = "auto"};
    return (unsigned)precision < sizeof names / sizeof *names ? names[precision] : "unknown";
}

void ds_model_close(ds_model *model) { ds__model_close(model); }
const ds_model_info *ds_model_describe(const ds_model *model) { return &model->info; }
const char *ds_model_label(const ds_model *model, int32_t label) { return ds__model_label(model, label); }
const ds_tokenizer *ds_model_tokenizer(const ds_model *model) { return model->tokenizer; }

ds_status ds_model_quantize(ds_context *context, const char *folder, const char *output,
                            const ds_quantize_options *options, ds_quantize_stats *stats, ds_error *error) {
    static const ds_quantize_options defaults;
    return ds__model_quantize(context, folder, output, options ? options : &defaults, stats, error);
}

ds_status ds_model_prune(ds_context *context, const char *folder, const char *output, const ds_prune_options *options,
                         ds_prune_stats *stats, ds_error *error) {
    return ds__model_prune(context, folder, output, options, stats, error);
}

ds_status ds_model_plan(const ds_model *model, size_t tokens, size_t texts, ds_memory_plan *plan, ds_error *error) {
    /* Making a program on demand is hidden behind the model's own lock, as with sessions. */
    return ds__model_plan((ds_model *)model, tokens, texts, plan, error);
}

ds_status ds_session_create(ds_model *model, ds_session **out, ds_error *error) {
    *out = NULL;
    return ds__session_create(model, out, error);
}

void ds_session_destroy(ds_session *session) { ds__session_destroy(session); }

ds_status ds_embed(ds_session *session, const ds_text *texts, size_t count, const ds_embed_options *options, float *out,
                   ds_run_stats *stats, ds_error *error) {
    return ds__embed(session, texts, count, options, out, stats, error);
}

ds_status ds_classify(ds_session *session, const ds_text *texts, const ds_text *pairs, size_t count,
                      const ds_classify_options *options, float *scores, ds_run_stats *stats, ds_error *error) {
    return ds__classify(session, texts, pairs, count, options, scores, stats, error);
}

ds_status ds_tag(ds_session *session, const ds_text *texts, size_t count, const ds_tag_options *options,
                 ds_run_stats *stats, ds_error *error) {
    return ds__tag(session, texts, count, options, stats, error);
}

const ds_tag_span *ds_session_tags(const ds_session *session, size_t index, size_t *count) {
    *count = 0;
    if (index >= session->span_texts) return NULL;
    *count = session->span_start[index + 1] - session->span_start[index];
    return session->spans + session->span_start[index];
}

ds_status ds_forward(ds_session *session, const ds_packed_batch *batch, ds_output output, float *out, ds_error *error) {
    return ds__session_forward(session, batch, output, out, error);
}

double ds_session_flops(const ds_session *session) { return session->last ? ds__execution_flops(session->last) : 0; }
