/* Sessions: running one packed batch, and running many texts batch by batch. */
#include "pipeline/session.h"

#include "base/error.h"

ds_status ds__session_create(ds_model *model, ds_session **out, ds_error *error) {
    ds__heap *heap = &model->context->heap;
    ds_session *session = ds__alloc_zeroed(heap, sizeof *session);
    if (!session) return ds__alloc_failed(heap, sizeof *session, "a session", error);
    session->model = model;
    ds__workspace_init(&session->workspace, heap);
    ds_status status = ds_encoding_create(model->context, &session->encoding, error);
    if (status != DS_OK) {
        ds__session_destroy(session);
        return status;
    }
    *out = session;
    return DS_OK;
}

static void free_batch(ds__heap *heap, ds__batch *batch) {
    size_t tokens = batch->token_capacity * sizeof(int32_t);
    ds__free(heap, batch->ids, tokens);
    ds__free(heap, batch->positions, tokens);
    ds__free(heap, batch->type_ids, tokens);
    ds__free(heap, batch->words, tokens);
    ds__free(heap, batch->offsets, 2 * tokens);
    ds__free(heap, batch->seq_start, (batch->text_capacity + 1) * sizeof(int32_t));
    *batch = (ds__batch){0};
}

void ds__session_destroy(ds_session *session) {
    if (!session) return;
    ds__heap *heap = &session->model->context->heap;
    for (int i = 0; i < DS__TASK_COUNT; i++) ds__execution_destroy(session->executions[i]);
    ds__workspace_deinit(&session->workspace);
    free_batch(heap, &session->batch);
    if (session->encoding) ds_encoding_destroy(session->encoding);
    ds__free(heap, session->logits, session->logit_capacity * sizeof *session->logits);
    ds__free(heap, session->spans, session->span_capacity * sizeof *session->spans);
    ds__free(heap, session->span_start, session->span_start_capacity * sizeof *session->span_start);
    ds__free(heap, session, sizeof *session);
}

/* Makes room for so many tokens and texts, keeping what is packed. */
static ds_status batch_reserve(ds__heap *heap, ds__batch *batch, size_t tokens, size_t texts, ds_error *error) {
    if (tokens <= batch->token_capacity && texts <= batch->text_capacity && batch->seq_start) return DS_OK;
    ds__batch grown = {.tokens = batch->tokens, .texts = batch->texts};
    grown.token_capacity = tokens > batch->token_capacity ? tokens + tokens / 4 : batch->token_capacity;
    grown.text_capacity = texts > batch->text_capacity ? texts + texts / 4 : batch->text_capacity;
    size_t bytes = grown.token_capacity * sizeof(int32_t), start_bytes = (grown.text_capacity + 1) * sizeof(int32_t);
    grown.ids = ds__alloc(heap, bytes);
    grown.positions = ds__alloc(heap, bytes);
    grown.type_ids = ds__alloc(heap, bytes);
    grown.words = ds__alloc(heap, bytes);
    grown.offsets = ds__alloc(heap, 2 * bytes);
    grown.seq_start = ds__alloc(heap, start_bytes);
    if (!grown.ids || !grown.positions || !grown.type_ids || !grown.words || !grown.offsets || !grown.seq_start) {
        free_batch(heap, &grown);
        return ds__alloc_failed(heap, 6 * bytes + start_bytes, "a batch of tokens", error);
    }
    grown.seq_start[0] = 0;
    if (batch->seq_start) {
        size_t used = batch->tokens * sizeof(int32_t);
        memcpy(grown.ids, batch->ids, used);
        memcpy(grown.positions, batch->positions, used);
        memcpy(grown.type_ids, batch->type_ids, used);
        memcpy(grown.words, batch->words, used);
        memcpy(grown.offsets, batch->offsets, 2 * used);
        memcpy(grown.seq_start, batch->seq_start, (batch->texts + 1) * sizeof(int32_t));
    }
    free_batch(heap, batch);
    *batch = grown;
    return DS_OK;
}

/* Appends what the encoding holds as one more text. */
static ds_status batch_append(ds_session *session, const ds_encoding *encoding, ds_error *error) {
    ds__batch *batch = &session->batch;
    size_t size = ds_encoding_size(encoding), at = batch->tokens;
    DS_TRY(batch_reserve(&session->model->context->heap, batch, at + size, batch->texts + 1, error));
    memcpy(batch->ids + at, ds_encoding_ids(encoding), size * sizeof(int32_t));
    memcpy(batch->type_ids + at, ds_encoding_type_ids(encoding), size * sizeof(int32_t));
    memcpy(batch->words + at, ds_encoding_words(encoding), size * sizeof(int32_t));
    memcpy(batch->offsets + 2 * at, ds_encoding_offsets(encoding), 2 * size * sizeof(int32_t));
    for (size_t i = 0; i < size; i++)
        batch->positions[at + i] = session->model->folder.config.first_position + (int32_t)i;
    batch->tokens += size;
    batch->seq_start[++batch->texts] = (int32_t)batch->tokens;
    return DS_OK;
}

