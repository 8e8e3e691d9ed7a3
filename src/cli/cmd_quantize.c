/* deepseek quantize: a folder whose layers and tables are int8, and what that costs tensor by tensor. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"

enum { KEY_QUANTIZATION = 1, KEY_EXCLUDE, KEY_REPORT, KEY_JSON };
enum { MAX_PATTERNS = 64, REPORT_TEXTS = 200 };

static const struct argp_option options[] = {
    {"quantization", KEY_QUANTIZATION, "int8", 0, "What to bring the layers and tables to (int8 is what there is)", 1},
    {"exclude", KEY_EXCLUDE, "PATTERN", 0, "Leave tensors of such names as they are; may be given again", 1},
    {"report", KEY_REPORT, "FILE", 0,
     "A table of what each tensor's quantisation costs on the texts (the first 200): tab-separated, '-' for standard "
     "output",
     1},
    {"json", KEY_JSON, 0, 0, "The summary as one line of JSON", 1},
    {0}};

static const char doc[] = "Writes OUT, a model folder like MODEL in int8; every command runs it as it is.\v"
                          "Examples:\n"
                          "  deepseek quantize MODEL OUT --quantization int8\n"
                          "  deepseek quantize MODEL OUT --exclude '*layer.0.*' --report costs.tsv --texts dev.tsv\n";

/* A tensor as the library told of it. */
typedef struct tensor {
    char *name;
    int64_t rows, cols;
    double relative_error;
} tensor;

typedef struct quantizing {
    cli_options common;
    const char *exclude[MAX_PATTERNS];
    size_t exclude_count;
    const char *report;
    bool json;
    ds_context *context;
    ds__arena arena; /* the tensors' names, the texts */
    tensor *tensors;
    size_t count, capacity;
    bool lost; /* no memory for the list */
    ds_text *texts;
    size_t text_count;
    cli_progress progress;
} quantizing;

