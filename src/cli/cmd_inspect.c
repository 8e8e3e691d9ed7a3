/* deepseek inspect: what a model folder is, what it takes, and what of it cannot be run. */
#include <stdio.h>

#include "cli/cli.h"

enum { KEY_JSON = 1 };

static const struct argp_option options[] = {{"json", KEY_JSON, 0, 0, "One JSON object", 1}, {0}};

static const char doc[] = "Describes a model folder without running it, also one that cannot be run.\v"
                          "Exit code 1 when the folder cannot be opened as a model; what is wrong is listed.\n\n"
                          "Example:\n"
                          "  deepseek inspect MODEL\n";

typedef struct inspect {
    cli_options common;
    bool json;
} inspect;

static error_t parse(int key, char *argument, void *own) {
    (void)argument;
    inspect *i = own;
    if (key != KEY_JSON) return ARGP_ERR_UNKNOWN;
    i->json = true;
    return 0;
}

static const char *const heads[] = {"none", "sequence classification", "token classification"};
static const char *const problems[] = {"single label", "multi label", "regression"};
static const char *const poolings[] = {"auto", "mean", "cls", "max"};

/* Batches that the memory plan is shown for; lengths are cut to what the model has. */
static const struct plan_case { size_t texts, length; } plan_cases[] = {{1, 128}, {8, 128}, {32, 512}};

enum { PLAN_CASES = sizeof plan_cases / sizeof *plan_cases };

static size_t plan_length(const ds_model_info *info, size_t i) {
    size_t most = (size_t)info->max_tokens;
    return plan_cases[i].length < most ? plan_cases[i].length : most;
}

static double mb(uint64_t bytes) { return (double)bytes / (1 << 20); }

static void put_info(const ds_model_info *info, ds__buffer *text) {
    ds__buffer_printf(text, "architecture     %s (%s)\n", info->architecture, info->model_type);
    ds__buffer_printf(text, "parameters       %lld\n", (long long)info->parameters);
    ds__buffer_printf(text, "layers           %d of %d, %d heads, feed-forward %d\n", info->layers, info->hidden_size,
                      info->heads, info->intermediate_size);
    ds__buffer_printf(text, "vocabulary       %d\n", info->vocab_size);
    ds__buffer_printf(text, "longest text     %d tokens (embedding cuts at %d)\n", info->max_tokens,
                      info->embed_max_tokens);
    ds__buffer_printf(text, "embedding        %s pooling, %s\n", poolings[info->pooling],
                      info->normalize ? "normalised" : "not normalised");
    ds__buffer_printf(text, "head             %s", heads[info->head]);
    if (info->head != DS_HEAD_NONE)
        ds__buffer_printf(text, ", %d label%s, %s", info->labels, info->labels == 1 ? "" : "s",
                          problems[info->problem]);
    if (info->temperature != 1) ds__buffer_printf(text, ", temperature %.4f", (double)info->temperature);
    ds__buffer_put(text, '\n');
}

static void put_plan(const ds_inspection *inspection, const ds_model_info *info, ds__buffer *text) {
    ds_memory_plan plan;
    ds_error error;
    for (size_t i = 0; i < PLAN_CASES; i++) {
        size_t length = plan_length(info, i), texts = plan_cases[i].texts;
        if (ds_inspection_plan(inspection, texts * length, texts, &plan, &error) != DS_OK) return;
        if (i == 0)
            ds__buffer_printf(text, "\nmemory: %.1f MB of weights packed, %.1f MB of files mapped\n",
                              mb(plan.packed_weights), mb(plan.mapped_weights));
        ds__buffer_printf(text,
                          "  %2zu texts of %3zu tokens: activations %.2f MB (%.2f side by side), scratch %.2f MB\n",
                          texts, length, mb(plan.activations), mb(plan.activations_unplanned), mb(plan.scratch));
    }
}

static void put_tensors(const ds_inspection *inspection, ds__buffer *text) {
    size_t count = ds_inspection_tensors(inspection);
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += ds_inspection_tensor(inspection, i).bytes;
    if (count)
        ds__buffer_printf(text, "\n%zu tensors, %llu bytes (- : not used by this architecture)\n", count,
                          (unsigned long long)bytes);
    for (size_t i = 0; i < count; i++) {
        ds_tensor_info tensor = ds_inspection_tensor(inspection, i);
        char shape[160];
        size_t used = 0;
        shape[0] = '\0';
        for (int d = 0; d < tensor.rank; d++)
            used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%lld", d ? ", " : "",
                                     (long long)tensor.shape[d]);
        ds__buffer_printf(text, "%s %-64s %-5s %12llu  [%s]\n", tensor.used ? " " : "-", tensor.name, tensor.dtype,
                          (unsigned long long)tensor.bytes, shape);
    }
}

/* How many tokens the folder's tokenizer knows; negative when it has none that can be used. */
static int32_t tokenizer_size(ds_context *context, const char *path) {
    ds_tokenizer *tokenizer;
    ds_error error; /* is among the problems */
    if (ds_tokenizer_open(context, path, &tokenizer, &error) != DS_OK) return -1;
    int32_t size = ds_tokenizer_size(tokenizer);
    ds_tokenizer_close(tokenizer);
    return size;
}

static void put_text(const ds_inspection *inspection, const char *path, int32_t tokens, ds__buffer *text) {
    const ds_model_info *info = ds_inspection_info(inspection);
    ds__buffer_printf(text, "folder           %s\n", path);
    if (info) put_info(info, text);
    if (tokens < 0)
        ds__buffer_text(text, "tokenizer        none that can be used\n");
    else
        ds__buffer_printf(text, "tokenizer        %d tokens\n", tokens);
    for (size_t i = 0; i < ds_inspection_problems(inspection); i++)
        ds__buffer_printf(text, "problem          %s\n", ds_inspection_problem(inspection, i));
    if (info) put_plan(inspection, info, text);
    put_tensors(inspection, text);
}

