/* Arbitrary tokenizer.json: loaded or refused with a sentence; what loads must encode a few texts within its promises. */
#include "fuzz.h"

#include "tokenizer/load.h"

static const char *const texts[] = {"", "Where is my card?", "[CLS] \xC3\xA9\xE4\xBD\xA0 <mask>x", "\xFF\xFE aaaa bbbb"};

/* Every token has an id and offsets inside of its text. */
static void check_encoding(const ds_encoding *encoding, size_t size) {
    const int32_t *offsets = encoding->offsets;
    for (size_t i = 0; i < encoding->size; i++) {
        FUZZ_CHECK(encoding->ids[i] >= 0);
        FUZZ_CHECK(offsets[2 * i] >= 0 && offsets[2 * i] <= offsets[2 * i + 1] && (size_t)offsets[2 * i + 1] <= size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ds__heap heap;
    ds_error error = {DS_OK, ""};
    ds_tokenizer *tokenizer;
    ds_encoding *encoding;
    ds__heap_init(&heap, NULL, 64 << 20);
    ds_status status = ds__load_json(&heap, "tokenizer.json", (ds__str){(const char *)data, size}, &tokenizer, &error);
    if (status != DS_OK) {
        FUZZ_CHECK(*error.message && heap.bytes == 0);
        return 0;
    }
    FUZZ_CHECK(ds__encoding_create(&heap, &encoding, &error) == DS_OK);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ds_text text = {texts[i], strlen(texts[i])}, pair = {texts[1], strlen(texts[1])};
        for (int32_t most = 0; most < 8; most += 5) { /* never, and to five tokens */
            if (ds__tokenizer_encode(tokenizer, text, NULL, most, encoding, &error) == DS_OK)
                check_encoding(encoding, text.size);
            if (ds__tokenizer_encode(tokenizer, text, &pair, most, encoding, &error) == DS_OK)
                check_encoding(encoding, text.size > pair.size ? text.size : pair.size);
        }
    }
    ds__encoding_destroy(encoding);
    ds__tokenizer_close(tokenizer);
    FUZZ_CHECK(heap.bytes == 0);
    return 0;
}
