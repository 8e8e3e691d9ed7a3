/* Arbitrary text through the tokenizers of the tiny models (WordPiece from both kinds of file, byte-level BPE): ids in range,
 * offsets in order and inside of the text, the same ids again, and truncation that keeps its promise. */
#include "fuzz.h"

#include <string.h>

#include "base/context_internal.h"
#include "deepseek/deepseek.h"

static const char *const folders[] = {DS_FUZZ_DATA "/models/bert_seq", DS_FUZZ_DATA "/models/bert_vocab_only",
                                      DS_FUZZ_DATA "/models/bert_vocab_cased", DS_FUZZ_DATA "/models/roberta_seq"};
enum { TOKENIZERS = sizeof folders / sizeof *folders, MAX_TOKENS = 1 << 16, CUT = 7 };

static ds_context *context;
static ds_tokenizer *tokenizers[TOKENIZERS];
static ds_encoding *encoding;
static int32_t first_ids[MAX_TOKENS];

/* Once: the tokenizers are immutable. */
static void open_all(void) {
    ds_error error;
    ds_context_options one = {.threads = 1};
    FUZZ_CHECK(ds_context_create(&one, &context, &error) == DS_OK);
    FUZZ_CHECK(ds_encoding_create(context, &encoding, &error) == DS_OK);
    for (int i = 0; i < TOKENIZERS; i++) FUZZ_CHECK(ds_tokenizer_open(context, folders[i], &tokenizers[i], &error) == DS_OK);
}

static void check(const ds_tokenizer *tokenizer, ds_text text) {
    ds_error error;
    FUZZ_CHECK(ds_tokenizer_encode(tokenizer, text, NULL, 0, encoding, &error) == DS_OK);
    size_t count = ds_encoding_size(encoding);
    const int32_t *ids = ds_encoding_ids(encoding), *offsets = ds_encoding_offsets(encoding);
    FUZZ_CHECK(ds_encoding_dropped(encoding) == 0);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(ids[i] >= 0 && ids[i] < ds_tokenizer_size(tokenizer));
        FUZZ_CHECK(offsets[2 * i] >= 0 && offsets[2 * i] <= offsets[2 * i + 1] &&
                   (size_t)offsets[2 * i + 1] <= text.size);
        FUZZ_CHECK(ds_encoding_words(encoding)[i] >= -1);
    }
    if (count > MAX_TOKENS) return;
    memcpy(first_ids, ids, count * sizeof *ids);
    FUZZ_CHECK(ds_tokenizer_encode(tokenizer, text, NULL, CUT, encoding, &error) == DS_OK);
    size_t kept = ds_encoding_size(encoding);
    FUZZ_CHECK(kept == (count < CUT ? count : CUT) && ds_encoding_dropped(encoding) == count - kept);
    for (size_t i = 0; i + 1 < kept; i++) FUZZ_CHECK(ds_encoding_ids(encoding)[i] == first_ids[i]);
    FUZZ_CHECK(ds_tokenizer_encode(tokenizer, text, NULL, 0, encoding, &error) == DS_OK);
    FUZZ_CHECK(ds_encoding_size(encoding) == count && memcmp(first_ids, ds_encoding_ids(encoding), count * sizeof *ids) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!context) open_all();
    for (int i = 0; i < TOKENIZERS; i++) check(tokenizers[i], (ds_text){(const char *)data, size});
    return 0;
}
