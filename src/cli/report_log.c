/* Reading a training log line by line. An event is read into a structure of its own and counts only when all of its
 * line could be read. */
#include "cli/report_log.h"

#include <math.h>
#include <string.h>

#include "base/file.h"

#define MOST_NUMBER 1e300 /* larger ones are no measurement */

typedef enum event_kind {
    EVENT_NONE,
    EVENT_START,
    EVENT_STEP,
    EVENT_EVAL,
    EVENT_TIME,
    EVENT_WARNING,
    EVENT_SAVED,
    EVENT_END,
    EVENT_UNKNOWN
} event_kind;

/* A line, whatever its event: what its keys said. Texts are in the log's arena. */
typedef struct line {
    event_kind event;
    ds__str text, time, settings;
    cli_log_step step;
    cli_log_eval eval;
    double plan[CLI_LOG_PARTS], phases[CLI_LOG_PHASES];
    double seconds, peak_rss_mb;
    size_t label_count, confusion_labels; /* of what lies in the reader */
    bool no_memory;
} line;

typedef struct reader {
    cli_log *log;
    line line; /* the present one */
    ds__str labels[CLI_LOG_LABELS];
    uint32_t *confusion; /* changes places with the log's when its line is whole */
    /* Seconds count from a start, or from the first one on: where they fall back, another stretch of time begins. */
    double seconds_before, seconds_last;
} reader;

/* Where the numbers of a line go. */
static const struct number {
    const char *key;
    size_t offset;
} numbers[] = {
    {"epoch", offsetof(line, step.epoch)},
    {"loss", offsetof(line, step.loss)},
    {"gradient_norm", offsetof(line, step.gradient_norm)},
    {"learning_rate", offsetof(line, step.learning_rate)},
    {"tokens", offsetof(line, step.tokens)},
    {"samples_per_s", offsetof(line, step.samples_per_s)},
    {"step", offsetof(line, step.step)},
    {"count", offsetof(line, eval.count)},
    {"accuracy", offsetof(line, eval.metrics[CLI_LOG_ACCURACY])},
    {"f1", offsetof(line, eval.metrics[CLI_LOG_F1])},
    {"f1_macro", offsetof(line, eval.metrics[CLI_LOG_F1_MACRO])},
    {"mcc", offsetof(line, eval.metrics[CLI_LOG_MCC])},
    {"pearson", offsetof(line, eval.metrics[CLI_LOG_PEARSON])},
    {"spearman", offsetof(line, eval.metrics[CLI_LOG_SPEARMAN])},
    {"ece", offsetof(line, eval.metrics[CLI_LOG_ECE])},
    {"forward_s", offsetof(line, phases[CLI_LOG_FORWARD])},
    {"backward_s", offsetof(line, phases[CLI_LOG_BACKWARD])},
    {"optimizer_s", offsetof(line, phases[CLI_LOG_OPTIMIZER])},
    {"data_s", offsetof(line, phases[CLI_LOG_DATA])},
    {"eval_s", offsetof(line, phases[CLI_LOG_EVAL])},
    {"save_s", offsetof(line, phases[CLI_LOG_SAVE])},
    {"seconds", offsetof(line, seconds)},
    {"peak_rss_mb", offsetof(line, peak_rss_mb)},
};

static const char *const parts[CLI_LOG_PARTS] = {"weights", "gradients", "optimizer", "activations", "scratch", "peak"};

enum { MOST_CELLS = CLI_LOG_LABELS * CLI_LOG_LABELS };

static double number_or_null(ds__json *json, ds__str key) {
    return ds__json_take_null(json) ? (double)NAN : ds__json_number(json, key, -MOST_NUMBER, MOST_NUMBER);
}

static event_kind read_event(ds__json *json, ds__str key) {
    static const char *const names[] = {"", "start", "step", "eval", "time", "warning", "saved", "end"};
    ds__str name = ds__json_string(json, key);
    int kind = EVENT_START;
    while (kind < EVENT_UNKNOWN && !ds__str_is(name, names[kind])) kind++;
    return (event_kind)kind;
}

static void read_plan(ds__json *json, line *l) {
    for (ds__str key; ds__json_next_key(json, &key);) {
        int part = 0;
        while (part < CLI_LOG_PARTS && !ds__str_is(key, parts[part])) part++;
        if (part < CLI_LOG_PARTS)
            l->plan[part] = number_or_null(json, key);
        else
            ds__json_skip(json);
    }
}

static ds__str keep(reader *r, ds__str text) {
    ds__str copy = ds__arena_copy(&r->log->arena, text);
    if (!copy.data) r->line.no_memory = true;
    return copy;
}