static error_t parse(int key, char *argument, void *own) {
    quantizing *q = own;
    switch (key) {
    case KEY_QUANTIZATION:
        if (strcmp(argument, "int8") != 0)
            exit(cli_usage_error("quantize", "--quantization is \"%s\", expected int8", argument));
        break;
    case KEY_EXCLUDE:
        if (q->exclude_count == MAX_PATTERNS)
            exit(cli_usage_error("quantize", "--exclude is given more than %d times", MAX_PATTERNS));
        q->exclude[q->exclude_count++] = argument;
        break;
    case KEY_REPORT: q->report = argument; break;
    case KEY_JSON: q->json = true; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void each(void *user, const ds_quantized_tensor *told, size_t count) {
    quantizing *q = user;
    q->progress.total = count;
    cli_progress_add(&q->progress, 1);
    ds__str name = ds__arena_copy(&q->arena, ds__str_of(told->name));
    if (!name.data || !ds__grow(cli_heap(), (void **)&q->tensors, &q->capacity, q->count + 1, sizeof *q->tensors)) {
        q->lost = true;
        return;
    }
    q->tensors[q->count++] = (tensor){(char *)name.data, told->rows, told->cols, told->relative_error};
}

static int keep_texts(void *own, const cli_batch *batch) {
    quantizing *q = own;
    for (size_t i = 0; i < batch->count && q->text_count < REPORT_TEXTS; i++) {
        ds__str copy = ds__arena_copy(&q->arena, (ds__str){batch->texts[i].data, batch->texts[i].size});
        if (!copy.data) return cli_fail("out of memory for the texts");
        q->texts[q->text_count++] = (ds_text){copy.data, copy.size};
    }
    return CLI_DONE;
}

/* The texts' results, [text_count, *width]: embeddings, or logits where the model has a head on sequences. */
static int run_model(quantizing *q, const ds_model_options *wanted, float **out, size_t *width) {
    ds_error error;
    ds_model *model = NULL;
    ds_session *session = NULL;
    int code = CLI_DONE;
    if (ds_model_open(q->context, q->common.model, wanted, &model, &error) != DS_OK ||
        ds_session_create(model, &session, &error) != DS_OK)
        code = cli_fail_error(&error);
    if (code == CLI_DONE) {
        const ds_model_info *info = ds_model_describe(model);
        const bool head = info->head == DS_HEAD_SEQUENCE;
        *width = (size_t)(head ? info->labels : info->hidden_size);
        *out = ds__arena_alloc(&q->arena, q->text_count * *width * sizeof **out);
        ds_classify_options logits = {.logits = true};
        ds_status status = DS_OUT_OF_MEMORY;
        if (!*out)
            code = cli_fail("out of memory for the results of %zu texts", q->text_count);
        else if (head)
            status = ds_classify(session, q->texts, NULL, q->text_count, &logits, *out, NULL, &error);
        else
            status = ds_embed(session, q->texts, q->text_count, NULL, *out, NULL, &error);
        if (*out && status != DS_OK) code = cli_fail_error(&error);
    }
    ds_session_destroy(session);
    ds_model_close(model);
    return code;
}

typedef struct cost {
    double mean_cosine, least_cosine, largest;
} cost;

static cost compare(const float *exact, const float *other, size_t rows, size_t width) {
    cost c = {0, 1, 0};
    for (size_t r = 0; r < rows; r++) {
        double ab = 0, aa = 0, bb = 0;
        for (size_t i = r * width; i < (r + 1) * width; i++) {
            double a = (double)exact[i], b = (double)other[i];
            ab += a * b;
            aa += a * a;
            bb += b * b;
            c.largest = fmax(c.largest, fabs(a - b));
        }
        double cosine = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 1;
        c.mean_cosine += cosine / (double)rows;
        c.least_cosine = fmin(c.least_cosine, cosine);
    }
    return c;
}

/* One line a tensor: the model with only that one in int8, then all of them. */
static int report_lines(quantizing *q, ds__buffer *out) {
    float *exact, *other;
    size_t width;
    int code = run_model(q, &(ds_model_options){0}, &exact, &width);
    const char **names = ds__arena_alloc(&q->arena, (q->count + MAX_PATTERNS) * sizeof *names);
    if (code == CLI_DONE && !names) code = cli_fail("out of memory for %zu names", q->count);
    ds__buffer_text(out, "tensor\trows\tcols\trelative_error\tmean_cosine\tleast_cosine\tlargest_difference\n");
    q->progress.total = 2 * q->count + 1;
    for (size_t i = 0; code == CLI_DONE && i <= q->count; i++) {
        size_t excluded = 0;
        for (size_t k = 0; k < q->count && i < q->count; k++)
            if (k != i) names[excluded++] = q->tensors[k].name;
        for (size_t k = 0; k < q->exclude_count; k++) names[excluded++] = q->exclude[k];
        ds_model_options only = {.quantization = DS_QUANTIZATION_INT8, .exclude = names, .exclude_count = excluded};
        code = run_model(q, &only, &other, &width);
        if (code != CLI_DONE) break;
        cost c = compare(exact, other, q->text_count, width);
        if (i < q->count)
            ds__buffer_printf(out, "%s\t%lld\t%lld\t%.5f", q->tensors[i].name, (long long)q->tensors[i].rows,
                              (long long)q->tensors[i].cols, q->tensors[i].relative_error);
        else
            ds__buffer_text(out, "everything\t\t\t");
        ds__buffer_printf(out, "\t%.6f\t%.6f\t%.5f\n", c.mean_cosine, c.least_cosine, c.largest);
        cli_progress_add(&q->progress, 1);
    }
    return code;
}

static int write_report(quantizing *q) {
    ds__buffer text;
    ds_error error;
    ds__buffer_init(&text, cli_heap());
    int code = report_lines(q, &text);
    if (code == CLI_DONE && text.failed) code = cli_fail("out of memory for the report");
    if (code == CLI_DONE && strcmp(q->report, "-") == 0)
        code = cli_write(&text) ? CLI_DONE : CLI_FAILED;
    else if (code == CLI_DONE && ds__file_replace(q->report, text.data, text.size, &error) != DS_OK)
        code = cli_fail_error(&error);
    ds__buffer_deinit(&text);
    return code;
}

static int write_summary(const quantizing *q, const ds_quantize_stats *stats) {
    ds__buffer text;
    ds__buffer_init(&text, cli_heap());
    double share = stats->bytes_before ? (double)stats->bytes_after / (double)stats->bytes_before : 0;
    if (q->json) {
        ds__json_writer json = {&text, false};
        ds__json_open_object(&json);
        ds__json_key(&json, "folder");
        ds__json_put_string(&json, ds__str_of(q->common.output_folder));
        ds__json_key(&json, "quantized");
        ds__json_put_int(&json, (int64_t)stats->quantized);
        ds__json_key(&json, "bytes_before");
        ds__json_put_int(&json, (int64_t)stats->bytes_before);
        ds__json_key(&json, "bytes_after");
        ds__json_put_int(&json, (int64_t)stats->bytes_after);
        ds__json_key(&json, "share");
        ds__json_put_fixed(&json, share, 4);
        ds__json_close_object(&json);
        ds__buffer_put(&text, '\n');
    } else if (!q->report || strcmp(q->report, "-") != 0) {
        ds__buffer_printf(&text, "%s: %zu tensors in int8; the weights take %.1f MB, %.1f %% of the %.1f MB before\n",
                          q->common.output_folder, stats->quantized, (double)stats->bytes_after / 1e6, 100 * share,
                          (double)stats->bytes_before / 1e6);
    }
    int code = cli_write(&text) ? CLI_DONE : CLI_FAILED;
    ds__buffer_deinit(&text);
    return code;
}

static int read_texts(quantizing *q) {
    cli_texts *texts;
    q->texts = ds__arena_alloc(&q->arena, REPORT_TEXTS * sizeof *q->texts);
    if (!q->texts) return cli_fail("out of memory for %d texts", REPORT_TEXTS);
    int code = cli_texts_open(&q->common, &texts);
    if (code != CLI_DONE) return code;
    code = cli_texts_each(texts, keep_texts, q);
    cli_texts_close(texts);
    if (code == CLI_DONE && q->text_count == 0) code = cli_fail("%s: holds no text", q->common.texts);
    return code;
}

int cli_quantize(int argc, char **argv) {
    quantizing q = {.json = false};
    ds_quantize_stats stats;
    ds_error error;
    cli_parse(&(cli_command){"quantize", "MODEL OUT", doc, options, parse, &q, true, false, &q.common}, argc, argv);
    if (!q.report != !q.common.texts)
        return cli_usage_error("quantize", "--report needs --texts, and --texts is for --report");
    ds__arena_init(&q.arena, cli_heap(), 0);
    q.common.writes_file = true;
    int code = q.report ? read_texts(&q) : CLI_DONE;
    if (code == CLI_DONE) code = cli_open_context(&q.common, &q.context);
    if (code == CLI_DONE) {
        ds_quantize_options wanted = {q.exclude, q.exclude_count, each, &q};
        cli_progress_start(&q.progress, "tensors", 0);
        if (ds_model_quantize(q.context, q.common.model, q.common.output_folder, &wanted, &stats, &error) != DS_OK)
            code = cli_fail_error(&error);
        if (code == CLI_DONE && q.lost) code = cli_fail("out of memory for the list of tensors");
        if (code == CLI_DONE && q.report) code = write_report(&q);
        cli_progress_end(&q.progress);
    }
    if (code == CLI_DONE) code = write_summary(&q, &stats);
    ds__free(cli_heap(), q.tensors, q.capacity * sizeof *q.tensors);
    ds__arena_deinit(&q.arena);
    ds_context_destroy(q.context);
    return code;
}
