/* Folders with fewer tokens: which stay, that what is kept says the same to the bit, that no word becomes unknown, what
 * is refused, and that every allocation on the way may fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>

#include "support/model_case.h"
#include "support/scratch_folder.h"

enum { MOST_IDS = 1024, MOST_TEXT = 400 };

static ds_context *context;
static scratch_folder scratch;
static ds_error error;
static uint64_t idle;

static int start(void **state) {
    assert_int_equal(ds_context_create(NULL, &context, NULL), DS_OK);
    idle = context->heap.bytes;
    scratch_create(&scratch);
    return 0;
}

static int finish(void **state) {
    scratch_destroy(&scratch);
    assert_int_equal(context->heap.bytes, idle);
    ds_context_destroy(context);
    return 0;
}

typedef struct tokens {
    ds_tokenizer *tokenizer;
    ds_encoding *encoding;
} tokens;

static tokens open_tokens(const char *folder) {
    tokens t;
    if (ds_tokenizer_open(context, folder, &t.tokenizer, &error) != DS_OK) fail_msg("%s: %s", folder, error.message);
    assert_int_equal(ds_encoding_create(context, &t.encoding, &error), DS_OK);
    return t;
}

static void close_tokens(tokens *t) {
    ds_encoding_destroy(t->encoding);
    ds_tokenizer_close(t->tokenizer);
}

static const int32_t *encode(const tokens *t, ds_text text, size_t *count) {
    assert_int_equal(ds_tokenizer_encode(t->tokenizer, text, NULL, 0, t->encoding, &error), DS_OK);
    *count = ds_encoding_size(t->encoding);
    return ds_encoding_ids(t->encoding);
}

static void data_folder(char out[512], const char *name) { snprintf(out, 512, DS_TEST_DATA "/models/%s", name); }

static size_t counts_of(const char *folder, const char *const *texts, size_t text_count, uint64_t counts[MOST_IDS]) {
    tokens t = open_tokens(folder);
    const size_t size = (size_t)ds_tokenizer_size(t.tokenizer);
    memset(counts, 0, MOST_IDS * sizeof *counts);
    for (size_t i = 0; i < text_count; i++) {
        size_t count;
        const int32_t *ids = encode(&t, (ds_text){texts[i], strlen(texts[i])}, &count);
        for (size_t k = 0; k < count; k++) counts[ids[k]]++;
    }
    close_tokens(&t);
    return size;
}

static const char *const seen[] = {"Where is my new card?", "the card is in the mail, where is it",
                                   "someone used my card in Berlin"};

static ds_status prune(const char *folder, const char *output, size_t wanted) {
    uint64_t counts[MOST_IDS];
    const size_t size = counts_of(folder, seen, sizeof seen / sizeof *seen, counts);
    const ds_prune_options how = {wanted, counts, size};
    return ds_model_prune(context, folder, output, &how, NULL, &error);
}

static bool is_single(ds_text token) {
    size_t from = token.size > 2 && memcmp(token.data, "##", 2) == 0 ? 2 : 0, characters = 0;
    for (size_t i = from; i < token.size; i++) characters += (token.data[i] & 0xc0) != 0x80;
    return characters == 1;
}

static float *vectors(const char *folder, const char *text, size_t *size) {
    ds_model *model = must_open(context, folder);
    ds_session *session = must_session(model);
    *size = (size_t)ds_model_describe(model)->hidden_size;
    float *out = calloc(*size, sizeof *out);
    assert_non_null(out);
    const ds_text one = {text, strlen(text)};
    if (ds_embed(session, &one, 1, NULL, out, NULL, &error) != DS_OK) fail_msg("%s", error.message);
    ds_session_destroy(session);
    ds_model_close(model);
    return out;
}

static void same_vectors(const char *a, const char *b, const char *text) {
    size_t size, other;
    float *x = vectors(a, text, &size), *y = vectors(b, text, &other);
    assert_int_equal(size, other);
    assert_memory_equal(x, y, size * sizeof *x);
    free(x);
    free(y);
}

/* The kept tokens have the old order; which ones they are follows from the counts alone. */
static void check_choice(const char *from, const char *to, size_t wanted) {
    uint64_t counts[MOST_IDS];
    const size_t size = counts_of(from, seen, sizeof seen / sizeof *seen, counts);
    tokens before = open_tokens(from), after = open_tokens(to);
    assert_int_equal(ds_tokenizer_size(after.tokenizer), wanted);
    uint64_t least_kept = UINT64_MAX, most_dropped = 0;
    for (size_t id = 0, next = 0; id < size; id++) {
        const ds_text token = ds_tokenizer_token(before.tokenizer, (int32_t)id);
        const bool special = token.data[0] == '[' && token.size > 1;
        const int32_t now = ds_tokenizer_id(after.tokenizer, token);
        if (now >= 0) {
            assert_int_equal(now, next++);
            if (!is_single(token) && !special && counts[id] < least_kept) least_kept = counts[id];
        } else {
            assert_false(is_single(token) || special);
            if (counts[id] > most_dropped) most_dropped = counts[id];
        }
    }
    assert_true(most_dropped <= least_kept);
    close_tokens(&before);
    close_tokens(&after);
}