/* Empties the batch for new texts; the arrays that the last run read may move from now on. */
static void start_batch(ds_session *session) {
    session->batch.tokens = session->batch.texts = 0;
    session->last = NULL;
}

/* The next of 1, 1.25, 1.5, 1.75 times a power of two: plans are made for few different sizes, at most 25 % too large.
 */
static int64_t round_size(int64_t size) {
    int64_t step = 1;
    while (step * 8 <= size) step *= 2;
    return (size + step - 1) / step * step;
}

static ds_status find_execution(ds_session *session, ds__task task, const ds__task_program **program,
                                ds__execution **execution, ds_error *error) {
    DS_TRY(ds__model_program(session->model, task, program, error));
    if (!session->executions[task])
        DS_TRY(ds__execution_create((*program)->program, &session->workspace, &session->executions[task], error));
    *execution = session->executions[task];
    return DS_OK;
}

/* Plans for rounded sizes, so that a stream of different batches soon stops planning; where the memory limit forbids
 * the rounding, exactly. */
static ds_status reserve(const ds__task_program *program, ds__execution *execution, const ds__batch *batch,
                         ds_error *error) {
    int64_t symbols[DS__MAX_SYMBOLS];
    ds__task_symbols(program, round_size((int64_t)batch->tokens), round_size((int64_t)batch->texts), symbols);
    ds_status status = ds__execution_reserve(execution, symbols, error);
    if (status != DS_MEMORY_LIMIT) return status;
    ds__task_symbols(program, (int64_t)batch->tokens, (int64_t)batch->texts, symbols);
    return ds__execution_reserve(execution, symbols, error);
}

ds_status ds__session_run(ds_session *session, ds__task task, const ds__batch *batch, float *out, ds_error *error) {
    const ds__task_program *program;
    ds__execution *execution;
    int64_t symbols[DS__MAX_SYMBOLS];
    const void *inputs[4] = {NULL};
    DS_TRY(find_execution(session, task, &program, &execution, error));
    DS_TRY(reserve(program, execution, batch, error));
    if (program->ids >= 0) inputs[program->ids] = batch->ids;
    if (program->positions >= 0) inputs[program->positions] = batch->positions;
    if (program->type_ids >= 0) inputs[program->type_ids] = batch->type_ids;
    if (program->seq_start >= 0) inputs[program->seq_start] = batch->seq_start;
    ds__task_symbols(program, (int64_t)batch->tokens, (int64_t)batch->texts, symbols);
    session->last = execution;
    return ds__execution_run(execution, symbols, inputs, (void *const[]){out}, error);
}

/* How many tokens a batch may have so that its memory fits under the limit: halved until it does.  A single text may
 * have more; then the run itself says what is missing. */
static ds_status token_budget(ds_session *session, ds__task task, size_t *budget, ds_error *error) {
    const ds__heap *heap = &session->model->context->heap;
    const ds__task_program *program;
    ds__program_memory memory;
    int64_t symbols[DS__MAX_SYMBOLS];
    *budget = DS__BATCH_TOKENS;
    if (!heap->limit) return DS_OK;
    DS_TRY(ds__model_program(session->model, task, &program, error));
    for (; *budget > 64; *budget /= 2) {
        int64_t texts = *budget < DS__BATCH_TEXTS ? (int64_t)*budget : DS__BATCH_TEXTS;
        ds__task_symbols(program, (int64_t)*budget, texts, symbols);
        DS_TRY(ds__program_memory_for(program->program, symbols, &memory, error));
        uint64_t reusable = session->workspace.buffer_bytes + session->workspace.scratch_bytes;
        uint64_t held = heap->bytes > reusable ? heap->bytes - reusable : 0;
        /* Beside the workspace: the token arrays (6 of 4 bytes, while they grow twice), the logits of a batch. */
        uint64_t lists = *budget * (48 + (uint64_t)session->model->info.labels * sizeof(float));
        if (held + memory.activations + memory.scratch + lists <= heap->limit) return DS_OK;
    }
    return DS_OK;
}

