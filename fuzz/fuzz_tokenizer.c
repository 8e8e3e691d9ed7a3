/* Arbitrary text through a few fixed tokenizers.  The first byte picks the tokenizer and how the rest is used: whole,
 * as a pair of texts cut in the middle, truncated. */
#include <string.h>

#include "fuzz.h"
#include "tokenizer/load.h"

#define ADDED                                                                                                          \
    "\"added_tokens\":[{\"id\":0,\"content\":\"[UNK]\",\"special\":true},"                                             \
    "{\"id\":16,\"content\":\"<m>\",\"lstrip\":true,\"rstrip\":true},{\"id\":17,\"content\":\"Ab\",\"normalized\":"    \
    "true},"                                                                                                           \
    "{\"id\":18,\"content\":\"ab c\",\"single_word\":true},{\"id\":19,\"content\":\"\\u4e2d\\u56fd\"}],"
#define VOCAB                                                                                                          \
    "\"vocab\":{\"[UNK]\":0,\"a\":1,\"b\":2,\"ab\":3,\"##b\":4,\"##a\":5,\",\":6,\"\\u4e2d\":7,\"e\":8,\"\\u0120\":9," \
    "\"\\u00c3\":10,"                                                                                                  \
    "\"\\u0120a\":11,\"aa\":12,\"aaaa\":13,\"\\u00a9\":14,\"\\u00c3\\u00a9\":15}"
#define MERGES "\"merges\":[\"a a\",\"\\u0120 a\",\"aa aa\",\"\\u00c3 \\u00a9\",\"a b\"]"
#define WORDPIECE                                                                                                      \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","                  \
    "\"max_input_chars_per_word\":20," VOCAB "}"
#define BPE "\"model\":{\"type\":\"BPE\",\"unk_token\":\"[UNK]\",\"fuse_unk\":true," VOCAB "," MERGES "}"
#define TEMPLATE "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"b\",2],\"cls\":[\"a\",1]},"
#define ROBERTA "\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"b\",2],\"cls\":[\"a\",1]},"

static const char *const sources[] = {
    "{" ADDED TEMPLATE "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
    "\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}," WORDPIECE "}",
    "{" ADDED ROBERTA "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true}," BPE "}",
    "{" ADDED
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},{\"type\":\"Replace\",\"pattern\":{"
    "\"String\":\"aa\"},\"content\":\"\\u00e9\"},{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}]},"
    "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\w+|[^\\\\w\\\\s]+|\\\\s+(?!\\\\S)\"},"
    "\"behavior\":\"MergedWithNext\",\"invert\":false}," BPE "}",
    "{" ADDED TEMPLATE
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFD\"},{\"type\":\"StripAccents\"},"
    "{\"type\":\"Lowercase\"}]},\"pre_tokenizer\":{\"type\":\"Whitespace\"}," WORDPIECE "}",
};
enum { TOKENIZERS = sizeof sources / sizeof sources[0] };

static ds__heap heap;
static ds_tokenizer *tokenizers[TOKENIZERS];

static void load_all(void) {
    ds_error error = {DS_OK, ""};
    ds__heap_init(&heap, NULL, 0);
    for (int i = 0; i < TOKENIZERS; i++)
        if (ds__load_json(&heap, "fixed", ds__str_of(sources[i]), &tokenizers[i], &error) != DS_OK) {
            fprintf(stderr, "%s\n", error.message);
            abort();
        }
}

/* Places are inside of the texts and rise; words rise; ids exist. */
static void check(const ds_tokenizer *tokenizer, const ds_encoding *encoding, size_t first_size, size_t second_size) {
    int32_t word = -1, place = 0;
    for (size_t i = 0; i < encoding->size; i++) {
        const int32_t *offsets = encoding->offsets + 2 * i;
        FUZZ_CHECK(ds__tokenizer_token(tokenizer, encoding->ids[i]).data);
        FUZZ_CHECK(encoding->type_ids[i] == 0 || encoding->type_ids[i] == 1);
        if (encoding->words[i] < 0) {
            FUZZ_CHECK(encoding->words[i] == -1 && offsets[0] == 0 && offsets[1] == 0);
            word = -1;
            place = 0;
            continue;
        }
        FUZZ_CHECK(offsets[0] >= 0 && offsets[0] <= offsets[1]);
        FUZZ_CHECK((size_t)offsets[1] <= (first_size > second_size ? first_size : second_size));
        if (i > 0 &&
            encoding->type_ids[i] != encoding->type_ids[i - 1]) { /* the second text, no special token before it */
            word = -1;
            place = 0;
        }
        /* A space that was put in front and trimmed leaves an empty place behind the character that it stood on. */
        FUZZ_CHECK(offsets[1] >= place && encoding->words[i] >= word);
        word = encoding->words[i];
        place = offsets[0];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!tokenizers[0]) load_all();
    if (size == 0) return 0;
    const ds_tokenizer *tokenizer = tokenizers[data[0] % TOKENIZERS];
    bool is_pair = data[0] & 0x10;
    int32_t most = data[0] & 0x20 ? 3 + (data[0] >> 6) : 0;
    const char *text = (const char *)data + 1;
    size_t first = is_pair ? (size - 1) / 2 : size - 1, second = size - 1 - first;
    ds_text pair = {text + first, second};
    ds_encoding *encoding;
    ds_error error;
    uint64_t before = heap.bytes;
    FUZZ_CHECK(ds__encoding_create(&heap, &encoding, &error) == DS_OK);
    int32_t *ids = NULL;
    size_t count = 0;
    for (int round = 0; round < 2; round++) { /* the second time from the cache, and without a new allocation */
        uint64_t allocations = heap.allocations;
        ds_status status =
            ds__tokenizer_encode(tokenizer, (ds_text){text, first}, is_pair ? &pair : NULL, most, encoding, &error);
        if (most && status == DS_INVALID_ARGUMENT) break; /* RoBERTa's pair adds four */
        FUZZ_CHECK(status == DS_OK && (!most || encoding->size <= (size_t)most));
        check(tokenizer, encoding, first, is_pair ? second : 0);
        if (round == 0) {
            count = encoding->size;
            ids = malloc((count + 1) * sizeof *ids);
            FUZZ_CHECK(ids);
            if (count) memcpy(ids, encoding->ids, count * sizeof *ids);
        } else {
            FUZZ_CHECK(heap.allocations == allocations && encoding->size == count);
            FUZZ_CHECK(count == 0 || memcmp(ids, encoding->ids, count * sizeof *ids) == 0);
        }
    }
    free(ids);
    ds__encoding_destroy(encoding);
    FUZZ_CHECK(heap.bytes == before);
    return 0;
}