/* Kept tokens only: the new ids of the same tokens.  Else other pieces of the same bytes; unknown what was unknown. */
static void check_texts(const char *from, const char *to, const model_case *texts) {
    tokens before = open_tokens(from), after = open_tokens(to);
    const int32_t unknown = ds_tokenizer_id(before.tokenizer, (ds_text){"[UNK]", 5});
    size_t whole = 0, split = 0;
    for (size_t i = 0; i < texts->count; i++) {
        size_t count, now_count, unknowns = 0, now_unknowns = 0;
        const int32_t *ids = encode(&before, texts->texts[i], &count),
                      *now = encode(&after, texts->texts[i], &now_count);
        bool all_kept = true;
        for (size_t k = 0; k < count; k++) {
            all_kept = all_kept && ds_tokenizer_id(after.tokenizer, ds_tokenizer_token(before.tokenizer, ids[k])) >= 0;
            unknowns += ids[k] == unknown;
        }
        for (size_t k = 0; k < now_count; k++)
            now_unknowns += now[k] == ds_tokenizer_id(after.tokenizer, (ds_text){"[UNK]", 5});
        assert_int_equal(unknowns, now_unknowns);
        assert_true(all_kept ? now_count == count : now_count > count);
        for (size_t k = 0; k < count && all_kept; k++)
            assert_int_equal(now[k], ds_tokenizer_id(after.tokenizer, ds_tokenizer_token(before.tokenizer, ids[k])));
        whole += all_kept;
        split += !all_kept;
    }
    assert_true(whole > 0 && split > 0);
    close_tokens(&before);
    close_tokens(&after);
}

static void what_is_kept_says_the_same(void **state) {
    /* tokenizer.json with padding in it, vocab.txt alone, two architectures, shards, 16 bits, heads. */
    static const char *const models[] = {"st_mean",         "bert_vocab_only", "bert_vocab_cased", "bert_sharded",
                                         "distilbert_base", "bert_bf16",       "bert_seq"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char from[512], to[512];
        model_case texts;
        const size_t wanted = 150;
        data_folder(from, models[i]);
        snprintf(to, sizeof to, "%s", scratch_path(&scratch, models[i]));
        if (prune(from, to, wanted) != DS_OK) fail_msg("%s", error.message);
        ds_model *model = must_open(context, to);
        assert_int_equal(ds_model_describe(model)->vocab_size, wanted);
        ds_model_close(model);
        check_choice(from, to, wanted);
        model_case_open_tiny(&texts, context, models[i]);
        check_texts(from, to, &texts);
        model_case_close(&texts);
        same_vectors(from, to, seen[0]);
        same_vectors(from, to, seen[1]);
    }
}

/* Quantising and pruning change places. */
static void int8_folders_are_pruned(void **state) {
    char from[512], whole[512], first[512], second[512];
    const ds_quantize_options all = {0};
    size_t size, other;
    data_folder(from, "bert_base");
    snprintf(whole, sizeof whole, "%s", scratch_path(&scratch, "int8"));
    snprintf(first, sizeof first, "%s", scratch_path(&scratch, "int8_pruned"));
    snprintf(second, sizeof second, "%s", scratch_path(&scratch, "pruned"));
    assert_int_equal(ds_model_quantize(context, from, whole, &all, NULL, &error), DS_OK);
    assert_int_equal(prune(whole, first, 120), DS_OK);
    assert_int_equal(prune(from, second, 120), DS_OK);
    same_vectors(whole, first, seen[0]);
    snprintf(whole, sizeof whole, "%s", scratch_path(&scratch, "pruned_int8"));
    assert_int_equal(ds_model_quantize(context, second, whole, &all, NULL, &error), DS_OK);
    char *x = scratch_read(&scratch, "int8_pruned/model.safetensors", &size),
         *y = scratch_read(&scratch, "pruned_int8/model.safetensors", &other);
    assert_int_equal(size, other);
    assert_memory_equal(x, y, size);
    free(x);
    free(y);
}

