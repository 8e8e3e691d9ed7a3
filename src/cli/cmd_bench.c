/* deepseek bench: load, latency, throughput and memory of a model, measured the way other engines are compared.
 *
 * load_ms        opening the model without its tokenizer, page cache warm (tokenizer_load_ms beside it)
 * bB_sS_ms       median latency of one call on B texts of S random ids
 * texts_per_s    real texts, tokenised within the time, sorted by length, batches of 32
 * arrival_per_s  the same in the order of the file, as requests arrive
 * peak_share     the model's arithmetic over the multiply-add peak, measured before and after in this process */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "cli/cli.h"
#include "formats/table.h"

enum { KEY_TEXTS = 1, KEY_LIMIT, KEY_SECONDS, KEY_JSON, KEY_KERNELS, KEY_FAMILY };
enum { BATCH = 32, MAX_TOKENS = 512, WARM_RUNS = 3, MIN_RUNS = 3, MAX_RUNS = 1 << 20, PASSES = 3 };

static const struct argp_option options[] = {
    {"texts", KEY_TEXTS, "FILE", 0, "Real texts: the first column (up to a tab) of each line, the first line skipped",
     1},
    {"limit", KEY_LIMIT, "N", 0, "Use at most N texts (default: 1000)", 1},
    {"seconds", KEY_SECONDS, "S", 0, "How long each latency is measured (default: 2; with --kernels: each case, 0.2)",
     1},
    {"json", KEY_JSON, 0, 0, "One line of JSON", 1},
    {"kernels", KEY_KERNELS, 0, 0, "Every kernel variant that runs here, on one thread, in place of a model", 2},
    {"family", KEY_FAMILY, "NAME", 0, "With --kernels: only this family, such as gemm or attention", 2},
    {0}};

static const char doc[] = "Measures how fast a model runs here.\v"
                          "Examples:\n"
                          "  deepseek bench MODEL\n"
                          "  deepseek bench --kernels --family gemm --json\n"
                          "  taskset -c 0,1 deepseek bench MODEL --texts dev.tsv --threads 2 --json\n";

typedef struct bench {
    cli_options common;
    long limit;
    double seconds;
    bool json, kernels;
    const char *family;
    cli_engine engine;
    const ds_model_info *info;
    float *out; /* of the largest run so far */
    size_t out_floats;
    cli_progress progress; /* of the measurements */
    ds_error error;
} bench;

static const struct shape {
    const char *key;
    int32_t texts, length;
} shapes[] = {{"b1_s16_ms", 1, 16}, {"b1_s128_ms", 1, 128}, {"b1_s512_ms", 1, 512}, {"b8_s128_ms", 8, 128}};

enum { SHAPES = sizeof shapes / sizeof *shapes, B8_S128 = 3 };

typedef struct results {
    double load_ms, tokenizer_load_ms, latency_ms[SHAPES]; /* negative: not measured */
    double texts_per_s, arrival_per_s, mean_tokens;
    double gflops, peak_share;
    long peak_rss_mb;
} results;