static void put_string(ds__json_writer *json, const char *key, const char *value) {
    ds__json_key(json, key);
    ds__json_put_string(json, ds__str_of(value));
}

static void put_int(ds__json_writer *json, const char *key, int64_t value) {
    ds__json_key(json, key);
    ds__json_put_int(json, value);
}

static void put_json_info(ds__json_writer *json, const ds_model_info *info) {
    put_string(json, "architecture", info->architecture);
    put_string(json, "model_type", info->model_type);
    put_int(json, "parameters", info->parameters);
    put_int(json, "layers", info->layers);
    put_int(json, "hidden_size", info->hidden_size);
    put_int(json, "heads", info->heads);
    put_int(json, "intermediate_size", info->intermediate_size);
    put_int(json, "vocab_size", info->vocab_size);
    put_int(json, "max_tokens", info->max_tokens);
    put_int(json, "embed_max_tokens", info->embed_max_tokens);
    put_string(json, "pooling", poolings[info->pooling]);
    ds__json_key(json, "normalize");
    ds__json_put_bool(json, info->normalize);
    put_string(json, "head", heads[info->head]);
    put_int(json, "labels", info->labels);
    if (info->head != DS_HEAD_NONE) put_string(json, "problem", problems[info->problem]);
}

static void put_json_plans(ds__json_writer *json, const ds_inspection *inspection, const ds_model_info *info) {
    ds_memory_plan plan;
    ds_error error;
    ds__json_key(json, "memory");
    ds__json_open_array(json);
    for (size_t i = 0; info && i < PLAN_CASES; i++) {
        size_t length = plan_length(info, i), texts = plan_cases[i].texts;
        if (ds_inspection_plan(inspection, texts * length, texts, &plan, &error) != DS_OK) break;
        ds__json_open_object(json);
        put_int(json, "texts", (int64_t)texts);
        put_int(json, "tokens", (int64_t)(texts * length));
        put_int(json, "packed_weights", (int64_t)plan.packed_weights);
        put_int(json, "mapped_weights", (int64_t)plan.mapped_weights);
        put_int(json, "activations", (int64_t)plan.activations);
        put_int(json, "activations_side_by_side", (int64_t)plan.activations_unplanned);
        put_int(json, "scratch", (int64_t)plan.scratch);
        ds__json_close_object(json);
    }
    ds__json_close_array(json);
}

static void put_json(const ds_inspection *inspection, const char *path, int32_t tokens, ds__buffer *text) {
    const ds_model_info *info = ds_inspection_info(inspection);
    ds__json_writer json = {text, false};
    ds__json_open_object(&json);
    put_string(&json, "folder", path);
    if (info) put_json_info(&json, info);
    ds__json_key(&json, "tokenizer_size");
    if (tokens < 0)
        ds__json_put_null(&json);
    else
        ds__json_put_int(&json, tokens);
    ds__json_key(&json, "problems");
    ds__json_open_array(&json);
    for (size_t i = 0; i < ds_inspection_problems(inspection); i++)
        ds__json_put_string(&json, ds__str_of(ds_inspection_problem(inspection, i)));
    ds__json_close_array(&json);
    put_json_plans(&json, inspection, info);
    ds__json_key(&json, "tensors");
    ds__json_open_array(&json);
    for (size_t i = 0; i < ds_inspection_tensors(inspection); i++) {
        ds_tensor_info tensor = ds_inspection_tensor(inspection, i);
        ds__json_open_object(&json);
        put_string(&json, "name", tensor.name);
        put_string(&json, "dtype", tensor.dtype);
        ds__json_key(&json, "shape");
        ds__json_open_array(&json);
        for (int d = 0; d < tensor.rank; d++) ds__json_put_int(&json, tensor.shape[d]);
        ds__json_close_array(&json);
        put_int(&json, "bytes", (int64_t)tensor.bytes);
        ds__json_key(&json, "used");
        ds__json_put_bool(&json, tensor.used);
        ds__json_close_object(&json);
    }
    ds__json_close_array(&json);
    ds__json_close_object(&json);
    ds__buffer_put(text, '\n');
}

int cli_inspect(int argc, char **argv) {
    inspect i = {.json = false};
    ds_context *context;
    ds_inspection *inspection;
    ds_error error;
    cli_parse(&(cli_command){"inspect", "MODEL", doc, options, parse, &i, false, true, &i.common}, argc, argv);
    if (i.common.adapter) return cli_usage_error("inspect", "--adapter is given, expected none: MODEL alone is shown");
    int code = cli_open_context(&i.common, &context);
    if (code != CLI_DONE) return code;
    if (ds_inspect(context, i.common.model, &inspection, &error) != DS_OK) {
        code = cli_fail_error(&error);
    } else {
        int32_t tokens = tokenizer_size(context, i.common.model);
        ds__buffer text;
        ds__buffer_init(&text, cli_heap());
        if (i.json)
            put_json(inspection, i.common.model, tokens, &text);
        else
            put_text(inspection, i.common.model, tokens, &text);
        code = cli_write(&text) ? CLI_DONE : CLI_FAILED;
        if (ds_inspection_problems(inspection)) code = CLI_FAILED;
        ds__buffer_deinit(&text);
        ds_inspection_destroy(inspection);
    }
    ds_context_destroy(context);
    return code;
}