static size_t names_in(const char *folder) {
    size_t count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}

static void refused(const char *folder, size_t wanted, ds_status status, const char *said) {
    const size_t before = names_in(scratch.path);
    if (prune(folder, scratch_path(&scratch, "refused"), wanted) != status) fail_msg("%s", error.message);
    if (!strstr(error.message, said)) fail_msg("\"%s\" does not say \"%s\"", error.message, said);
    assert_int_equal(names_in(scratch.path), before);
}

static void what_cannot_be_pruned(void **state) {
    char folder[512];
    data_folder(folder, "roberta_base");
    refused(folder, 100, DS_UNSUPPORTED, "byte-level BPE");
    data_folder(folder, "bert_base");
    refused(folder, 260, DS_INVALID_ARGUMENT, "has 260 tokens, so there is nothing to prune to 260");
    refused(folder, 5000, DS_INVALID_ARGUMENT, "nothing to prune");
    refused(folder, 90, DS_INVALID_ARGUMENT, "90 tokens are to be kept, but 91 must be");
    refused(folder, 0, DS_INVALID_ARGUMENT, "0 tokens are to be kept");
    uint64_t counts[MOST_IDS] = {0};
    const ds_prune_options how = {100, counts, 259};
    assert_int_equal(ds_model_prune(context, folder, scratch_path(&scratch, "no"), &how, NULL, &error),
                     DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "counts of 259 tokens"));
    assert_int_equal(prune(folder, folder, 100), DS_INVALID_ARGUMENT); /* holds a model */

    static const struct {
        const char *file, *before, *after, *said;
        ds_status status;
    } changes[] = {
        /* The one token for "x" inside of words is gone. */
        {"tokenizer.json", "\"##x\":", "\"##qqq\":", "which is no token of its own", DS_UNSUPPORTED},
        {"config.json", "\"vocab_size\": 260", "\"vocab_size\": 259", "word_embeddings", DS_SHAPE_MISMATCH},
        {"config.json", "\"pad_token_id\": 0", "\"pad_token_id\": 0, \"eos_token_id\": [1]", "eos_token_id",
         DS_BAD_FORMAT},
        {"tokenizer_config.json", "{", "{\"added_tokens_decoder\": {\"999\": {\"content\": \"x\"}},", "\"999\"",
         DS_BAD_FORMAT},
        {"tokenizer_config.json", "{", "{\"added_tokens_decoder\": {\"99999999999999999999\": {}},",
         "\"99999999999999999999\"", DS_BAD_FORMAT},
        {"tokenizer_config.json", "{", "{{", "tokenizer_config.json", DS_BAD_FORMAT},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        scratch_folder copy;
        scratch_copy(&copy, folder);
        scratch_replace(&copy, changes[i].file, changes[i].before, changes[i].after);
        refused(copy.path, 150, changes[i].status, changes[i].said);
        scratch_destroy(&copy);
    }
}

static void added_tokens_need_rows(void **state) {
    char folder[512];
    scratch_folder copy;
    data_folder(folder, "bert_base");
    scratch_copy(&copy, folder);
    scratch_replace(&copy, "tokenizer.json", "\"added_tokens\": [",
                    "\"added_tokens\": [{\"id\": 260, \"content\": \"<new>\", \"special\": true},");
    refused(copy.path, 150, DS_BAD_FORMAT, "vocab_size is 260, but the tokenizer has 261 tokens");
    scratch_destroy(&copy);
}

static void every_allocation_may_fail(void **state) {
    char folder[512];
    uint64_t counts[MOST_IDS];
    data_folder(folder, "st_mean");
    const size_t size = counts_of(folder, seen, 3, counts), before = names_in(scratch.path);
    const ds_prune_options how = {150, counts, size};
    ds_status status = DS_OUT_OF_MEMORY;
    uint64_t n = 1;
    for (; status != DS_OK; n++) {
        context->heap.fail_at = ds_context_memory(context).allocations + n;
        status = ds_model_prune(context, folder, scratch_path(&scratch, "faults"), &how, NULL, &error);
        context->heap.fail_at = 0;
        assert_int_equal(context->heap.bytes, idle);
        if (status == DS_OK) break;
        if (status != DS_OUT_OF_MEMORY) fail_msg("allocation %d: %s", (int)n, error.message);
        assert_int_equal(names_in(scratch.path), before);
    }
    assert_true(n > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_says_the_same), cmocka_unit_test(int8_folders_are_pruned),
        cmocka_unit_test(what_cannot_be_pruned),      cmocka_unit_test(added_tokens_need_rows),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("prune", tests, start, finish);
}
