/* The three jobs on texts: embed, classify, tag. */
#include <math.h>

#include "base/error.h"
#include "pipeline/scores.h"
#include "pipeline/session.h"

/* 0 becomes the default; more than the model has positions for is refused. */
static ds_status resolve_max_tokens(const ds_session *session, int32_t asked, int32_t standard, int32_t *out,
                                    ds_error *error) {
    int32_t most = session->model->info.max_tokens;
    *out = asked ? asked : standard;
    if (*out >= 1 && *out <= most) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT, "max_tokens is %d, expected 1 to %d, the positions that the model has",
                    *out, most);
}

ds_status ds__embed(ds_session *session, const ds_text *texts, size_t count, const ds_embed_options *options,
                    float *out, ds_run_stats *stats, ds_error *error) {
    static const ds_embed_options defaults;
    const ds__folder *folder = &session->model->folder;
    if (!options) options = &defaults;
    ds_pooling pooling = options->pooling == DS_POOLING_AUTO ? folder->pooling : options->pooling;
    bool normalize = options->normalize == DS_SWITCH_AUTO ? folder->normalize : options->normalize == DS_SWITCH_YES;
    if (pooling < DS_POOLING_MEAN || pooling > DS_POOLING_MAX)
        return ds__fail(error, DS_INVALID_ARGUMENT, "pooling is %d, expected one of DS_POOLING_*", (int)pooling);
    ds__text_job job = {.task = ds__embed_task(pooling, normalize),
                        .texts = texts,
                        .count = count,
                        .row_floats = (size_t)session->model->info.hidden_size,
                        .out = out};
    DS_TRY(resolve_max_tokens(session, options->max_tokens, folder->embed_max_tokens, &job.max_tokens, error));
    return ds__session_texts(session, &job, stats, error);
}

static ds_status need_head(const ds_session *session, ds_head head, ds_error *error) {
    const ds_model_info *info = &session->model->info;
    if (info->head == head) return DS_OK;
    return ds__fail(error, DS_UNSUPPORTED, "%s: %s has no head for %s classification%s", info->folder,
                    info->architecture, head == DS_HEAD_SEQUENCE ? "sequence" : "token",
                    info->head == DS_HEAD_NONE ? "; it can be embedded" : ", but one for the other kind");
}

static int32_t best_label(const float *scores, size_t labels) {
    size_t best = 0;
    for (size_t i = 1; i < labels; i++)
        if (scores[i] > scores[best]) best = i;
    return (int32_t)best;
}

static ds_status check_answers(const ds_classify_options *options, const ds_model_info *info, ds_error *error) {
    if (!options->answers) return DS_OK;
    if (!(options->threshold >= 0 && options->threshold <= 1))
        return ds__fail(error, DS_INVALID_ARGUMENT, "threshold is %g, expected 0 to 1, as scores are",
                        (double)options->threshold);
    if (!options->logits && info->problem != DS_PROBLEM_REGRESSION) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT, "%s: answers need scores, but %s", info->folder,
                    options->logits ? "logits were asked for" : "the model's problem is regression, which has none");
}

ds_status ds__classify(ds_session *session, const ds_text *texts, const ds_text *pairs, size_t count,
                       const ds_classify_options *options, float *scores, ds_run_stats *stats, ds_error *error) {
    static const ds_classify_options defaults;
    const ds_model_info *info = &session->model->info;
    if (!options) options = &defaults;
    DS_TRY(need_head(session, DS_HEAD_SEQUENCE, error));
    size_t labels = (size_t)info->labels;
    ds__text_job job = {
        .task = DS__TASK_LOGITS, .texts = texts, .pairs = pairs, .count = count, .row_floats = labels, .out = scores};
    DS_TRY(resolve_max_tokens(session, options->max_tokens, info->max_tokens, &job.max_tokens, error));
    DS_TRY(check_answers(options, info, error));
    DS_TRY(ds__session_texts(session, &job, stats, error));
    if (options->logits || info->problem == DS_PROBLEM_REGRESSION) return DS_OK;
    for (size_t i = 0; i < count; i++) {
        float *row = scores + i * labels;
        ds__scores_of_logits(info, row, row);
        if (!options->answers) continue;
        const int32_t best = best_label(row, labels);
        options->answers[i] = row[best] >= options->threshold ? best : DS_LABEL_UNKNOWN;
    }
    return DS_OK;
}

/* The span of the word whose first piece is token `at`; *next: the token behind its last piece. */
static ds_tag_span read_word(const ds_session *session, size_t at, size_t end, float *logits, size_t labels,
                             size_t *next) {
    const ds__batch *batch = &session->batch;
    size_t last = at;
    ds__softmax_scores(logits + at * labels, labels, 1, logits + at * labels);
    const size_t best = (size_t)best_label(logits + at * labels, labels);
    while (last + 1 < end && batch->words[last + 1] == batch->words[at]) last++;
    *next = last + 1;
    return (ds_tag_span){.label = (int32_t)best,
                         .score = logits[at * labels + best],
                         .start = (size_t)batch->offsets[2 * at],
                         .end = (size_t)batch->offsets[2 * last + 1]};
}

static ds_status collect_spans(ds_session *session, const ds__text_job *job, size_t first, ds_error *error) {
    (void)job;
    (void)first;
    const ds__batch *batch = &session->batch;
    ds__heap *heap = &session->model->context->heap;
    size_t labels = (size_t)session->model->info.labels;
    for (size_t t = 0; t < batch->texts; t++) {
        size_t end = (size_t)batch->seq_start[t + 1];
        for (size_t at = (size_t)batch->seq_start[t]; at < end;) {
            if (batch->words[at] < 0) { /* a special token */
                at++;
                continue;
            }
            if (!ds__grow(heap, (void **)&session->spans, &session->span_capacity, session->span_count + 1,
                          sizeof *session->spans))
                return ds__alloc_failed(heap, sizeof *session->spans, "tags", error);
            session->spans[session->span_count++] = read_word(session, at, end, session->logits, labels, &at);
        }
        session->span_start[++session->span_texts] = session->span_count;
    }
    return DS_OK;
}

ds_status ds__tag(ds_session *session, const ds_text *texts, size_t count, const ds_tag_options *options,
                  ds_run_stats *stats, ds_error *error) {
    static const ds_tag_options defaults;
    const ds_model_info *info = &session->model->info;
    ds__heap *heap = &session->model->context->heap;
    if (!options) options = &defaults;
    DS_TRY(need_head(session, DS_HEAD_TOKEN, error));
    session->span_count = session->span_texts = 0;
    if (!ds__grow(heap, (void **)&session->span_start, &session->span_start_capacity, count + 1,
                  sizeof *session->span_start))
        return ds__alloc_failed(heap, (count + 1) * sizeof *session->span_start, "tags", error);
    session->span_start[0] = 0;
    ds__text_job job = {.task = DS__TASK_LOGITS, .texts = texts, .count = count, .done = collect_spans};
    DS_TRY(resolve_max_tokens(session, options->max_tokens, info->max_tokens, &job.max_tokens, error));
    return ds__session_texts(session, &job, stats, error);
}