static error_t parse(int key, char *argument, void *own) {
    bench *b = own;
    char *end;
    switch (key) {
    case KEY_TEXTS: b->common.texts = argument; break;
    case KEY_LIMIT:
        errno = 0;
        b->limit = strtol(argument, &end, 10);
        if (errno || *end || end == argument || b->limit < 1)
            exit(cli_usage_error("bench", "--limit is \"%s\", expected a whole number from 1", argument));
        break;
    case KEY_SECONDS:
        b->seconds = strtod(argument, &end);
        if (*end || end == argument || !(b->seconds > 0 && b->seconds <= 3600))
            exit(cli_usage_error("bench", "--seconds is \"%s\", expected a number over 0, at most 3600", argument));
        break;
    case KEY_JSON: b->json = true; break;
    case KEY_KERNELS: b->kernels = b->common.needs_no_model = true; break;
    case KEY_FAMILY: b->family = argument; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static double ms_since(uint64_t start) { return (double)(ds__clock_ns() - start) * 1e-6; }

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, by_value);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static bool run(bench *b, const ds_packed_batch *batch) {
    size_t tokens = (size_t)batch->seq_start[batch->texts], floats = tokens * (size_t)b->info->hidden_size;
    if (floats > b->out_floats) {
        ds__free(cli_heap(), b->out, b->out_floats * sizeof *b->out);
        b->out = ds__alloc(cli_heap(), floats * sizeof *b->out);
        b->out_floats = b->out ? floats : 0;
        if (!b->out) return ds__alloc_failed(cli_heap(), floats * sizeof *b->out, "results", &b->error) == DS_OK;
    }
    return ds_forward(b->engine.session, batch, DS_OUTPUT_HIDDEN, b->out, &b->error) == DS_OK;
}

/* The median latency of texts of random ids; negative when the model has no such positions or something failed. */
static int measure_latency(bench *b, const struct shape *shape, double *ms) {
    static double times[MAX_RUNS];
    int32_t tokens = shape->texts * shape->length, *ids = ds__alloc(cli_heap(), (size_t)tokens * sizeof *ids);
    int32_t starts[16];
    ds__random random = {0};
    *ms = -1;
    bool ok = shape->length <= b->info->max_tokens;
    if (!ids) return cli_fail("out of memory for %d ids", tokens);
    int32_t low = b->info->vocab_size > 30000 ? 1000 : 0,
            high = b->info->vocab_size > 30000 ? 30000 : b->info->vocab_size;
    for (int32_t i = 0; ok && i < tokens; i++)
        ids[i] = low + (int32_t)ds__random_below(&random, (uint32_t)(high - low));
    for (int32_t t = 0; t <= shape->texts; t++) starts[t] = t * shape->length;
    ds_packed_batch batch = {ids, NULL, starts, (size_t)shape->texts};
    int code = CLI_DONE;
    for (int i = 0; ok && i < WARM_RUNS && code == CLI_DONE; i++)
        if (!run(b, &batch)) code = cli_fail_error(&b->error);
    size_t count = 0;
    for (uint64_t start = ds__clock_ns(); ok && code == CLI_DONE && count < MAX_RUNS;) {
        uint64_t one = ds__clock_ns();
        if (!run(b, &batch)) code = cli_fail_error(&b->error);
        times[count++] = ms_since(one);
        if (count >= MIN_RUNS && ms_since(start) > b->seconds * 1e3) break;
    }
    if (ok && code == CLI_DONE) *ms = median(times, count);
    ds__free(cli_heap(), ids, (size_t)tokens * sizeof *ids);
    return code;
}

/* The texts, and what the present pass made of them: ids of all texts, for each its first one, and the order to run. */
typedef struct corpus {
    const ds_tokenizer *tokenizer;
    ds_encoding *encoding;
    ds__arena arena; /* the texts' bytes */
    ds_text *texts;  /* [count] */
    int32_t *ids;
    size_t *start; /* [count + 1] */
    size_t *order; /* [count] */
    size_t count, text_capacity, id_capacity, start_capacity, order_capacity;
    int32_t most; /* tokens of a text */
    bool sorted;  /* by length, else in the order of the file */
} corpus;

static void corpus_free(corpus *c) {
    if (c->encoding) ds_encoding_destroy(c->encoding);
    ds__arena_deinit(&c->arena);
    ds__free(cli_heap(), c->texts, c->text_capacity * sizeof *c->texts);
    ds__free(cli_heap(), c->ids, c->id_capacity * sizeof *c->ids);
    ds__free(cli_heap(), c->start, c->start_capacity * sizeof *c->start);
    ds__free(cli_heap(), c->order, c->order_capacity * sizeof *c->order);
}

static bool corpus_add(corpus *c, ds__str text) {
    ds__str copy = ds__arena_copy(&c->arena, text);
    if (!copy.data || !ds__grow(cli_heap(), (void **)&c->texts, &c->text_capacity, c->count + 1, sizeof *c->texts) ||
        !ds__grow(cli_heap(), (void **)&c->start, &c->start_capacity, c->count + 2, sizeof *c->start) ||
        !ds__grow(cli_heap(), (void **)&c->order, &c->order_capacity, c->count + 1, sizeof *c->order))
        return false;
    c->texts[c->count++] = (ds_text){copy.data, copy.size};
    return true;
}

static int corpus_read(bench *b, corpus *c) {
    ds__table *table;
    ds__table_options wanted = {.path = b->common.texts, .format = DS__TABLE_LINES};
    c->most = b->info->max_tokens < MAX_TOKENS ? b->info->max_tokens : MAX_TOKENS;
    if (b->common.max_seq_len && b->common.max_seq_len < c->most) c->most = b->common.max_seq_len;
    if (ds__table_open(cli_heap(), &wanted, &table, &b->error) != DS_OK) return cli_fail_error(&b->error);
    bool end = false, ok = true;
    for (long line = 0; ok && line <= b->limit; line++) {
        ds__str text, pair;
        ok = ds__table_next(table, &text, &pair, &end, &b->error) == DS_OK;
        if (!ok || end) break;
        if (line == 0) continue; /* the header */
        const char *tab = memchr(text.data, '\t', text.size);
        if (tab) text.size = (size_t)(tab - text.data);
        if (!corpus_add(c, text)) ok = ds__alloc_failed(cli_heap(), text.size, "the texts", &b->error) == DS_OK;
    }
    ds__table_close(table);
    if (ok && c->count == 0) return cli_fail("%s: has no text behind its first line", b->common.texts);
    return ok ? CLI_DONE : cli_fail_error(&b->error);
}

static size_t text_length(const corpus *c, size_t text) { return c->start[text + 1] - c->start[text]; }

/* Of equal length: in the order of the file. */
static int by_length(const void *a, const void *b, void *of) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b, x_length = text_length(of, x), y_length = text_length(of, y);
    return x_length != y_length ? (x_length > y_length) - (x_length < y_length) : (x > y) - (x < y);
}

