/* What the tokenizer tests share: tokenizers from a few lines of JSON, and encodings as one line of text to compare. */
#ifndef DS_TESTS_TOKENIZER_CASE_H
#define DS_TESTS_TOKENIZER_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "tokenizer/load.h"

/* One heap a test program; must be empty at the end. */
static ds__heap case_heap;
static ds_error case_error;

static inline int case_open(void **state) {
    (void)state;
    ds__heap_init(&case_heap, NULL, 0);
    return 0;
}

static inline int case_close(void **state) {
    (void)state;
    assert_int_equal(case_heap.bytes, 0);
    return 0;
}

/* JSON written with ' in place of ". Memory of malloc. */
static inline char *json_of(const char *text) {
    char *json = strdup(text);
    assert_non_null(json);
    for (char *c = json; *c; c++)
        if (*c == '\'') *c = '"';
    return json;
}

/* The status of loading; the tokenizer is closed again, the sentence is in case_error. */
static inline ds_status try_json(const char *text) {
    char *json = json_of(text);
    ds_tokenizer *tokenizer = NULL;
    case_error.message[0] = '\0';
    ds_status status = ds__load_json(&case_heap, "tokenizer.json", ds__str_of(json), &tokenizer, &case_error);
    if (status == DS_OK) ds__tokenizer_close(tokenizer);
    free(json);
    return status;
}

static inline ds_tokenizer *must_load(const char *text) {
    char *json = json_of(text);
    ds_tokenizer *tokenizer = NULL;
    if (ds__load_json(&case_heap, "tokenizer.json", ds__str_of(json), &tokenizer, &case_error) != DS_OK)
        fail_msg("%s", case_error.message);
    free(json);
    return tokenizer;
}

/* config: NULL for none. */
static inline ds_tokenizer *must_load_vocab(const char *lines, const char *config) {
    char *json = config ? json_of(config) : NULL;
    ds_tokenizer *tokenizer = NULL;
    if (ds__load_vocab_txt(&case_heap, "vocab.txt", ds__str_of(lines), "tokenizer_config.json", ds__str_of(json),
                           &tokenizer, &case_error) != DS_OK)
        fail_msg("%s", case_error.message);
    free(json);
    return tokenizer;
}

/* The encoding as text: each token is its own text, or "#id" for one without; those of a text are followed by @ and
 * their bytes; type ids over 0 are ":type". Memory of malloc. */
static inline char *describe(const ds_tokenizer *tokenizer, const ds_encoding *encoding) {
    ds__buffer out;
    ds__buffer_init(&out, &case_heap);
    for (size_t i = 0; i < encoding->size; i++) {
        ds__str token = ds__tokenizer_token(tokenizer, encoding->ids[i]);
        if (i) ds__buffer_put(&out, ' ');
        ds__buffer_append(&out, token.data, token.size);
        if (encoding->words[i] >= 0)
            ds__buffer_printf(&out, "@%d-%d", encoding->offsets[2 * i], encoding->offsets[2 * i + 1]);
        if (encoding->type_ids[i]) ds__buffer_printf(&out, ":%d", encoding->type_ids[i]);
    }
    char *text = strdup(ds__buffer_cstr(&out));
    ds__buffer_deinit(&out);
    return text;
}

static inline void check_bytes(const ds_tokenizer *tokenizer, ds_text text, const ds_text *pair, int32_t max_tokens,
                               const char *expected) {
    ds_encoding *encoding;
    assert_int_equal(ds__encoding_create(&case_heap, &encoding, &case_error), DS_OK);
    /* Twice: the second time the word cache answers, and nothing is allocated. */
    for (int round = 0; round < 2; round++) {
        uint64_t allocations = case_heap.allocations;
        if (ds__tokenizer_encode(tokenizer, text, pair, max_tokens, encoding, &case_error) != DS_OK)
            fail_msg("%s", case_error.message);
        if (round) assert_int_equal(case_heap.allocations, allocations);
        char *got = describe(tokenizer, encoding);
        assert_string_equal(got, expected);
        free(got);
    }
    ds__encoding_destroy(encoding);
}

static inline void check(const ds_tokenizer *tokenizer, const char *text, const char *expected) {
    check_bytes(tokenizer, (ds_text){text, strlen(text)}, NULL, 0, expected);
}

static inline void check_pair(const ds_tokenizer *tokenizer, const char *text, const char *second, int32_t max_tokens,
                              const char *expected) {
    ds_text pair = {second, strlen(second)};
    check_bytes(tokenizer, (ds_text){text, strlen(text)}, &pair, max_tokens, expected);
}

#endif
