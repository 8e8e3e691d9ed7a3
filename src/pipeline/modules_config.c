/* The settings of sentence-transformers' modules: how rows are pooled, and where texts are cut.
 *
 * What would change the vectors and is not supported is refused, since nobody would notice a silently different vector.
 */
#include "base/error.h"
#include "formats/json.h"
#include "models/config_file.h"
#include "pipeline/modules.h"

enum { MAX_TOKENS = INT32_MAX, MAX_DIMENSION = 1 << 24 };

/* Reads one key's value, or skips it; then, when all keys were read, looks at the whole. */
typedef void (*key_fn)(void *state, ds__json *json, ds__str key);
typedef void (*end_fn)(void *state, ds__json *json);

/* Walks over the keys of the object in folder/name. end: may be NULL. */
static ds_status read_keys(ds__heap *heap, const char *folder, const char *name, key_fn read, end_fn end, void *state,
                           ds_error *error) {
    ds__config_file file;
    DS_TRY(ds__config_file_open(&file, heap, folder, name, error));
    ds__json json;
    ds__json_init(&json, heap, file.path, file.text);
    for (ds__str key; ds__json_next_key(&json, &key);) read(state, &json, key);
    if (end && ds__json_ok(&json)) end(state, &json);
    ds_status status = ds__json_finish(&json, error);
    ds__config_file_close(&file);
    return status;
}

/* ---- the Pooling module --------------------------------------------------------------------------------------------
 */

static const struct pooling_mode {
    const char *name; /* as pooling_mode has it, since version 6 of sentence-transformers */
    const char *key;  /* a truth value of its own, before */
    ds_pooling pooling;
} modes[] = {
    {"mean", "pooling_mode_mean_tokens", DS_POOLING_MEAN},
    {"cls", "pooling_mode_cls_token", DS_POOLING_CLS},
    {"max", "pooling_mode_max_tokens", DS_POOLING_MAX},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", DS_POOLING_AUTO},
    {"weightedmean", "pooling_mode_weightedmean_tokens", DS_POOLING_AUTO},
    {"lasttoken", "pooling_mode_lasttoken", DS_POOLING_AUTO},
};

enum { MODES = sizeof modes / sizeof *modes };

typedef struct pooling_state {
    const ds__model_config *config;
    ds_pooling pooling;
    bool named[MODES], chosen[MODES]; /* by the truth values: is there at all, is true */
    bool has_mode;                    /* pooling_mode was there, which then counts alone */
} pooling_state;

static void read_mode(pooling_state *state, ds__json *json, ds__str key) {
    ds__str name = ds__json_string(json, key);
    for (int i = 0; i < MODES; i++) {
        if (!ds__str_is(name, modes[i].name)) continue;
        state->chosen[i] = true;
        return;
    }
    ds__json_fail(json, DS_UNSUPPORTED, "pooling_mode is \"%.*s\", this version has: mean, cls, max", DS_STR_ARG(name));
}

/* pooling_mode: "mean" or ["mean"] */
static void read_modes(pooling_state *state, ds__json *json, ds__str key) {
    state->has_mode = true;
    for (int i = 0; i < MODES; i++) state->chosen[i] = false;
    if (ds__json_peek(json) != DS__JSON_ARRAY) {
        read_mode(state, json, key);
        return;
    }
    while (ds__json_next_item(json)) read_mode(state, json, key);
}

static void read_pooling_key(void *argument, ds__json *json, ds__str key) {
    pooling_state *state = argument;
    if (ds__str_is(key, "pooling_mode")) {
        read_modes(state, json, key);
        return;
    }
    if (ds__str_is(key, "word_embedding_dimension") || ds__str_is(key, "embedding_dimension")) {
        int64_t dimension = ds__json_int(json, key, 1, MAX_DIMENSION);
        if (dimension != state->config->hidden_size)
            ds__json_fail(json, DS_SHAPE_MISMATCH, "%.*s is %lld, but the model's hidden size is %d (%s)",
                          DS_STR_ARG(key), (long long)dimension, state->config->hidden_size, state->config->path);
        return;
    }
    for (int i = 0; i < MODES; i++) {
        if (!ds__str_is(key, modes[i].key)) continue;
        bool chosen = ds__json_bool(json, key);
        state->named[i] = true;
        if (!state->has_mode) state->chosen[i] = chosen;
        return;
    }
    ds__json_skip(json);
}

