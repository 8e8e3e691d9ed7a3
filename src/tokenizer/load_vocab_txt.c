/* vocab.txt with an optional tokenizer_config.json: BERT's WordPiece as `transformers` sets it up when a folder has no
 * tokenizer.json.  A line is a token, its number the id; of a text that stands on two lines the last counts. */
#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/load.h"

/* The tokens that BERT's tokenizer marks as special where the vocabulary has them. */
enum { UNKNOWN, SEPARATOR, PADDING, CLASS, MASK, SPECIALS };

typedef struct settings {
    ds__str specials[SPECIALS];
    ds__normalizer_step step;
    bool has_accents;
    ds__str decoder; /* added_tokens_decoder, read once the vocabulary is there; .data is NULL if there is none */
} settings;

static const char *const special_names[SPECIALS] = {"unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

/* A special token's text: "[SEP]", or an object with a content. */
static ds__str read_special(ds__json *json, ds__str field) {
    ds__str text = {"", 0};
    if (ds__json_peek(json) != DS__JSON_OBJECT) return ds__json_string(json, field);
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "content"))
            text = ds__json_string(json, field);
        else
            ds__json_skip(json);
    }
    return text;
}

/* Those classes of `transformers` that are BERT's tokenizer under another name. */
static void check_class(ds__json *json, ds__str name) {
    static const char *const same[] = {"Bert",        "DistilBert", "Electra", "MobileBert", "ConvBert",
                                       "SqueezeBert", "LayoutLM",   "Lxmert",  "RetriBert"};
    ds__str stem = name;
    if (ds__str_ends(stem, DS_STR("Fast"))) stem.size -= 4;
    if (ds__str_ends(stem, DS_STR("Tokenizer"))) stem.size -= 9;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        if (ds__str_is(stem, same[i])) return;
    ds__json_fail(json, DS_UNSUPPORTED,
                  "tokenizer_class is \"%.*s\", and a vocab.txt is read as BERT's only; save the "
                  "tokenizer as tokenizer.json",
                  DS_STR_ARG(name));
}

static void read_field(ds__json *json, settings *c, ds__str key) {
    for (int i = 0; i < SPECIALS; i++) {
        if (!ds__str_is(key, special_names[i])) continue;
        c->specials[i] = read_special(json, key);
        return;
    }
    if (ds__str_is(key, "do_lower_case")) {
        c->step.lower = ds__json_bool(json, key);
    } else if (ds__str_is(key, "tokenize_chinese_chars")) {
        c->step.han = ds__json_bool(json, key);
    } else if (ds__str_is(key, "strip_accents")) {
        c->has_accents = true;
        c->step.accents = ds__json_bool(json, key);
    } else if (ds__str_is(key, "tokenizer_class")) {
        check_class(json, ds__json_string(json, key));
    } else if (ds__str_is(key, "added_tokens_decoder")) {
        c->decoder = ds__json_raw(json);
    } else {
        ds__json_skip(json);
    }
}

static ds_status read_lines(ds__loader *loader, ds__str text, ds_error *error) {
    int32_t line = 0;
    for (size_t at = 0; at < text.size; line++) {
        size_t end = at;
        while (end < text.size && text.data[end] != '\n' && text.data[end] != '\r') end++;
        ds__str token = {text.data + at, end - at};
        if (!ds__utf8_valid(token.data, token.size))
            return ds__fail(error, DS_BAD_FORMAT, "%s, line %d: not valid UTF-8", loader->name, line + 1);
        if (line > DS__MAX_ID)
            return ds__fail(error, DS_BAD_FORMAT, "%s: more than %d lines", loader->name, DS__MAX_ID);
        ds_status status = ds__loader_put(loader, token, line, error);
        if (status != DS_OK) return ds__fail_in(error, status, "%s, line %d", loader->name, line + 1);
        at = end + 1;
        if (end + 1 < text.size && text.data[end] == '\r' && text.data[end + 1] == '\n') at++;
    }
    loader->model_tokens = (int32_t)loader->tokenizer->vocab.count;
    return DS_OK;
}

