/* Rows of a dataset to packed batches; see fit.h. */
#include "base/error.h"
#include "train/fit.h"

ds_status ds__fit_batch_init(ds__fit_batch *batch, ds_context *context, ds_error *error) {
    *batch = (ds__fit_batch){.heap = &context->heap};
    ds__arena_init(&batch->copies, batch->heap, 0);
    return ds_encoding_create(context, &batch->encoding, error);
}

void ds__fit_batch_deinit(ds__fit_batch *batch) {
    if (batch->encoding) ds_encoding_destroy(batch->encoding);
    ds__free(batch->heap, batch->ids, batch->id_capacity * sizeof *batch->ids);
    ds__free(batch->heap, batch->type_ids, batch->type_capacity * sizeof *batch->type_ids);
    ds__free(batch->heap, batch->starts, batch->start_capacity * sizeof *batch->starts);
    ds__free(batch->heap, batch->labels, batch->label_capacity * sizeof *batch->labels);
    ds__free(batch->heap, batch->targets, batch->target_capacity * sizeof *batch->targets);
    ds__free(batch->heap, batch->kept, batch->kept_capacity * sizeof *batch->kept);
    ds__arena_deinit(&batch->copies);
}

void ds__fit_batch_clear(ds__fit_batch *batch) {
    batch->tokens = batch->texts = batch->rows = 0;
    ds__arena_reset(&batch->copies);
}

static bool grow(ds__fit_batch *batch, void *items, size_t *capacity, size_t count, size_t bytes) {
    return ds__grow(batch->heap, (void **)items, capacity, count, bytes);
}

static ds_status no_memory(const ds__fit_batch *batch, ds_error *error) {
    return ds__alloc_failed(batch->heap, batch->tokens * sizeof(int32_t), "a batch of texts", error);
}

/* Appends a text, with `pair` behind it where there is one. */
static ds_status add_text(ds__fit_batch *batch, const ds__batch_rule *rule, ds__str text, ds__str pair,
                          ds_error *error) {
    const ds_text first = {text.data, text.size}, second = {pair.data, pair.size};
    DS_TRY(ds_tokenizer_encode(rule->tokenizer, first, pair.data ? &second : NULL, rule->max_tokens, batch->encoding,
                               error));
    const size_t size = ds_encoding_size(batch->encoding), end = batch->tokens + size;
    if (size == 0) return ds__fail(error, DS_INVALID_ARGUMENT, "a text has no token, and the tokenizer adds none");
    if (end > INT32_MAX || !grow(batch, &batch->ids, &batch->id_capacity, end, sizeof(int32_t)) ||
        !grow(batch, &batch->type_ids, &batch->type_capacity, end, sizeof(int32_t)) ||
        !grow(batch, &batch->starts, &batch->start_capacity, batch->texts + 2, sizeof(int32_t)))
        return no_memory(batch, error);
    memcpy(batch->ids + batch->tokens, ds_encoding_ids(batch->encoding), size * sizeof(int32_t));
    memcpy(batch->type_ids + batch->tokens, ds_encoding_type_ids(batch->encoding), size * sizeof(int32_t));
    batch->starts[0] = 0;
    if (rule->keeps) {
        const ds__str copy = ds__arena_copy(&batch->copies, text);
        if (!copy.data || !grow(batch, &batch->kept, &batch->kept_capacity, batch->texts + 1, sizeof *batch->kept))
            return no_memory(batch, error);
        batch->kept[batch->texts] = (ds_text){copy.data, copy.size};
    }
    batch->tokens = end;
    batch->starts[++batch->texts] = (int32_t)end;
    return DS_OK;
}

ds_status ds__fit_batch_reserve(ds__fit_batch *batch, size_t columns, ds_error *error) {
    if (grow(batch, &batch->targets, &batch->target_capacity, batch->texts * columns, sizeof(float))) return DS_OK;
    return no_memory(batch, error);
}

ds_status ds__fit_batch_add(ds__fit_batch *batch, const ds__batch_rule *rule, const ds__data_row *row,
                            ds_error *error) {
    static const ds__str none;
    if (rule->pairs) {
        DS_TRY(add_text(batch, rule, row->text, none, error));
        DS_TRY(add_text(batch, rule, row->pair, none, error));
    } else {
        DS_TRY(add_text(batch, rule, row->text, row->pair, error));
    }
    const size_t at = batch->rows++, columns = rule->task == DS_TRAIN_MULTI_LABEL ? (size_t)rule->labels : 1;
    if (!grow(batch, &batch->labels, &batch->label_capacity, at + 1, sizeof(int32_t)) ||
        !grow(batch, &batch->targets, &batch->target_capacity, (at + 1) * columns, sizeof(float)))
        return no_memory(batch, error);
    batch->labels[at] = row->label;
    if (rule->task == DS_TRAIN_MULTI_LABEL && row->targets)
        memcpy(batch->targets + at * columns, row->targets, columns * sizeof(float));
    else if (rule->task != DS_TRAIN_MULTI_LABEL)
        batch->targets[at] = row->value;
    return DS_OK;
}

ds__data_row ds__fit_batch_expected(const ds__fit_batch *batch, const ds__batch_rule *rule, size_t row) {
    if (rule->task == DS_TRAIN_MULTI_LABEL)
        return (ds__data_row){.label = -1, .targets = batch->targets + row * (size_t)rule->labels};
    return (ds__data_row){.label = batch->labels[row], .value = batch->targets[row]};
}

ds_train_batch ds__fit_batch_view(const ds__fit_batch *batch) {
    return (ds_train_batch){
        .tokens = {batch->ids, batch->type_ids, batch->starts, batch->texts},
        .labels = batch->labels,
        .targets = batch->targets,
    };
}