/* Tokenises all texts and puts them in order: part of every timed pass, as it is where other engines are measured. */
static bool encode_corpus(bench *b, corpus *c) {
    c->start[0] = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (ds_tokenizer_encode(c->tokenizer, c->texts[i], NULL, c->most, c->encoding, &b->error) != DS_OK)
            return false;
        size_t size = ds_encoding_size(c->encoding), at = c->start[i];
        if (!ds__grow(cli_heap(), (void **)&c->ids, &c->id_capacity, at + size, sizeof *c->ids))
            return ds__alloc_failed(cli_heap(), at + size, "the texts' ids", &b->error) == DS_OK;
        memcpy(c->ids + at, ds_encoding_ids(c->encoding), size * sizeof *c->ids);
        c->start[i + 1] = at + size;
        c->order[i] = i;
    }
    if (c->sorted) qsort_r(c->order, c->count, sizeof *c->order, by_length, c);
    return true;
}

/* One pass over all texts in batches. */
static bool run_corpus(bench *b, corpus *c, int32_t *ids) {
    if (!encode_corpus(b, c)) return false;
    for (size_t first = 0; first < c->count; first += BATCH) {
        int32_t starts[BATCH + 1] = {0};
        size_t count = c->count - first < BATCH ? c->count - first : BATCH;
        for (size_t i = 0; i < count; i++) {
            size_t text = c->order[first + i], length = text_length(c, text);
            memcpy(ids + starts[i], c->ids + c->start[text], length * sizeof *ids);
            starts[i + 1] = starts[i] + (int32_t)length;
        }
        ds_packed_batch batch = {ids, NULL, starts, count};
        if (!run(b, &batch)) return false;
    }
    return true;
}

static int measure_corpus(bench *b, corpus *c, double *texts_per_s) {
    int32_t *ids = ds__alloc(cli_heap(), BATCH * MAX_TOKENS * sizeof *ids);
    double times[PASSES];
    if (!ids) return cli_fail("out of memory for a batch of texts");
    bool ok = run_corpus(b, c, ids); /* once to warm up */
    for (int i = 0; ok && i < PASSES; i++) {
        uint64_t start = ds__clock_ns();
        ok = run_corpus(b, c, ids);
        times[i] = ms_since(start);
    }
    ds__free(cli_heap(), ids, BATCH * MAX_TOKENS * sizeof *ids);
    if (!ok) return cli_fail_error(&b->error);
    *texts_per_s = (double)c->count / (median(times, PASSES) * 1e-3);
    return CLI_DONE;
}