static ds_status make_model(ds__loader *loader, const settings *c, ds_error *error) {
    ds_tokenizer *tokenizer = loader->tokenizer;
    ds__presplit_step presplit = {.kind = DS__PRESPLIT_BERT};
    int32_t ids[SPECIALS];
    for (int i = 0; i < SPECIALS; i++) {
        ids[i] = ds__vocab_find(&tokenizer->vocab, c->specials[i]);
        if (ids[i] < 0 && (i == UNKNOWN || i == SEPARATOR || i == CLASS))
            return ds__fail(error, DS_BAD_FORMAT, "%s: none of its %zu tokens is \"%.*s\", which is the %s",
                            loader->name, tokenizer->vocab.count, DS_STR_ARG(c->specials[i]), special_names[i]);
    }
    tokenizer->model = DS__MODEL_WORDPIECE;
    tokenizer->wordpiece = (ds__wordpiece){ids[UNKNOWN], 100, DS_STR("##"), 0};
    tokenizer->wordpiece.prefix_state = ds__vocab_hash(DS__VOCAB_SEED, tokenizer->wordpiece.prefix);
    DS_TRY(ds__loader_normalizer(loader, &c->step, error));
    DS_TRY(ds__loader_presplit(loader, &presplit, error));
    DS_TRY(ds__loader_name(loader, c->specials[CLASS], ids[CLASS], error));
    DS_TRY(ds__loader_name(loader, c->specials[SEPARATOR], ids[SEPARATOR], error));
    loader->processor = "BertProcessing";
    ds__loader_bert_templates(loader, loader->tokens[0].name, loader->tokens[1].name, 1, true);
    for (int i = 0; i < SPECIALS; i++) {
        ds__added_token token = {.content = c->specials[i], .id = ids[i], .special = true};
        if (ids[i] >= 0) DS_TRY(ds__loader_add(loader, token, error));
    }
    return DS_OK;
}

/* {"103": {"content": "[MASK]", "lstrip": false, ...}} */
static ds_status read_decoder(ds__loader *loader, const char *name, ds__str text, const char *start, ds_error *error) {
    ds__json json;
    ds__json_init(&json, loader->tokenizer->heap, name, text);
    json.start = start; /* messages count lines from the start of the file */
    for (ds__str key; ds__json_next_key(&json, &key);) {
        int32_t id = ds__read_id(key);
        if (id < 0)
            ds__json_fail(&json, DS_BAD_FORMAT,
                          "added_tokens_decoder has the id \"%.*s\", expected an integer from 0 to "
                          "%d",
                          DS_STR_ARG(key), DS__MAX_ID);
        else
            ds__load_added_token(&json, loader, id);
    }
    return ds__json_finish(&json, error);
}

/* The model from the vocabulary and the configuration's fields, whose strings live until the reader is finished. */
static ds_status load(ds__loader *loader, ds__str text, const char *config_name, ds__str config_text, ds_error *error) {
    settings c = {.specials = {DS_STR("[UNK]"), DS_STR("[SEP]"), DS_STR("[PAD]"), DS_STR("[CLS]"), DS_STR("[MASK]")},
                  .step = {.kind = DS__NORMALIZER_BERT, .clean = true, .han = true, .lower = true},
                  .decoder = {NULL, 0}};
    ds__json json;
    ds_error wrong;
    DS_TRY(read_lines(loader, text, error));
    ds__json_init(&json, loader->tokenizer->heap, config_name, config_text.data ? config_text : DS_STR("{}"));
    for (ds__str key; ds__json_next_key(&json, &key);)
        if (!ds__json_take_null(&json)) read_field(&json, &c, key);
    if (!c.has_accents) c.step.accents = c.step.lower;
    ds_status made = ds__json_ok(&json) ? make_model(loader, &c, &wrong) : DS_OK;
    ds_status read = ds__json_finish(&json, error);
    if (read != DS_OK) return read;
    if (made != DS_OK) return ds__fail(error, made, "%s", wrong.message);
    return c.decoder.data ? read_decoder(loader, config_name, c.decoder, config_text.data, error) : DS_OK;
}

ds_status ds__load_vocab_txt(ds__heap *heap, const char *name, ds__str text, const char *config_name, ds__str config,
                             ds_tokenizer **out, ds_error *error) {
    ds__loader *loader;
    DS_TRY(ds__loader_create(heap, name, &loader, error));
    return ds__loader_finish(loader, load(loader, text, config_name, config, error), out, error);
}
