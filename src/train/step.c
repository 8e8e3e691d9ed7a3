/* One step: micro-batches through the training program, then the update; and evaluation on the same weights. */
#include <math.h>

#include "base/clock.h"
#include "base/error.h"
#include "ops/ops.h"
#include "train/trainer.h"

/* Rows of the loss that a text has: one, one for each token (tagging), or one for each pair. */
static bool by_tokens(const ds_trainer *trainer) { return trainer->info.task == DS_TRAIN_TAGGING; }

/* A token that is no word's first has no label; a text whose vector alone is kept need not have one. */
static bool may_lack_labels(const ds_trainer *trainer) {
    return by_tokens(trainer) || trainer->options.keep_vectors > 0;
}

/* Texts [first, last) of the batch. */
typedef struct part {
    const ds_train_batch *batch;
    size_t first, last;
    size_t token, tokens; /* of its first text in the batch, and how many */
    size_t row, rows;     /* the same for rows of the loss */
} part;

static part part_of(const ds_trainer *trainer, const ds_train_batch *batch, size_t first, size_t last) {
    part p = {.batch = batch, .first = first, .last = last};
    p.token = (size_t)batch->tokens.seq_start[first];
    p.tokens = (size_t)batch->tokens.seq_start[last] - p.token;
    const size_t texts = ds__trainer_pairs(trainer) ? 2 : 1;
    p.row = by_tokens(trainer) ? p.token : first / texts;
    p.rows = by_tokens(trainer) ? p.tokens : (last - first) / texts;
    return p;
}

/* As many texts from `first` on as the micro-batch has room for, at least one (or one pair). */
static part next_part(const ds_trainer *trainer, const ds_train_batch *batch, size_t first) {
    const size_t unit = ds__trainer_pairs(trainer) ? 2 : 1, texts = batch->tokens.texts;
    const int32_t *start = batch->tokens.seq_start;
    size_t last = first + unit;
    if (trainer->info.loss == DS_LOSS_IN_BATCH_NEGATIVES) return part_of(trainer, batch, first, texts);
    while (last + unit <= texts && (size_t)(start[last + unit] - start[first]) <= trainer->info.micro_batch_tokens)
        last += unit;
    return part_of(trainer, batch, first, last);
}

static ds_status check_batch(const ds_trainer *trainer, const ds_train_batch *batch, bool with_loss, ds_error *error) {
    const ds_packed_batch *tokens = &batch->tokens;
    if (tokens->texts == 0 || tokens->texts > DS__MAX_DIM || tokens->seq_start[0] != 0)
        return ds__fail(
            error, DS_INVALID_ARGUMENT,
            "a batch of %zu texts whose first starts at token %d; expected at least one text and a start of 0",
            tokens->texts, tokens->texts ? tokens->seq_start[0] : 0);
    for (size_t t = 0; t < tokens->texts; t++) {
        const int64_t length = (int64_t)tokens->seq_start[t + 1] - tokens->seq_start[t];
        if (length < 1 || length > ds__max_tokens(&trainer->folder.config))
            return ds__fail(error, DS_INVALID_ARGUMENT, "text %zu has %lld tokens, expected 1 to %d", t,
                            (long long)length, ds__max_tokens(&trainer->folder.config));
    }
    if (!with_loss) return DS_OK;
    if (ds__trainer_pairs(trainer) && tokens->texts % 2)
        return ds__fail(error, DS_INVALID_ARGUMENT, "a batch of %zu texts, expected pairs", tokens->texts);
    const bool labels = trainer->info.loss == DS_LOSS_CROSS_ENTROPY;
    const bool targets = !labels && trainer->info.loss != DS_LOSS_IN_BATCH_NEGATIVES;
    if ((labels && !batch->labels) || (targets && !batch->targets))
        return ds__fail(error, DS_INVALID_ARGUMENT, "the batch has no %s, which the loss needs",
                        labels ? "labels" : "targets");
    const size_t rows = by_tokens(trainer) ? (size_t)tokens->seq_start[tokens->texts] : tokens->texts;
    for (size_t i = 0; labels && i < rows; i++)
        if (batch->labels[i] >= trainer->info.labels || (batch->labels[i] < 0 && !may_lack_labels(trainer)))
            return ds__fail(error, DS_INVALID_ARGUMENT, "label %d of row %zu is outside the model's %d labels",
                            batch->labels[i], i, trainer->info.labels);
    return DS_OK;
}