static int measure_texts(bench *b, results *r) {
    corpus c = {.encoding = NULL};
    ds_tokenizer *tokenizer;
    uint64_t start = ds__clock_ns();
    if (ds_tokenizer_open(b->engine.context, b->common.model, &tokenizer, &b->error) != DS_OK)
        return cli_fail_error(&b->error);
    r->tokenizer_load_ms = ms_since(start);
    c.tokenizer = tokenizer;
    ds__arena_init(&c.arena, cli_heap(), 0);
    int code = corpus_read(b, &c);
    if (code == CLI_DONE && ds_encoding_create(b->engine.context, &c.encoding, &b->error) != DS_OK)
        code = cli_fail_error(&b->error);
    if (code == CLI_DONE) code = measure_corpus(b, &c, &r->arrival_per_s);
    cli_progress_add(&b->progress, 1);
    c.sorted = true;
    if (code == CLI_DONE) code = measure_corpus(b, &c, &r->texts_per_s);
    if (code == CLI_DONE) r->mean_tokens = (double)c.start[c.count] / (double)c.count;
    corpus_free(&c);
    ds_tokenizer_close(tokenizer);
    return code;
}

/* Reads the weights once, so that load_ms does not hang on what the page cache held. What is wrong with them, opening
 * the model says. */
static void warm_page_cache(const char *folder) {
    static char chunk[1 << 16];
    char path[4096];
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (!ds__str_ends(ds__str_of(entry->d_name), DS_STR(".safetensors"))) continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= sizeof path) continue;
        int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe of that name must not block */
        while (file >= 0 && ds__file_read_some(file, chunk, sizeof chunk) > 0) {}
        if (file >= 0) close(file);
    }
    if (directory) closedir(directory);
}

static int measure(bench *b, results *r) {
    double before = 0, after = 0, seconds = b->seconds < 1 ? b->seconds / 2 : 0.5;
    ds_model_options wanted = {.precision = b->common.precision,
                               .quantization = b->common.quantization,
                               .adapter = b->common.adapter,
                               .without_tokenizer = true};
    warm_page_cache(b->common.model);
    uint64_t start = ds__clock_ns();
    if (ds_model_open(b->engine.context, b->common.model, &wanted, &b->engine.model, &b->error) != DS_OK)
        return cli_fail_error(&b->error);
    r->load_ms = ms_since(start);
    b->info = ds_model_describe(b->engine.model);
    cli_say_precision(&b->common, b->engine.model);
    if (ds_session_create(b->engine.model, &b->engine.session, &b->error) != DS_OK ||
        ds_measure_peak(b->engine.context, seconds, &before, &b->error) != DS_OK)
        return cli_fail_error(&b->error);
    for (int i = 0; i < SHAPES; i++) {
        int code = measure_latency(b, &shapes[i], &r->latency_ms[i]);
        if (code != CLI_DONE) return code;
        cli_progress_add(&b->progress, 1);
    }
    if (ds_measure_peak(b->engine.context, seconds, &after, &b->error) != DS_OK) return cli_fail_error(&b->error);
    if (r->latency_ms[B8_S128] > 0) {
        r->gflops = ds_session_flops(b->engine.session) / r->latency_ms[B8_S128] * 1e-6; /* it ran last */
        r->peak_share = r->gflops / ((before + after) / 2);
    }
    int code = b->common.texts ? measure_texts(b, r) : CLI_DONE;
    r->peak_rss_mb = cli_peak_rss_mb();
    return code;
}

