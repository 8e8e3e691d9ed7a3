/* 10,000 calls with random batch sizes and lengths: prints resident memory and the library's own bytes as CSV.
 *
 *   soak MODEL [CALLS [float32|bfloat16|int8]] > soak.csv        then bench/plot_soak.py soak.csv soak.svg */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "deepseek/deepseek.h"

enum { FEW_TEXTS = 8, BULK_TEXTS = 96, MAX_TEXTS = 128, SHORT_WORDS = 16, MAX_WORDS = 300, WORD_BYTES = 10 };

static long resident_kb(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long total = 0, resident = 0;
    if (!file || fscanf(file, "%ld %ld", &total, &resident) != 2) resident = -1;
    if (file) fclose(file);
    return resident * 4;
}

static int fail(const char *what, const ds_error *error) {
    fprintf(stderr, "soak: %s: %s\n", what, error->message);
    return 1;
}

/* A text of random short words; most are short, some long, as in life. */
static ds_text random_text(ds__random *random, char *into) {
    static const char *const words[] = {"card ", "the ",     "transfer ", "why ",   "my ",
                                        "fee ",  "pending ", "is ",       "top-up "};
    size_t size = 0;
    uint32_t longest = ds__random_below(random, 100) ? SHORT_WORDS : MAX_WORDS,
             count = 1 + ds__random_below(random, longest);
    for (uint32_t i = 0; i < count; i++) {
        const char *word = words[ds__random_below(random, sizeof words / sizeof *words)];
        memcpy(into + size, word, strlen(word));
        size += strlen(word);
    }
    return (ds_text){into, size};
}

int main(int argc, char **argv) {
    ds_error error;
    ds_context *context;
    ds_model *model;
    ds_session *session;
    ds__random random = {1};
    int calls = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 10000;
    const char *precision = argc > 3 ? argv[3] : "float32";
    ds_model_options options = {0};
    if (strcmp(precision, "bfloat16") == 0) options.precision = DS_PRECISION_BFLOAT16;
    if (strcmp(precision, "int8") == 0) options.quantization = DS_QUANTIZATION_INT8;
    if (argc < 2) {
        fprintf(stderr, "usage: soak MODEL [CALLS [float32|bfloat16|int8]]\n");
        return 2;
    }
    if (ds_context_create(NULL, &context, &error) != DS_OK) return fail("context", &error);
    if (ds_model_open(context, argv[1], &options, &model, &error) != DS_OK) return fail("model", &error);
    if (ds_session_create(model, &session, &error) != DS_OK) return fail("session", &error);
    static char memory[MAX_TEXTS][MAX_WORDS * WORD_BYTES];
    ds_text texts[MAX_TEXTS];
    float *out = malloc(MAX_TEXTS * (size_t)ds_model_describe(model)->hidden_size * sizeof *out);
    printf("call,resident_kb,library_bytes,allocations\n");
    for (int call = 0; call < calls; call++) {
        /* Mostly a request of a few texts, one in twenty a bulk of about a hundred. */
        bool bulk = ds__random_below(&random, 20) == 0;
        size_t count = bulk ? BULK_TEXTS + ds__random_below(&random, MAX_TEXTS - BULK_TEXTS)
                            : 1 + ds__random_below(&random, FEW_TEXTS);
        for (size_t i = 0; i < count; i++) texts[i] = random_text(&random, memory[i]);
        if (ds_embed(session, texts, count, NULL, out, NULL, &error) != DS_OK) return fail("embed", &error);
        if (call % 20 == 0 || call + 1 == calls) {
            ds_memory_stats stats = ds_context_memory(context);
            printf("%d,%ld,%llu,%llu\n", call, resident_kb(), (unsigned long long)stats.bytes,
                   (unsigned long long)stats.allocations);
        }
    }
    free(out);
    ds_session_destroy(session);
    ds_model_close(model);
    ds_context_destroy(context);
    return 0;
}