/* What row `row` of the whole batch counts before all are divided by their sum. */
static double weight_of(const ds_trainer *trainer, const ds_train_batch *batch, size_t row) {
    if (trainer->info.loss != DS_LOSS_CROSS_ENTROPY) return 1;
    if (batch->labels[row] < 0) return by_tokens(trainer) ? 0 : 1; /* the loss of its label is 0, its distance counts */
    return trainer->options.class_weights ? trainer->options.class_weights[batch->labels[row]] : 1;
}

static size_t target_columns(const ds_trainer *trainer) {
    if (trainer->options.keep_vectors > 0) return (size_t)trainer->folder.config.hidden_size;
    return trainer->info.loss == DS_LOSS_COSINE ? 1 : (size_t)trainer->info.labels;
}

static ds_status grow(ds_trainer *trainer, void **items, size_t *capacity, size_t count, size_t bytes,
                      ds_error *error) {
    if (ds__grow(&trainer->context->heap, items, capacity, count, bytes)) return DS_OK;
    return ds__alloc_failed(&trainer->context->heap, count * bytes, "a batch in training", error);
}

/* Fills inputs[] for the part; rng: three words that live until the run. total: the sum of all weights. */
static ds_status bind(ds_trainer *trainer, const ds__built *built, const part *p, const int32_t *rng, double total,
                      ds_error *error) {
    const ds_packed_batch *tokens = &p->batch->tokens;
    const size_t texts = p->last - p->first;
    DS_TRY(grow(trainer, (void **)&trainer->positions, &trainer->token_capacity, p->tokens, sizeof(int32_t), error));
    DS_TRY(grow(trainer, (void **)&trainer->zeros, &trainer->zero_capacity, p->tokens, sizeof(int32_t), error));
    DS_TRY(grow(trainer, (void **)&trainer->starts, &trainer->start_capacity, texts + 1, sizeof(int32_t), error));
    DS_TRY(grow(trainer, (void **)&trainer->row_weights, &trainer->weight_capacity, p->rows, sizeof(float), error));
    DS_TRY(grow(trainer, (void **)&trainer->losses, &trainer->loss_capacity, p->rows, sizeof(float), error));
    for (size_t t = 0; t <= texts; t++) trainer->starts[t] = tokens->seq_start[p->first + t] - (int32_t)p->token;
    for (size_t t = 0; t < texts; t++)
        for (int32_t i = trainer->starts[t]; i < trainer->starts[t + 1]; i++)
            trainer->positions[i] = trainer->folder.config.first_position + i - trainer->starts[t];
    memset(trainer->zeros, 0, p->tokens * sizeof *trainer->zeros);
    for (size_t r = 0; r < p->rows && built->loss != SIZE_MAX; r++)
        trainer->row_weights[r] = (float)(weight_of(trainer, p->batch, p->row + r) / total);
    const void *const given[DS__SLOTS] = {
        [DS__SLOT_IDS] = tokens->ids + p->token,
        [DS__SLOT_POSITIONS] = trainer->positions,
        [DS__SLOT_TYPE_IDS] = tokens->type_ids ? tokens->type_ids + p->token : trainer->zeros,
        [DS__SLOT_SEQ_START] = trainer->starts,
        [DS__SLOT_RNG] = rng,
        [DS__SLOT_LABELS] = p->batch->labels ? p->batch->labels + p->row : NULL,
        [DS__SLOT_TARGETS] = p->batch->targets ? p->batch->targets + p->row * target_columns(trainer) : NULL,
        [DS__SLOT_ROW_WEIGHTS] = trainer->row_weights,
        [DS__SLOT_SETTINGS] = trainer->settings,
    };
    for (int s = 0; s < DS__SLOTS; s++)
        if (built->place[s] >= 0) trainer->inputs[built->place[s]] = given[s];
    return DS_OK;
}