/* The folder's last name. */
static const char *base_name(const char *path, char *out, size_t size) {
    size_t end = strlen(path), start;
    while (end > 1 && path[end - 1] == '/') end--;
    for (start = end; start > 0 && path[start - 1] != '/'; start--) {}
    snprintf(out, size, "%.*s", (int)(end - start), path + start);
    return out;
}

static void put_number(ds__json_writer *json, const char *key, double value, int decimals) {
    ds__json_key(json, key);
    if (value < 0)
        ds__json_put_null(json);
    else
        ds__json_put_fixed(json, value, decimals);
}

typedef struct precision_text {
    const char *text, *engine;
} precision_text;

static const precision_text *precision_of(const bench *b) {
    static const precision_text texts[] = {
        {"float32", "deepseek-f32"}, {"bfloat16", "deepseek-bf16"}, {"int8", "deepseek-int8"}};
    return &texts[b->info->int8_weights ? 2 : b->info->precision == DS_PRECISION_BFLOAT16];
}

static void put_json(const bench *b, const results *r, ds__buffer *text) {
    char name[256];
    ds__json_writer json = {text, false};
    ds__json_open_object(&json);
    ds__json_key(&json, "engine");
    ds__json_put_string(&json, ds__str_of(precision_of(b)->engine));
    ds__json_key(&json, "model");
    ds__json_put_string(&json, ds__str_of(base_name(b->common.model, name, sizeof name)));
    put_number(&json, "threads", ds_context_threads(b->engine.context), 0);
    ds__json_key(&json, "dtype");
    ds__json_put_string(&json, ds__str_of(precision_of(b)->text));
    put_number(&json, "load_ms", r->load_ms, 1);
    if (b->common.texts) put_number(&json, "tokenizer_load_ms", r->tokenizer_load_ms, 1);
    for (int i = 0; i < SHAPES; i++) put_number(&json, shapes[i].key, r->latency_ms[i], 3);
    if (b->common.texts) {
        put_number(&json, "texts_per_s", r->texts_per_s, 1);
        put_number(&json, "arrival_per_s", r->arrival_per_s, 1);
        put_number(&json, "mean_tokens", r->mean_tokens, 1);
    }
    put_number(&json, "gflops_b8_s128", r->gflops, 1);
    put_number(&json, "peak_share_b8_s128", r->peak_share, 3);
    put_number(&json, "peak_rss_mb", (double)r->peak_rss_mb, 0);
    ds__json_close_object(&json);
    ds__buffer_put(text, '\n');
}

static void put_table(const bench *b, const results *r, ds__buffer *text) {
    ds__buffer_printf(text, "%s, %d threads, %s, %s\n\n", b->common.model, ds_context_threads(b->engine.context),
                      precision_of(b)->text, ds_cpu_name());
    ds__buffer_printf(text, "load                     %8.1f ms\n", r->load_ms);
    if (b->common.texts) ds__buffer_printf(text, "load of the tokenizer    %8.1f ms\n", r->tokenizer_load_ms);
    for (int i = 0; i < SHAPES; i++) {
        ds__buffer_printf(text, "%d text%s of %3d tokens   ", shapes[i].texts, shapes[i].texts == 1 ? " " : "s",
                          shapes[i].length);
        if (r->latency_ms[i] < 0)
            ds__buffer_text(text, "     (the model has fewer positions)\n");
        else
            ds__buffer_printf(text, "%8.3f ms\n", r->latency_ms[i]);
    }
    if (r->peak_share > 0)
        ds__buffer_printf(text, "the last one reaches     %8.1f GFLOP/s, %.0f %% of the multiply-add peak\n", r->gflops,
                          100 * r->peak_share);
    if (b->common.texts)
        ds__buffer_printf(text,
                          "real texts, sorted       %8.1f /s\nreal texts, in order     %8.1f /s (%.1f tokens each)\n",
                          r->texts_per_s, r->arrival_per_s, r->mean_tokens);
    ds__buffer_printf(text, "peak memory              %8ld MB\n", r->peak_rss_mb);
}

/* One figure of a kernel, as a line of the table or an item of the JSON array. */
typedef struct figures {
    ds__buffer text;
    ds__json_writer json;
    bool as_json;
    int code;
} figures;

