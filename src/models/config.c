/* Reading config.json.
 *
 * The file is walked twice: first for what it is (model_type, architectures), since that says how the sizes are called,
 * then for everything else.  Sizes have no defaults: a folder that leaves one out is refused by its name.  Keys that
 * are not known are passed over, as transformers does. */
#include <stdio.h>

#include "base/error.h"
#include "formats/json.h"
#include "models/architecture.h"
#include "models/config_file.h"
#include "models/labels.h"

enum { MAX_LAYERS = 1024, MAX_WIDTH = 1 << 16, MAX_ROWS = 1 << 24 };

/* The sizes that every architecture has. `key` is BERT's name; an architecture may have another one. */
static const struct size_key {
    const char *key;
    size_t target; /* of an int32_t in ds__model_config */
    int32_t high;  /* the lowest is 1 */
} size_keys[] = {
    [DS__KEY_VOCAB_SIZE] = {"vocab_size", offsetof(ds__model_config, vocab_size), MAX_ROWS},
    [DS__KEY_HIDDEN_SIZE] = {"hidden_size", offsetof(ds__model_config, hidden_size), MAX_WIDTH},
    [DS__KEY_LAYERS] = {"num_hidden_layers", offsetof(ds__model_config, layers), MAX_LAYERS},
    [DS__KEY_HEADS] = {"num_attention_heads", offsetof(ds__model_config, heads), MAX_WIDTH},
    [DS__KEY_INTERMEDIATE_SIZE] = {"intermediate_size", offsetof(ds__model_config, intermediate_size), MAX_ROWS},
    [DS__KEY_POSITIONS] = {"max_position_embeddings", offsetof(ds__model_config, position_rows), MAX_ROWS},
};

enum { SIZE_KEYS = sizeof size_keys / sizeof *size_keys };

static const struct activation_name {
    const char *name;
    ds__activation activation;
} activation_names[] = {
    {"gelu", DS__ACTIVATION_GELU},
    {"gelu_new", DS__ACTIVATION_GELU_TANH},
    {"gelu_pytorch_tanh", DS__ACTIVATION_GELU_TANH},
    {"relu", DS__ACTIVATION_RELU},
};

/* What is collected while reading. */
typedef struct reading {
    ds__arena *arena;
    ds__model_config *config;
    const ds__architecture *architecture;
    bool has_labels; /* there is a head, or only the weights will tell */
    ds__label_keys labels;
} reading;

static const char *key_name(const ds__architecture *architecture, int key) {
    const char *own = architecture->keys[key];
    return own ? own : key == DS__KEY_ACTIVATION ? "hidden_act" : size_keys[key].key;
}

static int32_t *size_target(ds__model_config *config, int key) {
    return (int32_t *)((char *)config + size_keys[key].target);
}

/* A copy in the arena; NULL after an error, which is the reader's. */
static const char *keep(ds__json *json, ds__arena *arena, ds__str text) {
    if (!ds__json_ok(json)) return NULL;
    const char *copy = ds__arena_copy(arena, text).data;
    if (!copy) ds__json_out_of_memory(json, text.size, "a text of the configuration");
    return copy;
}

/* architectures: a list of class names, of which the first one counts; null or empty: none. */
static const char *read_class(ds__json *json, ds__arena *arena) {
    const char *first = NULL;
    if (ds__json_take_null(json)) return NULL;
    if (ds__json_peek(json) != DS__JSON_ARRAY) {
        ds__json_fail(json, DS_BAD_FORMAT, "architectures is not a list, expected [\"BertModel\"] or the like");
        return NULL;
    }
    while (ds__json_next_item(json)) {
        ds__str name = ds__json_string(json, DS_STR("architectures[0]"));
        if (!first) first = keep(json, arena, name);
    }
    return first;
}

static ds_status read_identity(reading *r, ds__str text, ds_error *error) {
    ds__model_config *config = r->config;
    ds__json json;
    ds__json_init(&json, r->arena->heap, config->path, text);
    for (ds__str key; ds__json_next_key(&json, &key);) {
        if (ds__str_is(key, "model_type")) {
            if (!ds__json_take_null(&json)) config->model_type = keep(&json, r->arena, ds__json_string(&json, key));
        } else if (ds__str_is(key, "architectures")) {
            config->architecture = read_class(&json, r->arena);
        } else {
            ds__json_skip(&json);
        }
    }
    return ds__json_finish(&json, error);
}

static ds_status choose_architecture(reading *r, ds_error *error) {
    ds__model_config *config = r->config;
    if (config->model_type) {
        r->architecture = ds__architecture_find(ds__str_of(config->model_type));
        if (!r->architecture)
            return ds__fail(error, DS_UNSUPPORTED, "%s: model_type is \"%s\", this version runs: %s", config->path,
                            config->model_type, ds__architecture_names());
    } else if (config->architecture) {
        r->architecture = ds__architecture_of_class(ds__str_of(config->architecture));
        if (!r->architecture)
            return ds__fail(error, DS_UNSUPPORTED,
                            "%s: there is no model_type, and architectures[0] is \"%s\"; this version runs: %s",
                            config->path, config->architecture, ds__architecture_names());
    } else {
        return ds__fail(error, DS_BAD_FORMAT, "%s: has neither model_type nor architectures; this version runs: %s",
                        config->path, ds__architecture_names());
    }
    config->model_type = r->architecture->model_type;
    return DS_OK;
}

