#include "train/fit_rows.h"

#include <math.h>

#include "base/error.h"

enum { MICRO_TOKENS = 4096 };

/* Who is told of rows that are left out. */
typedef struct listener {
    void (*tell)(void *user, const char *sentence);
    void *user;
} listener;

static ds_status open_labelled(ds__fit_rows *r, ds_trainer_options *how, const listener *warn, ds_error *error) {
    const ds_fit_options *o = r->options;
    ds__dataset_options options = {
        .path = o->train,
        .text_column = o->text_column,
        .pair_column = o->pair_column,
        .label_column = o->label_column,
        .no_header = o->no_header,
        .task = how->task,
        .label_names = how->label_names,
        .labels = how->label_names ? how->labels : 0,
        .needs_labels = (!o->teacher || how->keep_vectors > 0) && how->loss != DS_LOSS_IN_BATCH_NEGATIVES,
        .warn = warn->tell,
        .user = warn->user,
    };
    DS_TRY(ds__dataset_open(r->heap, &options, &r->train, error));
    const ds__dataset_info *info = ds__dataset_describe(r->train);
    how->task = info->task;
    if (info->task != DS_TRAIN_EMBEDDING && !how->label_names) {
        how->labels = info->labels;
        how->label_names = info->label_names;
    }
    if (info->task == DS_TRAIN_EMBEDDING && !info->has_pairs && !o->teacher)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "%s: training vectors needs pairs of texts; name the second text's column, or a teacher",
                        o->train);
    if (!o->eval) return DS_OK;
    options.path = o->eval;
    options.task = info->task;
    options.label_names = how->label_names;
    options.labels = how->label_names ? how->labels : 0;
    options.needs_labels = true;
    return ds__dataset_open(r->heap, &options, &r->eval, error);
}

static ds_status open_kept(ds__fit_rows *r, const ds_trainer_options *how, const listener *warn, ds_error *error) {
    if (!r->options->keep_texts) return DS_OK;
    if (!(how->keep_vectors > 0))
        return ds__fail(error, DS_INVALID_ARGUMENT, "keep_texts is %s, but keep_vectors is 0: nothing is kept of them",
                        r->options->keep_texts);
    const ds__dataset_options options = {
        .path = r->options->keep_texts, .task = DS_TRAIN_CLASSIFICATION, .warn = warn->tell, .user = warn->user};
    DS_TRY(ds__dataset_open(r->heap, &options, &r->kept, error));
    const size_t count = ds__dataset_describe(r->kept)->rows;
    if (count > UINT32_MAX)
        return ds__fail(error, DS_UNSUPPORTED, "%s: has %zu rows, at most %u are possible", options.path, count,
                        UINT32_MAX);
    r->kept_order = ds__alloc(r->heap, count * sizeof *r->kept_order);
    r->kept_round = -1;
    return r->kept_order ? DS_OK : ds__alloc_failed(r->heap, count * sizeof *r->kept_order, "an order of texts", error);
}

/* Which rows are trained on: all, or those that the shares to evaluate on and to calibrate with leave. */
static ds_status split(ds__fit_rows *r, ds_error *error) {
    const double share = r->options->eval_split, calibrate = r->options->calibrate;
    r->all_count = ds__dataset_describe(r->train)->rows;
    if (r->all_count > UINT32_MAX)
        return ds__fail(error, DS_UNSUPPORTED, "%s: has %zu rows, at most %u are possible", r->options->train,
                        r->all_count, UINT32_MAX);
    if (!(share >= 0 && share < 1))
        return ds__fail(error, DS_INVALID_ARGUMENT, "eval_split is %g, expected 0 to less than 1", share);
    if (!(calibrate >= 0 && calibrate < 1))
        return ds__fail(error, DS_INVALID_ARGUMENT, "calibrate is %g, expected 0 to less than 1", calibrate);
    r->held_out = r->eval ? 0 : (size_t)llround(share * (double)r->all_count);
    r->calibration_count = (size_t)llround(calibrate * (double)r->all_count);
    if (calibrate > 0 && r->calibration_count == 0)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s: a share of %g to calibrate with is none of %zu rows",
                        r->options->train, calibrate, r->all_count);
    if (r->held_out + r->calibration_count >= r->all_count)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "%s: an eval_split of %g and %g to calibrate leave none of %zu rows", r->options->train, share,
                        calibrate, r->all_count);
    r->trained = r->all_count - r->held_out - r->calibration_count;
    r->all = ds__alloc(r->heap, r->all_count * sizeof *r->all);
    r->order = ds__alloc(r->heap, r->all_count * sizeof *r->order);
    if (!r->all || !r->order)
        return ds__alloc_failed(r->heap, r->all_count * sizeof *r->all, "the order of the rows", error);
    ds__shuffle(r->seed, UINT64_MAX, r->all, r->all_count); /* an epoch that never comes */
    if (r->trained == r->all_count)
        for (size_t i = 0; i < r->all_count; i++) r->all[i] = (uint32_t)i;
    r->ordered_epoch = -1;
    return DS_OK;
}

ds_status ds__fit_rows_open(ds__fit_rows *rows, ds__heap *heap, const ds_fit_options *options, ds_trainer_options *how,
                            void (*warn)(void *user, const char *sentence), void *user, ds_error *error) {
    const listener told = {warn, user};
    rows->heap = heap;
    rows->options = options;
    rows->seed = how->seed;
    DS_TRY(open_labelled(rows, how, &told, error));
    DS_TRY(open_kept(rows, how, &told, error));
    return split(rows, error);
}