static void put_figure(void *user, const ds_kernel_figure *figure) {
    figures *f = user;
    ds__json_writer *json = &f->json;
    if (!f->as_json) {
        ds__buffer_clear(&f->text);
        ds__buffer_printf(&f->text, "%-24s %-28s %8.1f %8.1f %-8s", figure->kernel, figure->measured, figure->best,
                          figure->median, figure->unit);
        if (figure->peak > 0)
            ds__buffer_printf(&f->text, " %4.0f %% of %.0f", 100 * figure->best / figure->peak, figure->peak);
        ds__buffer_put(&f->text, '\n');
        if (f->code == CLI_DONE && !cli_write(&f->text)) f->code = CLI_FAILED;
        return;
    }
    const char *const texts[][2] = {{"family", figure->family}, {"op", figure->op},       {"kernel", figure->kernel},
                                    {"case", figure->measured}, {"shape", figure->shape}, {"unit", figure->unit}};
    ds__json_open_object(json);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ds__json_key(json, texts[i][0]);
        if (texts[i][1])
            ds__json_put_string(json, ds__str_of(texts[i][1]));
        else
            ds__json_put_null(json);
    }
    put_number(json, "best", figure->best, 2);
    put_number(json, "median", figure->median, 2);
    put_number(json, "peak", figure->peak > 0 ? figure->peak : -1, 2);
    put_number(json, "peak_share", figure->peak > 0 ? figure->best / figure->peak : -1, 4);
    ds__json_close_object(json);
}

static int bench_kernels(bench *b) {
    figures f = {.as_json = b->json, .code = CLI_DONE};
    ds__buffer_init(&f.text, cli_heap());
    f.json = (ds__json_writer){&f.text, false};
    if (b->json) ds__json_open_array(&f.json);
    if (!b->json) {
        ds__buffer_printf(&f.text, "%s, one thread\n%-24s %-28s %8s %8s\n", ds_cpu_name(), "kernel", "case", "best",
                          "median");
        if (!cli_write(&f.text)) f.code = CLI_FAILED;
    }
    if (ds_measure_kernels(b->engine.context, b->family, b->seconds, put_figure, &f, &b->error) != DS_OK)
        f.code = cli_fail_error(&b->error);
    if (b->json && f.code == CLI_DONE) {
        ds__json_close_array(&f.json);
        ds__buffer_put(&f.text, '\n');
        f.code = cli_write(&f.text) ? CLI_DONE : CLI_FAILED;
    }
    ds__buffer_deinit(&f.text);
    return f.code;
}

int cli_bench(int argc, char **argv) {
    bench b = {.limit = 1000};
    results r = {.gflops = -1, .peak_share = -1};
    cli_parse(&(cli_command){"bench", "MODEL", doc, options, parse, &b, false, true, &b.common}, argc, argv);
    if (b.seconds == 0) b.seconds = b.kernels ? 0.2 : 2;
    if (b.family && !b.kernels) return cli_usage_error("bench", "--family is for --kernels");
    if (b.kernels && b.common.model)
        return cli_usage_error("bench", "--kernels measures no model, but \"%s\" is given", b.common.model);
    int code = cli_open_context(&b.common, &b.engine.context);
    if (b.kernels) {
        if (code == CLI_DONE) code = bench_kernels(&b);
        cli_close_engine(&b.engine);
        return code;
    }
    cli_progress_start(&b.progress, "measurements", SHAPES + (b.common.texts ? 2 : 0));
    if (code == CLI_DONE) code = measure(&b, &r);
    cli_progress_end(&b.progress);
    if (code == CLI_DONE) {
        ds__buffer text;
        ds__buffer_init(&text, cli_heap());
        if (b.json)
            put_json(&b, &r, &text);
        else
            put_table(&b, &r, &text);
        code = cli_write(&text) ? CLI_DONE : CLI_FAILED;
        ds__buffer_deinit(&text);
    }
    ds__free(cli_heap(), b.out, b.out_floats * sizeof *b.out);
    cli_close_engine(&b.engine);
    return code;
}