static ds__activation read_activation(ds__json *json, ds__str key) {
    ds__str name = ds__json_string(json, key);
    for (size_t i = 0; i < sizeof activation_names / sizeof *activation_names; i++)
        if (ds__str_is(name, activation_names[i].name)) return activation_names[i].activation;
    ds__json_fail(json, DS_UNSUPPORTED, "%.*s is \"%.*s\", this version has: gelu, gelu_new, gelu_pytorch_tanh, relu",
                  DS_STR_ARG(key), DS_STR_ARG(name));
    return DS__ACTIVATION_NONE;
}

/* Keys that must have one value, because nothing else is supported. */
static bool read_fixed(ds__json *json, ds__str key) {
    if (ds__str_is(key, "position_embedding_type")) {
        if (ds__json_take_null(json)) return true;
        ds__str kind = ds__json_string(json, key);
        if (!ds__str_is(kind, "absolute"))
            ds__json_fail(json, DS_UNSUPPORTED,
                          "position_embedding_type is \"%.*s\", expected \"absolute\": relative positions are not "
                          "supported by this version",
                          DS_STR_ARG(kind));
        return true;
    }
    if (ds__str_is(key, "is_decoder") || ds__str_is(key, "add_cross_attention")) {
        if (ds__json_bool(json, key))
            ds__json_fail(json, DS_UNSUPPORTED, "%.*s is true, expected false: this version runs encoders only",
                          DS_STR_ARG(key));
        return true;
    }
    return false;
}

/* What only matters in training. */
static bool read_rate(const reading *r, ds__json *json, ds__str key) {
    static const char *const names[] = {"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"};
    ds__model_config *config = r->config;
    float *const rates[] = {&config->hidden_dropout, &config->attention_dropout, &config->classifier_dropout};
    float *target = ds__str_is(key, "initializer_range") ? &config->initializer_range : NULL;
    for (int i = 0; i < 3; i++) {
        const char *own = r->architecture->rate_keys[i];
        if (ds__str_is(key, own ? own : names[i])) target = rates[i];
    }
    if (!target) return false;
    if (!ds__json_take_null(json)) *target = (float)ds__json_number(json, key, 0, 1);
    return true;
}

/* Of other models it is a setting of transformers for generating text, and passed over. */
static float read_temperature(ds__json *json, ds__str key) {
    if (ds__json_take_null(json)) return 1;
    return (float)ds__json_number(json, key, DS__LEAST_TEMPERATURE, DS__MOST_TEMPERATURE);
}

/* One key of config.json and its value. */
static void read_key(reading *r, ds__json *json, ds__str key) {
    ds__model_config *config = r->config;
    for (int i = 0; i < SIZE_KEYS; i++) {
        if (!ds__str_is(key, key_name(r->architecture, i))) continue;
        *size_target(config, i) = (int32_t)ds__json_int(json, key, 1, size_keys[i].high);
        return;
    }
    if (ds__str_is(key, key_name(r->architecture, DS__KEY_ACTIVATION)))
        config->activation = read_activation(json, key);
    else if (ds__str_is(key, "type_vocab_size"))
        config->type_vocab_size = (int32_t)ds__json_int(json, key, 1, MAX_WIDTH);
    else if (ds__str_is(key, "layer_norm_eps"))
        config->layer_norm_epsilon = (float)ds__json_number(json, key, 0, 1);
    else if (ds__str_is(key, "pad_token_id"))
        config->pad_token_id = ds__json_take_null(json) ? -1 : (int32_t)ds__json_int(json, key, -1, MAX_ROWS);
    else if (ds__str_is(key, "temperature") && r->has_labels && config->head != DS_HEAD_TOKEN)
        config->temperature = read_temperature(json, key);
    else if (!read_fixed(json, key) && !read_rate(r, json, key) &&
             !(r->has_labels && ds__label_keys_read(&r->labels, json, key)))
        ds__json_skip(json);
}

static ds_status check_sizes(const reading *r, ds_error *error) {
    ds__model_config *config = r->config;
    for (int i = 0; i < SIZE_KEYS; i++)
        if (*size_target(config, i) == 0)
            return ds__fail(error, DS_BAD_FORMAT, "%s: has no %s, expected a number from 1 to %d", config->path,
                            key_name(r->architecture, i), size_keys[i].high);
    if (config->hidden_size % config->heads != 0)
        return ds__fail(error, DS_BAD_FORMAT, "%s: %s is %d, which is not divisible by %s, which is %d", config->path,
                        key_name(r->architecture, DS__KEY_HIDDEN_SIZE), config->hidden_size,
                        key_name(r->architecture, DS__KEY_HEADS), config->heads);
    return DS_OK;
}