static ds_status run_texts(ds_session *session, const ds__text_job *job, size_t first, ds_error *error) {
    ds__batch *batch = &session->batch;
    float *out = job->row_floats ? job->out + first * job->row_floats : session->logits;
    if (!job->row_floats) {
        size_t floats = batch->tokens * (size_t)session->model->info.labels;
        if (!ds__grow(&session->model->context->heap, (void **)&session->logits, &session->logit_capacity, floats,
                      sizeof *session->logits))
            return ds__alloc_failed(&session->model->context->heap, floats * sizeof(float), "logits", error);
        out = session->logits;
    }
    DS_TRY(ds__session_run(session, job->task, batch, out, error));
    if (job->done) DS_TRY(job->done(session, job, first, error));
    batch->tokens = batch->texts = 0;
    return DS_OK;
}

static ds_status encode(ds_session *session, const ds__text_job *job, size_t i, ds_run_stats *stats, ds_error *error) {
    ds_status status = ds_tokenizer_encode(session->model->tokenizer, job->texts[i], job->pairs ? &job->pairs[i] : NULL,
                                           job->max_tokens, session->encoding, error);
    if (status != DS_OK) return ds__fail_in(error, status, "text %zu", i + 1);
    size_t size = ds_encoding_size(session->encoding);
    if (size == 0)
        return ds__fail(error, DS_INVALID_ARGUMENT, "text %zu has no token, and the tokenizer adds none; leave it out",
                        i + 1);
    stats->tokens += size;
    stats->truncated += ds_encoding_dropped(session->encoding) > 0;
    return DS_OK;
}

ds_status ds__session_texts(ds_session *session, const ds__text_job *job, ds_run_stats *stats, ds_error *error) {
    ds_run_stats counted = {0, 0};
    size_t budget, first = 0;
    if (!session->model->tokenizer)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s was opened without its tokenizer, which texts need",
                        session->model->folder.path);
    start_batch(session);
    DS_TRY(token_budget(session, job->task, &budget, error));
    for (size_t i = 0; i < job->count; i++) {
        DS_TRY(encode(session, job, i, &counted, error));
        bool full = session->batch.tokens + ds_encoding_size(session->encoding) > budget ||
                    session->batch.texts == DS__BATCH_TEXTS;
        if (full && session->batch.texts) {
            DS_TRY(run_texts(session, job, first, error));
            first = i;
        }
        DS_TRY(batch_append(session, session->encoding, error));
    }
    if (session->batch.texts) DS_TRY(run_texts(session, job, first, error));
    if (stats) *stats = counted;
    return DS_OK;
}

/* Checks what the graph's operators do not: lengths against the positions. Ids and starts are checked where they are
 * used. */
static ds_status pack_ids(ds_session *session, const ds_packed_batch *given, ds_error *error) {
    const ds__model_config *config = &session->model->folder.config;
    ds__batch *batch = &session->batch;
    start_batch(session);
    if (given->texts == 0 || given->texts > DS__MAX_DIM || given->seq_start[0] != 0)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "a batch of %zu texts whose first starts at token %d; expected at least "
                        "one text and a start of 0",
                        given->texts, given->texts ? given->seq_start[0] : 0);
    for (size_t t = 0; t < given->texts; t++) {
        int64_t length = (int64_t)given->seq_start[t + 1] - given->seq_start[t];
        if (length < 1 || length > ds__max_tokens(config))
            return ds__fail(error, DS_INVALID_ARGUMENT, "text %zu has %lld tokens, expected 1 to %d", t,
                            (long long)length, ds__max_tokens(config));
    }
    size_t tokens = (size_t)given->seq_start[given->texts];
    DS_TRY(batch_reserve(&session->model->context->heap, batch, tokens, given->texts, error));
    batch->tokens = tokens;
    batch->texts = given->texts;
    memcpy(batch->ids, given->ids, tokens * sizeof(int32_t));
    memcpy(batch->seq_start, given->seq_start, (given->texts + 1) * sizeof(int32_t));
    if (given->type_ids)
        memcpy(batch->type_ids, given->type_ids, tokens * sizeof(int32_t));
    else
        memset(batch->type_ids, 0, tokens * sizeof(int32_t));
    for (size_t t = 0; t < given->texts; t++)
        for (int32_t i = given->seq_start[t]; i < given->seq_start[t + 1]; i++)
            batch->positions[i] = config->first_position + i - given->seq_start[t];
    return DS_OK;
}

ds_status ds__session_forward(ds_session *session, const ds_packed_batch *batch, ds_output output, float *out,
                              ds_error *error) {
    DS_TRY(pack_ids(session, batch, error));
    ds__task task = output == DS_OUTPUT_HIDDEN ? DS__TASK_HIDDEN
                    : output == DS_OUTPUT_LOGITS
                        ? DS__TASK_LOGITS
                        : ds__embed_task(session->model->folder.pooling, session->model->folder.normalize);
    return ds__session_run(session, task, &session->batch, out, error);
}