static double seconds(uint64_t from_ns, uint64_t to_ns) { return (double)(to_ns - from_ns) * 1e-9; }

static ds_status run(ds_trainer *trainer, const ds__built *built, const part *p, ds_error *error) {
    const bool pairs = strcmp(ds__program_graph(built->program)->symbols[built->texts_symbol], "P") == 0;
    int64_t symbols[DS__MAX_SYMBOLS] = {0};
    symbols[built->tokens_symbol] = (int64_t)p->tokens;
    symbols[built->texts_symbol] = (int64_t)(p->last - p->first) / (pairs ? 2 : 1);
    return ds__execution_run(built->execution, symbols, trainer->inputs, built->outputs, error);
}

/* The part's share of the batch's loss. */
static double loss_of(const ds_trainer *trainer, const part *p) {
    double loss = 0;
    for (size_t r = 0; r < p->rows; r++)
        if (trainer->row_weights[r] != 0) loss += (double)trainer->row_weights[r] * (double)trainer->losses[r];
    return loss;
}

static double total_weight(const ds_trainer *trainer, const ds_train_batch *batch) {
    const part all = part_of(trainer, batch, 0, batch->tokens.texts);
    double total = 0;
    for (size_t r = 0; r < all.rows; r++) total += weight_of(trainer, batch, r);
    return total;
}

/* All micro-batches: gradients of the whole batch, its loss, and the time that went into both directions. Where the
 * program applies the gradients, one micro-batch. */
static ds_status differentiate(ds_trainer *trainer, const ds_train_batch *batch, ds_train_step *step, ds_error *error) {
    const double total = total_weight(trainer, batch);
    if (!(total > 0)) return ds__fail(error, DS_INVALID_ARGUMENT, "no row of the batch has a label");
    for (size_t first = 0; first < batch->tokens.texts;) {
        const part p =
            trainer->updates ? part_of(trainer, batch, 0, batch->tokens.texts) : next_part(trainer, batch, first);
        const int32_t rng[3] = {(int32_t)(uint32_t)trainer->options.seed,
                                (int32_t)(uint32_t)(trainer->options.seed >> 32), (int32_t)trainer->draw++};
        ds__built *built;
        DS_TRY(ds__trainer_program(trainer, first ? DS__TRAIN_MORE : DS__TRAIN_FIRST, &built, error));
        const uint64_t start = ds__clock_ns();
        DS_TRY(bind(trainer, built, &p, rng, total, error));
        built->outputs[built->loss] = trainer->losses;
        DS_TRY(run(trainer, built, &p, error));
        const uint64_t turn = ds__execution_reached_ns(built->execution);
        step->forward_s += seconds(start, turn);
        step->backward_s += seconds(turn, ds__clock_ns());
        step->loss += loss_of(trainer, &p);
        first = p.last;
    }
    return DS_OK;
}

/* What the program needs to update the parameters as it goes. */
static void settle_updates(ds_trainer *trainer, float rate) {
    const ds__parameters *parameters = &trainer->parameters;
    for (size_t i = 0; i < parameters->count; i++)
        ds__optimizer_settings(parameters, &parameters->items[i], trainer->step + 1, rate,
                               trainer->settings + i * DS__UPDATE_COLUMNS);
}