/* At most CLI_LOG_LABELS: further ones could not be shown. */
static void read_labels(ds__json *json, ds__str key, reader *r) {
    size_t *count = &r->line.label_count;
    *count = 0;
    while (ds__json_next_item(json)) {
        ds__str label = ds__json_string(json, key);
        if (*count < CLI_LOG_LABELS) r->labels[(*count)++] = keep(r, label);
    }
}

/* Square, at most CLI_LOG_LABELS wide; the first row tells how wide. */
static void read_confusion(ds__json *json, ds__str key, reader *r) {
    size_t width = 0, cells = 0;
    bool square = true;
    for (size_t rows = 0; square && ds__json_next_item(json); rows++) {
        size_t columns = 0;
        for (; square && ds__json_next_item(json); columns++) {
            square = columns < CLI_LOG_LABELS && rows < CLI_LOG_LABELS;
            if (square) r->confusion[cells++] = (uint32_t)ds__json_int(json, key, 0, UINT32_MAX);
        }
        if (rows == 0) width = columns;
        square = square && columns == width;
    }
    if (!square || width == 0 || cells != width * width)
        ds__json_fail(json, DS_BAD_FORMAT, "confusion is no square of at most %d labels", CLI_LOG_LABELS);
    r->line.confusion_labels = width;
}

static void read_value(ds__json *json, ds__str key, reader *r) {
    line *l = &r->line;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (!ds__str_is(key, numbers[i].key)) continue;
        *(double *)((char *)l + numbers[i].offset) = number_or_null(json, key);
        return;
    }
    if (ds__str_is(key, "event"))
        l->event = read_event(json, key);
    else if (ds__str_is(key, "text"))
        l->text = keep(r, ds__json_string(json, key));
    else if (ds__str_is(key, "time"))
        l->time = keep(r, ds__json_string(json, key));
    else if (ds__str_is(key, "plan"))
        read_plan(json, l);
    else if (ds__str_is(key, "labels"))
        read_labels(json, key, r);
    else if (ds__str_is(key, "confusion"))
        read_confusion(json, key, r);
    else if (ds__str_is(key, "settings") && ds__json_expect(json, DS__JSON_OBJECT, key))
        l->settings = keep(r, ds__json_raw(json));
    else
        ds__json_skip(json);
}