/* How many tokens a row has in the mean and how far rows deviate, from up to 512 rows all over the file. order: NULL
 * for the file's. */
static ds_status measure(ds__dataset *data, const uint32_t *order, size_t count, const ds__batch_rule *rule,
                         ds__fit_batch *batch, double out[2], ds_error *error) {
    const size_t rows = count < 512 ? count : 512;
    double squares = 0;
    ds__fit_batch_clear(batch);
    for (size_t i = 0; i < rows; i++) {
        ds__data_row row;
        const size_t at = i * (count / rows);
        DS_TRY(ds__dataset_read(data, order ? order[at] : at, &row, error));
        const size_t before = batch->tokens;
        DS_TRY(ds__fit_batch_add(batch, rule, &row, error));
        squares += (double)(batch->tokens - before) * (double)(batch->tokens - before);
    }
    out[0] = (double)batch->tokens / (double)rows;
    out[1] = sqrt(fmax(0, squares / (double)rows - out[0] * out[0]));
    return DS_OK;
}

ds_status ds__fit_rows_plan(ds__fit_rows *rows, const ds__batch_rule *rule, ds__fit_batch *batch,
                            ds_trainer_options *how, ds_error *error) {
    const ds_fit_options *o = rows->options;
    double own[2], kept[2] = {0, 0}; /* mean and deviation */
    const size_t size = o->batch_size ? o->batch_size : 32, parts = o->accumulation ? o->accumulation : 1;
    if (!ds__size_mul(size, parts, &rows->of_step) || rows->of_step > INT32_MAX)
        return ds__fail(error, DS_INVALID_ARGUMENT, "a step of %zu times %zu texts is too large", size, parts);
    DS_TRY(measure(rows->train, rows->all, rows->trained, rule, batch, own, error));
    if (rows->kept) DS_TRY(measure(rows->kept, NULL, ds__dataset_describe(rows->kept)->rows, rule, batch, kept, error));
    if (o->batch_tokens) rows->of_step = (size_t)fmax(1, (double)o->batch_tokens / own[0]) * parts;
    if (how->micro_batch_tokens == 0) { /* what all but one step of a thousand have: the plan says what is needed */
        const double count = fmin((double)rows->of_step, (double)rows->trained);
        const double tokens = count * (own[0] + kept[0]) + 3 * sqrt(count) * (own[1] + kept[1]);
        const bool whole = how->memory_efficient && how->max_grad_norm < 0; /* a step may be one micro-batch */
        how->micro_batch_tokens = tokens < MICRO_TOKENS || whole ? (size_t)ceil(tokens / 64) * 64 : MICRO_TOKENS;
    }
    const double epochs = o->epochs > 0 ? o->epochs : 3;
    rows->steps_of_epoch = (int64_t)((rows->trained + rows->of_step - 1) / rows->of_step);
    how->total_steps = o->max_steps > 0 ? o->max_steps : (int64_t)ceil(epochs * (double)rows->steps_of_epoch);
    if (how->warmup_steps == 0) how->warmup_steps = (int64_t)ceil(o->warmup_ratio * (double)how->total_steps);
    return DS_OK;
}

/* As many texts as there are rows, round after round, each in another order. */
static ds_status add_kept(ds__fit_rows *r, const ds__batch_rule *rule, int64_t step, size_t count, ds__fit_batch *batch,
                          ds_error *error) {
    const size_t texts = ds__dataset_describe(r->kept)->rows;
    for (size_t i = 0; i < count; i++) {
        const uint64_t at = (uint64_t)step * r->of_step + i;
        ds__data_row row;
        if ((int64_t)(at / texts) != r->kept_round) {
            r->kept_round = (int64_t)(at / texts);
            ds__shuffle(r->seed, (uint64_t)r->kept_round, r->kept_order, texts);
        }
        DS_TRY(ds__dataset_read(r->kept, r->kept_order[at % texts], &row, error));
        row.label = -1;
        DS_TRY(ds__fit_batch_add(batch, rule, &row, error));
    }
    return DS_OK;
}

ds_status ds__fit_rows_fill(ds__fit_rows *rows, const ds__batch_rule *rule, int64_t step, ds__fit_batch *batch,
                            ds_error *error) {
    const int64_t epoch = step / rows->steps_of_epoch;
    const size_t first = (size_t)(step % rows->steps_of_epoch) * rows->of_step;
    const size_t last = first + rows->of_step < rows->trained ? first + rows->of_step : rows->trained;
    if (epoch != rows->ordered_epoch) {
        ds__shuffle(rows->seed, (uint64_t)epoch, rows->order, rows->trained);
        rows->ordered_epoch = epoch;
    }
    ds__fit_batch_clear(batch);
    for (size_t i = first; i < last; i++) {
        ds__data_row row;
        DS_TRY(ds__dataset_read(rows->train, rows->all[rows->order[i]], &row, error));
        DS_TRY(ds__fit_batch_add(batch, rule, &row, error));
    }
    return rows->kept ? add_kept(rows, rule, step, last - first, batch, error) : DS_OK;
}

void ds__fit_rows_close(ds__fit_rows *rows) {
    ds__heap *heap = rows->heap;
    ds__free(heap, rows->all, rows->all ? rows->all_count * sizeof *rows->all : 0);
    ds__free(heap, rows->order, rows->order ? rows->all_count * sizeof *rows->order : 0);
    ds__free(heap, rows->kept_order,
             rows->kept_order ? ds__dataset_describe(rows->kept)->rows * sizeof *rows->kept_order : 0);
    ds__dataset_close(rows->kept);
    ds__dataset_close(rows->eval);
    ds__dataset_close(rows->train);
}
