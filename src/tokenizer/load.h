/* Opening a tokenizer: what the readers of tokenizer.json and of vocab.txt share. */
#ifndef DS_TOKENIZER_LOAD_H
#define DS_TOKENIZER_LOAD_H

#include "formats/json.h"
#include "tokenizer/tokenizer_internal.h"

enum { DS__MAX_TEMPLATE_ITEMS = 64, DS__MAX_ADDED_TOKENS = 1 << 20 };

/* A special token as a template names it, with the ids that take its place. */
typedef struct ds__named_token {
    ds__str name;
    int32_t ids[8];
    ds__str texts[8]; /* what the file says that the ids are; .data is NULL where it does not say */
    size_t count;
} ds__named_token;

typedef struct ds__named_item {
    ds__template_part part;
    ds__str name; /* TOKEN */
    int32_t type_id;
} ds__named_item;

typedef struct ds__named_template {
    ds__named_item items[DS__MAX_TEMPLATE_ITEMS];
    size_t count;
} ds__named_template;

/* What is read before it can be resolved. */
typedef struct ds__loader {
    ds_tokenizer *tokenizer;
    const char *name;      /* of the file, for messages */
    const char *processor; /* which post-processor adds the special tokens; NULL: none so far */
    int32_t model_tokens;  /* how many the model itself has; added ones come on top */
    int32_t highest_added; /* -1: none so far */
    ds__named_token tokens[DS__MAX_TEMPLATE_ITEMS];
    size_t token_count;
    ds__named_template single, pair;
} ds__loader;

/* ---- load_tokenizer.c ---- */

/* An empty tokenizer and its loader; on failure nothing is left. */
ds_status ds__loader_create(ds__heap *heap, const char *name, ds__loader **out, ds_error *error) DS_MUST_CHECK;
/* The end of every loading: checks, orders, builds the look-ups.  With `status` other than DS_OK, or when a check
 * fails, the tokenizer is closed. The loader is gone in any case. */
ds_status ds__loader_finish(ds__loader *loader, ds_status status, ds_tokenizer **out, ds_error *error) DS_MUST_CHECK;
/* A token of the model. */
ds_status ds__loader_put(ds__loader *loader, ds__str text, int32_t id, ds_error *error) DS_MUST_CHECK;
/* An added token as a file states it; its text is copied. Its id must be that of its text, or the next free one. */
ds_status ds__loader_add(ds__loader *loader, ds__added_token token, ds_error *error) DS_MUST_CHECK;
/* A special token of the templates, as the post-processors of BERT name theirs. */
ds_status ds__loader_name(ds__loader *loader, ds__str name, int32_t id, ds_error *error) DS_MUST_CHECK;
/* [CLS] A [SEP] and [CLS] A [SEP] B [SEP]; `middles`: how many separators stand between A and B. */
void ds__loader_bert_templates(ds__loader *loader, ds__str first, ds__str separator, int middles, bool second_type);
ds_status ds__loader_normalizer(ds__loader *loader, const ds__normalizer_step *step, ds_error *error) DS_MUST_CHECK;
ds_status ds__loader_presplit(ds__loader *loader, const ds__presplit_step *step, ds_error *error) DS_MUST_CHECK;

/* Hands a failure of the functions above to the reader, which adds where in the file it was. */
void ds__json_check(ds__json *json, ds_status status, const ds_error *error);
/* The integer that a text or number of the file spells, -1 if it is none from 0 to DS__MAX_ID. */
int32_t ds__read_id(ds__str digits);

/* ---- the parts of tokenizer.json: each reads the value that comes next ---- */

void ds__load_model(ds__json *json, ds__loader *loader);          /* load_model.c */
void ds__check_model_type(ds__json *json);                        /* load_model.c; reads nothing else */
void ds__load_normalizer(ds__json *json, ds__loader *loader);     /* load_steps.c */
void ds__load_pre_tokenizer(ds__json *json, ds__loader *loader);  /* load_steps.c */
void ds__load_post_processor(ds__json *json, ds__loader *loader); /* load_template.c */
/* The fields of an added token. id: what it has, or -1 for what the object says. */
void ds__load_added_token(ds__json *json, ds__loader *loader, int32_t id);

/* ---- the files ---- */

ds_status ds__load_json(ds__heap *heap, const char *name, ds__str text, ds_tokenizer **out,
                        ds_error *error) DS_MUST_CHECK;
/* config: the content of tokenizer_config.json, empty if there is none. */
ds_status ds__load_vocab_txt(ds__heap *heap, const char *name, ds__str text, const char *config_name, ds__str config,
                             ds_tokenizer **out, ds_error *error) DS_MUST_CHECK;

#endif