static ds_head head_of_class(const char *class_name) {
    ds__str name = ds__str_of(class_name);
    if (ds__str_ends(name, DS_STR("ForSequenceClassification"))) return DS_HEAD_SEQUENCE;
    if (ds__str_ends(name, DS_STR("ForTokenClassification"))) return DS_HEAD_TOKEN;
    return DS_HEAD_NONE;
}

static ds_status read_keys(reading *r, ds__str text, ds_error *error) {
    ds__json json;
    ds__json_init(&json, r->arena->heap, r->config->path, text);
    for (ds__str key; ds__json_next_key(&json, &key);) read_key(r, &json, key);
    return ds__json_finish(&json, error);
}

static ds_status read_text(reading *r, ds__str text, ds_error *error) {
    ds__model_config *config = r->config;
    ds_status identity = read_identity(r, text, error);
    if (identity == DS_OUT_OF_MEMORY || identity == DS_MEMORY_LIMIT) return identity;
    if (identity != DS_OK) {
        /* The second walk knows the names of the fields, so it can say better what is wrong, if it meets it too. */
        r->architecture = &ds__architecture_bert;
        DS_TRY(read_keys(r, text, error));
        return identity;
    }
    DS_TRY(choose_architecture(r, error));
    config->pad_token_id = r->architecture->pad_token_id;
    config->head = config->architecture ? head_of_class(config->architecture) : DS_HEAD_NONE;
    r->has_labels = !config->architecture || config->head != DS_HEAD_NONE;
    DS_TRY(read_keys(r, text, error));
    DS_TRY(check_sizes(r, error));
    if (config->classifier_dropout < 0) config->classifier_dropout = config->hidden_dropout;
    if (r->architecture->configure) DS_TRY(r->architecture->configure(config, error));
    if (ds__max_tokens(config) < 1)
        return ds__fail(error, DS_BAD_FORMAT, "%s: %s is %d, which leaves no position behind pad_token_id, which is %d",
                        config->path, key_name(r->architecture, DS__KEY_POSITIONS), config->position_rows,
                        config->pad_token_id);
    return r->has_labels ? ds__labels_settle(&r->labels, config, error) : DS_OK;
}

ds_status ds__model_config_read(ds__arena *arena, const char *folder, ds__model_config *config,
                                const ds__architecture **architecture, ds_error *error) {
    *config = (ds__model_config){
        .type_vocab_size = 2,
        .layer_norm_epsilon = 1e-12f,
        .activation = DS__ACTIVATION_GELU,
        .hidden_dropout = 0.1f,
        .attention_dropout = 0.1f,
        .classifier_dropout = -1,
        .initializer_range = 0.02f,
        .temperature = 1,
    };
    reading r = {.arena = arena, .config = config, .labels.arena = arena};
    ds__config_file file;
    DS_TRY(ds__config_file_open(&file, arena->heap, folder, "config.json", error));
    config->path = ds__arena_copy(arena, ds__str_of(file.path)).data;
    ds_status status = config->path ? read_text(&r, file.text, error)
                                    : ds__alloc_failed(arena->heap, strlen(file.path), "a file's path", error);
    ds__config_file_close(&file);
    *architecture = r.architecture;
    return status;
}

static bool has_tensor(const ds__weights *weights, const char *prefix, const char *name) {
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return ds__weights_find(weights, ds__str_of(full), NULL) != NULL;
}

/* The head whose weights these are: in BERT a classifier behind a pooler is on sequences, one without a pooler on
 * tokens. */
static ds_head head_of_weights(const ds__architecture *architecture, const ds__weights *weights) {
    bool sequence = has_tensor(weights, architecture->weight_prefix, architecture->sequence_weight) ||
                    has_tensor(weights, "", architecture->sequence_weight);
    if (!has_tensor(weights, "", "classifier.weight") && !has_tensor(weights, "", "classifier.out_proj.weight"))
        return DS_HEAD_NONE;
    return sequence ? DS_HEAD_SEQUENCE : DS_HEAD_TOKEN;
}

ds_status ds__model_config_find_head(ds__arena *arena, ds__model_config *config, const ds__architecture *architecture,
                                     const ds__weights *weights, ds_error *error) {
    static const char *const endings[] = {
        [DS_HEAD_NONE] = "Model",
        [DS_HEAD_SEQUENCE] = "ForSequenceClassification",
        [DS_HEAD_TOKEN] = "ForTokenClassification",
    };
    if (config->architecture) return DS_OK;
    config->head = head_of_weights(architecture, weights);
    ds__buffer name;
    ds__buffer_init(&name, arena->heap);
    ds__buffer_printf(&name, "%s%s", architecture->class_name, endings[config->head]);
    if (!name.failed) config->architecture = ds__arena_copy(arena, ds__buffer_str(&name)).data;
    ds__buffer_deinit(&name);
    if (!config->architecture) return ds__alloc_failed(arena->heap, 64, "a class name", error);
    if (config->head == DS_HEAD_NONE) {
        config->labels = 0;
        config->label_names = NULL;
    }
    return DS_OK;
}