/* Of all gradients together. A row whose loss is not finite kept the program from updating anything, and counts. */
static double norm_of_applied(const ds_trainer *trainer, const ds_train_batch *batch) {
    const part all = part_of(trainer, batch, 0, batch->tokens.texts);
    double sum = 0;
    for (size_t i = 0; i < trainer->parameters.count; i++)
        sum += (double)trainer->lengths[i] * (double)trainer->lengths[i];
    for (size_t r = 0; r < all.rows; r++)
        if (!isfinite(trainer->losses[r])) sum = NAN;
    return sqrt(sum);
}

ds_status ds__trainer_step(ds_trainer *trainer, const ds_train_batch *batch, ds_train_step *step, ds_error *error) {
    const ds_trainer_options *options = &trainer->options;
    ds_train_step made = {.step = trainer->step + 1};
    DS_TRY(check_batch(trainer, batch, true, error));
    if (options->keep_vectors > 0 && !batch->targets)
        return ds__fail(error, DS_INVALID_ARGUMENT, "keep_vectors is %g, but the batch has no targets: vectors to keep",
                        (double)options->keep_vectors);
    const double factor = ds__schedule_at(options->schedule, made.step, options->warmup_steps, options->total_steps);
    made.learning_rate = (float)(options->learning_rate * factor);
    if (trainer->updates) settle_updates(trainer, made.learning_rate);
    DS_TRY(differentiate(trainer, batch, &made, error));
    const uint64_t start = ds__clock_ns();
    made.gradient_norm = trainer->updates ? norm_of_applied(trainer, batch)
                                          : ds__gradient_norm(&trainer->parameters, trainer->context->pool);
    if (!isfinite(made.loss) || !isfinite(made.gradient_norm))
        return ds__fail(
            error, DS_DIVERGED,
            "step %lld: the loss is %g and the gradients' norm %g; a lower learning rate than %g or a warm-up "
            "may help",
            (long long)made.step, made.loss, made.gradient_norm, (double)options->learning_rate);
    const double scale = options->max_grad_norm > 0 ? options->max_grad_norm / (made.gradient_norm + 1e-6) : 1;
    made.tokens = (size_t)batch->tokens.seq_start[batch->tokens.texts];
    trainer->step = made.step;
    if (!trainer->updates)
        ds__optimizer_step(&trainer->parameters, trainer->context->pool, made.step, made.learning_rate,
                           scale < 1 ? (float)scale : 1);
    made.optimizer_s = seconds(start, ds__clock_ns());
    if (step) *step = made;
    return DS_OK;
}

ds_status ds__trainer_evaluate(ds_trainer *trainer, const ds_train_batch *batch, float *out, double *loss,
                               ds_error *error) {
    static const int32_t rng[3];
    DS_TRY(check_batch(trainer, batch, loss != NULL, error));
    const double total = loss ? total_weight(trainer, batch) : 1;
    if (loss) *loss = 0;
    for (size_t first = 0; first < batch->tokens.texts;) {
        const part p = next_part(trainer, batch, first);
        const size_t row = by_tokens(trainer) ? p.token : p.first;
        const size_t rows = by_tokens(trainer) ? p.tokens : p.last - p.first, columns = (size_t)trainer->info.labels;
        ds__built *built;
        DS_TRY(ds__trainer_program(trainer, loss ? DS__TRAIN_MEASURED : DS__TRAIN_RESULT, &built, error));
        DS_TRY(bind(trainer, built, &p, rng, total, error));
        ds__arena memory;
        ds__arena_init(&memory, &trainer->context->heap, 0);
        float *result = out ? out + row * columns : ds__arena_alloc(&memory, rows * columns * sizeof *result);
        built->outputs[built->result] = result;
        if (loss) built->outputs[built->loss] = trainer->losses;
        ds_status status = result ? run(trainer, built, &p, error)
                                  : ds__alloc_failed(&trainer->context->heap, rows * columns * sizeof *result,
                                                     "a batch's result", error);
        ds__arena_deinit(&memory);
        DS_TRY(status);
        if (loss && total > 0) *loss += loss_of(trainer, &p);
        first = p.last;
    }
    return DS_OK;
}