static void clear(line *l) {
    *l = (line){.seconds = NAN, .peak_rss_mb = NAN};
    l->step = (cli_log_step){NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    l->eval.count = NAN;
    for (int i = 0; i < CLI_LOG_METRICS; i++) l->eval.metrics[i] = NAN;
    for (int i = 0; i < CLI_LOG_PARTS; i++) l->plan[i] = NAN;
    for (int i = 0; i < CLI_LOG_PHASES; i++) l->phases[i] = NAN;
}

/* Where a run was resumed, a step may come again: the later one counts. */
static bool add_step(cli_log *log, const line *l) {
    while (log->step_count && log->steps[log->step_count - 1].step >= l->step.step) log->step_count--;
    if (!ds__grow(cli_heap(), (void **)&log->steps, &log->step_capacity, log->step_count + 1, sizeof *log->steps))
        return false;
    log->steps[log->step_count++] = l->step;
    return true;
}

static bool add_eval(reader *r) {
    cli_log *log = r->log;
    const line *l = &r->line;
    while (log->eval_count && log->evals[log->eval_count - 1].step >= l->step.step) log->eval_count--;
    if (!ds__grow(cli_heap(), (void **)&log->evals, &log->eval_capacity, log->eval_count + 1, sizeof *log->evals))
        return false;
    cli_log_eval eval = l->eval;
    eval.step = l->step.step;
    eval.epoch = l->step.epoch;
    eval.loss = l->step.loss;
    log->evals[log->eval_count++] = eval;
    if (l->confusion_labels) {
        uint32_t *before = log->confusion;
        log->confusion = r->confusion;
        log->confusion_labels = l->confusion_labels;
        log->confusion_step = eval.step;
        r->confusion = before;
    }
    return true;
}

static void add_start(reader *r) {
    cli_log *log = r->log;
    log->starts++;
    log->ended = false;
    log->time = r->line.time;
    log->settings = r->line.settings;
    log->label_count = r->line.label_count;
    memcpy(log->labels, r->labels, log->label_count * sizeof *log->labels);
    memcpy(log->plan, r->line.plan, sizeof log->plan);
}

static void add_times(cli_log *log, const line *l) {
    for (int i = 0; i < CLI_LOG_PHASES; i++)
        if (l->phases[i] >= 0) log->phases[i] = l->phases[i] + (log->phases[i] >= 0 ? log->phases[i] : 0);
}

static void add_seconds(reader *r, double seconds) {
    if (!(seconds >= 0)) return;
    if (seconds < r->seconds_last) r->seconds_before += r->seconds_last;
    r->seconds_last = seconds;
    r->log->seconds = r->seconds_before + seconds;
}

static void add_end(cli_log *log, const line *l) {
    log->ended = true;
    log->samples_per_s = l->step.samples_per_s;
    log->peak_rss_mb = l->peak_rss_mb;
}

static void add_warning(cli_log *log, ds__str text) {
    if (log->warning_count < CLI_LOG_NOTES) log->warnings[log->warning_count] = text;
    log->warning_count++;
}

/* What is wrong with the event, or NULL. */
static const char *add_event(reader *r) {
    static const char no_step[] = "the event has no step";
    const line *l = &r->line;
    bool has_step = l->step.step >= 0;
    switch (l->event) {
    case EVENT_START: add_start(r); return NULL;
    case EVENT_STEP:
        if (!has_step) return no_step;
        add_seconds(r, l->seconds);
        if (!add_step(r->log, l)) r->line.no_memory = true;
        return NULL;
    case EVENT_EVAL:
        if (!has_step) return no_step;
        if (!add_eval(r)) r->line.no_memory = true;
        return NULL;
    case EVENT_TIME: add_times(r->log, l); return NULL;
    case EVENT_WARNING: add_warning(r->log, l->text); return NULL;
    case EVENT_SAVED: return NULL;
    case EVENT_END:
        add_seconds(r, l->seconds);
        add_end(r->log, l);
        return NULL;
    case EVENT_NONE: return "there is no event";
    default: return "the event is not known";
    }
}

static void add_bad_line(reader *r, size_t number, const char *why, ds__str text) {
    enum { SHOWN = 120 };
    cli_log *log = r->log;
    if (log->bad_count++ >= CLI_LOG_BAD_LINES) return;
    log->bad[log->bad_count - 1] = (cli_log_bad_line){
        number, keep(r, ds__str_of(why)), keep(r, (ds__str){text.data, text.size < SHOWN ? text.size : SHOWN})};
}

/* false: out of memory. */
static bool read_line(reader *r, size_t number, ds__str text) {
    ds__json json;
    ds_error error;
    const char *why;
    clear(&r->line);
    ds__json_init(&json, cli_heap(), "a line", text); /* of which the sentence begins with "a line, line 1: " */
    for (ds__str key; ds__json_next_key(&json, &key);) read_value(&json, key, r);
    ds_status status = ds__json_finish(&json, &error);
    if (status == DS_OUT_OF_MEMORY || r->line.no_memory) return false;
    if (status == DS_OK) {
        why = add_event(r);
    } else {
        const char *colon = strstr(error.message, ": ");
        why = colon ? colon + 2 : error.message;
    }
    if (why) add_bad_line(r, number, why, text);
    return !r->line.no_memory;
}

/* Bad lines may be anything: of any length, without an end. */
static int read_lines(const char *path, reader *r, const ds__file_map *map) {
    size_t number = 1;
    for (size_t at = 0; at < map->size; number++) {
        const char *start = (const char *)map->data + at, *end = memchr(start, '\n', map->size - at);
        size_t size = end ? (size_t)(end - start) : map->size - at;
        if (size && !read_line(r, number, (ds__str){start, size}))
            return cli_fail("%s: out of memory in line %zu", path, number);
        at += size + 1;
    }
    return CLI_DONE;
}

int cli_log_read(const char *path, cli_log *log) {
    static reader r; /* the labels are many */
    ds__file_map map;
    ds_error error;
    memset(log, 0, sizeof *log);
    log->seconds = log->samples_per_s = log->peak_rss_mb = NAN;
    for (int i = 0; i < CLI_LOG_PARTS; i++) log->plan[i] = NAN;
    for (int i = 0; i < CLI_LOG_PHASES; i++) log->phases[i] = NAN;
    ds__arena_init(&log->arena, cli_heap(), 1 << 16);
    if (ds__file_map_open(path, &map, &error) != DS_OK) return cli_fail_error(&error);
    r.log = log;
    r.confusion = ds__arena_zeroed(&log->arena, MOST_CELLS * sizeof *r.confusion);
    log->confusion = ds__arena_zeroed(&log->arena, MOST_CELLS * sizeof *log->confusion);
    int code = r.confusion && log->confusion ? read_lines(path, &r, &map) : cli_fail("%s: out of memory", path);
    ds__file_map_close(&map);
    return code;
}

void cli_log_free(cli_log *log) {
    ds__free(cli_heap(), log->steps, log->step_capacity * sizeof *log->steps);
    ds__free(cli_heap(), log->evals, log->eval_capacity * sizeof *log->evals);
    ds__arena_deinit(&log->arena);
}