static void choose_pooling(void *argument, ds__json *json) {
    pooling_state *state = argument;
    int count = 0, first = 0, second = 0;
    for (int i = MODES - 1; i >= 0; i--) {
        if (!state->chosen[i]) continue;
        count++;
        second = first;
        first = i;
    }
    if (count > 1)
        ds__json_fail(json, DS_UNSUPPORTED, "%s and %s are combined, expected one kind of pooling: mean, cls or max",
                      modes[first].name, modes[second].name);
    else if (count == 1 && modes[first].pooling == DS_POOLING_AUTO)
        ds__json_fail(json, DS_UNSUPPORTED, "the pooling is \"%s\", this version has: mean, cls, max",
                      modes[first].name);
    else if (count == 0 && (state->has_mode || state->named[0]))
        ds__json_fail(json, DS_BAD_FORMAT, "no kind of pooling is chosen, expected one of mean, cls, max");
    state->pooling = modes[first].pooling; /* mean, the first one, where nothing is said of it */
}

static ds_status read_pooling(ds__heap *heap, const char *folder, const ds__model_config *config, ds__modules *modules,
                              ds_error *error) {
    pooling_state state = {.config = config};
    ds__buffer at;
    ds__buffer_init(&at, heap);
    const char *path = ds__path_join(&at, folder, modules->pooling_at);
    ds_status status = path ? read_keys(heap, path, "config.json", read_pooling_key, choose_pooling, &state, error)
                            : ds__alloc_failed(heap, strlen(folder) + strlen(modules->pooling_at), "a path", error);
    ds__buffer_deinit(&at);
    modules->pooling = state.pooling;
    return status;
}

/* ---- prompts -------------------------------------------------------------------------------------------------------
 */

typedef struct prompt_state {
    ds__str name;    /* of the prompt that goes in front of every text; empty: none */
    ds__str prompts; /* {"query": "query: ", ...} */
} prompt_state;

static void read_prompt_key(void *argument, ds__json *json, ds__str key) {
    prompt_state *state = argument;
    if (ds__str_is(key, "default_prompt_name")) {
        if (!ds__json_take_null(json)) state->name = ds__json_string(json, key);
    } else if (ds__str_is(key, "prompts")) {
        if (!ds__json_take_null(json)) state->prompts = ds__json_raw(json);
    } else {
        ds__json_skip(json);
    }
}

static void refuse_prompt(void *argument, ds__json *json) {
    prompt_state *state = argument;
    if (!state->name.size || !state->prompts.size) return;
    ds__json inner;
    ds_error error = {DS_OK, ""};
    ds__str prompt = {NULL, 0};
    ds__json_init(&inner, json->scratch.heap, "prompts", state->prompts);
    for (ds__str key; ds__json_next_key(&inner, &key);) {
        if (ds__str_equal(key, state->name) && !ds__json_take_null(&inner))
            prompt = ds__json_string(&inner, key);
        else
            ds__json_skip(&inner);
    }
    if (prompt.size)
        ds__json_fail(
            json, DS_UNSUPPORTED,
            "default_prompt_name is \"%.*s\", which puts \"%.*s\" in front of every text; this version adds no "
            "prompts: set it to null and put the prompt into the texts",
            DS_STR_ARG(state->name), DS_STR_ARG(prompt));
    ds_status status = ds__json_finish(&inner, &error);
    if (status != DS_OK) ds__json_fail(json, status, "%s", error.message);
}

