/* Arbitrary bytes as tokenizer.json; whatever loads must encode a few texts within the promises, and leave nothing. */
#include "fuzz.h"
#include "tokenizer/load.h"

static void encode(const ds_tokenizer *tokenizer, ds__heap *heap) {
#define TEXT(literal)                                                                                                  \
    { literal, sizeof(literal) - 1 }
    static const ds_text texts[] = {
        TEXT(""),
        TEXT("Hello, world! It's  42\n\n[MASK]<mask> ab"),
        TEXT("caf\xc3\xa9 e\xcc\x81\xcc\xa3 \xe4\xb8\xad\xe5\x9b\xbd \xe3\x80\xae\xcc\x81 \xf0\x9f\x98\x80 "
             "\xc4\xb0\xef\xac\x83"),
        TEXT("a\0b\xff\xc3 \xed\xa0\x80\x01"),
    };
    ds_encoding *encoding;
    FUZZ_CHECK(ds__encoding_create(heap, &encoding, NULL) == DS_OK);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ds_error error = {DS_OK, ""};
        const ds_text *pair = i % 2 ? &texts[2] : NULL;
        ds_status status = ds__tokenizer_encode(tokenizer, texts[i], pair, i == 3 ? 40 : 0, encoding, &error);
        FUZZ_CHECK(status != DS_INTERNAL && (status == DS_OK || error.message[0]));
        for (size_t k = 0; k < encoding->size; k++) {
            const int32_t *place = encoding->offsets + 2 * k;
            FUZZ_CHECK(place[0] >= 0 && place[0] <= place[1] && place[1] <= 64);
            FUZZ_CHECK(ds__tokenizer_token(tokenizer, encoding->ids[k]).data);
        }
    }
    ds__encoding_destroy(encoding);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ds__heap heap;
    ds_tokenizer *tokenizer = NULL;
    ds_error error = {DS_OK, ""};
    ds__heap_init(&heap, NULL, 256 << 20);
    ds_status status = ds__load_json(&heap, "input", (ds__str){(const char *)data, size}, &tokenizer, &error);
    FUZZ_CHECK((status == DS_OK) == (tokenizer != NULL));
    FUZZ_CHECK(status != DS_INTERNAL && (status == DS_OK || error.message[0]));
    if (tokenizer) encode(tokenizer, &heap);
    ds__tokenizer_close(tokenizer);
    FUZZ_CHECK(heap.bytes == 0);
    return 0;
}