/* ---- where texts are cut -------------------------------------------------------------------------------------------
 */

typedef struct length_state {
    int32_t max_seq_length;  /* 0: not stated */
    bool lower_case;         /* texts are to be put into lower case before the tokenizer sees them */
    double model_max_length; /* of the tokenizer; 0: not stated; 1e30 where there is no limit */
    bool tokenizer_lowers;   /* the tokenizer says that it does so itself */
} length_state;

static void read_length_key(void *argument, ds__json *json, ds__str key) {
    length_state *state = argument;
    if (ds__str_is(key, "max_seq_length")) {
        if (!ds__json_take_null(json)) state->max_seq_length = (int32_t)ds__json_int(json, key, 1, MAX_TOKENS);
    } else if (ds__str_is(key, "do_lower_case")) {
        if (!ds__json_take_null(json)) state->lower_case = ds__json_bool(json, key);
    } else {
        ds__json_skip(json);
    }
}

static void read_tokenizer_key(void *argument, ds__json *json, ds__str key) {
    length_state *state = argument;
    if (ds__str_is(key, "model_max_length")) {
        if (!ds__json_take_null(json)) state->model_max_length = ds__json_number(json, key, 1, 1e300);
    } else if (ds__str_is(key, "do_lower_case")) {
        if (!ds__json_take_null(json)) state->tokenizer_lowers = ds__json_bool(json, key);
    } else {
        ds__json_skip(json);
    }
}

/* max_seq_length, else the tokenizer's model_max_length, but never more than the model has positions for. */
static ds_status read_length(ds__heap *heap, const char *folder, const ds__model_config *config, ds__modules *modules,
                             ds_error *error) {
    static const char *const names[] = {"sentence_bert_config.json", "sentence_roberta_config.json",
                                        "sentence_distilbert_config.json"};
    length_state state = {0};
    const char *name = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !name; i++) {
        bool exists;
        DS_TRY(ds__config_file_exists(heap, folder, names[i], &exists, error));
        if (exists) name = names[i];
    }
    if (name) DS_TRY(read_keys(heap, folder, name, read_length_key, NULL, &state, error));
    bool exists, has_json;
    DS_TRY(ds__config_file_exists(heap, folder, "tokenizer.json", &has_json, error));
    state.tokenizer_lowers = !has_json; /* vocab.txt alone means BERT's defaults, of which this is one */
    DS_TRY(ds__config_file_exists(heap, folder, "tokenizer_config.json", &exists, error));
    if (exists) DS_TRY(read_keys(heap, folder, "tokenizer_config.json", read_tokenizer_key, NULL, &state, error));
    if (state.lower_case && !state.tokenizer_lowers)
        return ds__fail(
            error, DS_UNSUPPORTED,
            "%s/%s: do_lower_case is true, but tokenizer_config.json does not say that the tokenizer does that: "
            "set it to false, and put the texts into lower case yourself if the tokenizer keeps their case",
            folder, name);
    double limit = state.max_seq_length ? state.max_seq_length : state.model_max_length;
    modules->max_tokens = ds__max_tokens(config);
    if (limit > 0 && limit < modules->max_tokens) modules->max_tokens = (int32_t)limit;
    return DS_OK;
}

ds_status ds__modules_configure(ds__heap *heap, const char *folder, const ds__model_config *config,
                                ds__modules *modules, ds_error *error) {
    bool exists;
    if (modules->present) DS_TRY(read_pooling(heap, folder, config, modules, error));
    DS_TRY(ds__config_file_exists(heap, folder, "config_sentence_transformers.json", &exists, error));
    prompt_state prompts = {{NULL, 0}, {NULL, 0}};
    if (exists)
        DS_TRY(read_keys(heap, folder, "config_sentence_transformers.json", read_prompt_key, refuse_prompt, &prompts,
                         error));
    return read_length(heap, folder, config, modules, error);
}
