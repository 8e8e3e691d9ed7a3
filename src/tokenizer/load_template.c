/* The post_processor part of tokenizer.json: where special tokens go, and whether tokens' places leave out white space.
 */
#include "base/error.h"
#include "tokenizer/load.h"

/* The id of a special token in a post-processor. */
static int32_t read_token_id(ds__json *json) {
    return (int32_t)ds__json_int(json, DS_STR("an id in post_processor"), 0, DS__MAX_ID);
}

/* ["[SEP]", 102] */
static ds__named_token read_pair(ds__json *json, ds__str field) {
    ds__named_token token = {.name = {NULL, 0}, .count = 1};
    size_t count = 0;
    for (; ds__json_next_item(json); count++) {
        if (count == 0)
            token.name = ds__json_string(json, field);
        else if (count == 1)
            token.ids[0] = read_token_id(json);
        else
            ds__json_skip(json);
    }
    if (count != 2)
        ds__json_fail(json, DS_BAD_FORMAT, "post_processor %.*s has %zu parts, expected a text and an id",
                      DS_STR_ARG(field), count);
    return token;
}

/* {"SpecialToken": {"id": "[CLS]", "type_id": 0}} or {"Sequence": {"id": "A", "type_id": 0}} */
static void read_item(ds__json *json, ds__loader *loader, ds__named_template *template) {
    ds__named_item item = {DS__TEMPLATE_TOKEN, {NULL, 0}, 0};
    bool sequence = false;
    for (ds__str kind, key; ds__json_next_key(json, &kind);) {
        sequence = ds__str_is(kind, "Sequence");
        if (!sequence && !ds__str_is(kind, "SpecialToken"))
            ds__json_fail(json, DS_BAD_FORMAT,
                          "a template of post_processor has the part \"%.*s\", expected Sequence or "
                          "SpecialToken",
                          DS_STR_ARG(kind));
        while (ds__json_next_key(json, &key)) {
            if (ds__str_is(key, "id"))
                item.name = ds__json_string(json, key);
            else if (ds__str_is(key, "type_id"))
                item.type_id = (int32_t)ds__json_int(json, key, 0, INT32_MAX);
            else
                ds__json_skip(json);
        }
    }
    if (sequence && !ds__str_is(item.name, "A") && !ds__str_is(item.name, "B"))
        ds__json_fail(json, DS_BAD_FORMAT, "a template of post_processor has the sequence \"%.*s\", expected A or B",
                      DS_STR_ARG(item.name));
    if (template->count == DS__MAX_TEMPLATE_ITEMS)
        ds__json_fail(json, DS_UNSUPPORTED, "a template of post_processor has more than %d parts",
                      DS__MAX_TEMPLATE_ITEMS);
    if (!ds__json_ok(json)) return;
    if (sequence) item.part = ds__str_is(item.name, "A") ? DS__TEMPLATE_FIRST : DS__TEMPLATE_SECOND;
    item.name = ds__arena_copy(&loader->tokenizer->arena, item.name);
    template->items[template->count++] = item;
    ds_error error;
    if (!item.name.data)
        ds__json_check(json, ds__alloc_failed(loader->tokenizer->heap, item.name.size, loader->name, &error), &error);
}

/* "[CLS]": {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]} */
static void read_special(ds__json *json, ds__loader *loader, ds__str name) {
    enum { MOST = sizeof loader->tokens[0].ids / sizeof loader->tokens[0].ids[0] };
    ds_error error;
    int32_t ids[MOST];
    ds__str texts[MOST];
    size_t id_count = 0, text_count = 0;
    for (ds__str key; ds__json_next_key(json, &key);) {
        bool is_ids = ds__str_is(key, "ids"), is_tokens = ds__str_is(key, "tokens");
        if (!is_ids && !is_tokens) ds__json_skip(json);
        while ((is_ids || is_tokens) && ds__json_next_item(json)) {
            if (id_count == MOST || text_count == MOST)
                ds__json_fail(json, DS_UNSUPPORTED, "the special token \"%.*s\" of post_processor has %d ids or more",
                              DS_STR_ARG(name), MOST);
            else if (is_ids)
                ids[id_count++] = read_token_id(json);
            else
                texts[text_count++] = ds__json_string(json, DS_STR("a token in post_processor"));
        }
    }
    if (id_count == 0 || id_count != text_count)
        ds__json_fail(json, DS_BAD_FORMAT,
                      "the special token \"%.*s\" of post_processor has %zu ids and %zu tokens, "
                      "expected the same number, at least 1",
                      DS_STR_ARG(name), id_count, text_count);
    if (!ds__json_ok(json)) return;
    ds__json_check(json, ds__loader_name(loader, name, ids[0], &error), &error);
    for (size_t i = 0; ds__json_ok(json) && i < id_count; i++) {
        ds__named_token *token = &loader->tokens[loader->token_count - 1];
        token->ids[i] = ids[i];
        token->texts[i] = ds__arena_copy(&loader->tokenizer->arena, texts[i]);
        token->count = id_count;
    }
}

typedef struct processor {
    ds__str type;
    ds__named_token cls, sep;
    bool trims, prefix_space;
} processor;

static void read_field(ds__json *json, ds__loader *loader, processor *p, ds__str key) {
    if (ds__str_is(key, "type")) {
        p->type = ds__json_string(json, key);
    } else if (ds__str_is(key, "processors")) {
        while (ds__json_next_item(json)) ds__load_post_processor(json, loader);
    } else if (ds__str_is(key, "cls")) {
        p->cls = read_pair(json, key);
    } else if (ds__str_is(key, "sep")) {
        p->sep = read_pair(json, key);
    } else if (ds__str_is(key, "trim_offsets")) {
        p->trims = ds__json_bool(json, key);
    } else if (ds__str_is(key, "add_prefix_space")) {
        p->prefix_space = ds__json_bool(json, key);
    } else if (ds__str_is(key, "single")) {
        while (ds__json_next_item(json)) read_item(json, loader, &loader->single);
    } else if (ds__str_is(key, "pair")) {
        while (ds__json_next_item(json)) read_item(json, loader, &loader->pair);
    } else if (ds__str_is(key, "special_tokens")) {
        for (ds__str name; ds__json_next_key(json, &name);) read_special(json, loader, name);
    } else {
        ds__json_skip(json);
    }
}

/* BertProcessing and RobertaProcessing. */
static void make_bert(ds__json *json, ds__loader *loader, const processor *p, bool roberta) {
    ds_error error;
    if (!p->cls.name.data || !p->sep.name.data) {
        ds__json_fail(json, DS_BAD_FORMAT, "post_processor %.*s has no %s", DS_STR_ARG(p->type),
                      p->cls.name.data ? "sep" : "cls");
        return;
    }
    ds__json_check(json, ds__loader_name(loader, p->cls.name, p->cls.ids[0], &error), &error);
    ds__json_check(json, ds__loader_name(loader, p->sep.name, p->sep.ids[0], &error), &error);
    if (!ds__json_ok(json)) return;
    const ds__named_token *named = &loader->tokens[loader->token_count - 2];
    ds__loader_bert_templates(loader, named[0].name, named[1].name, roberta ? 2 : 1, !roberta);
}

void ds__load_post_processor(ds__json *json, ds__loader *loader) {
    processor p = {.trims = true, .prefix_space = true};
    for (ds__str key; ds__json_next_key(json, &key);)
        if (!ds__json_take_null(json)) read_field(json, loader, &p, key);
    if (!ds__json_ok(json) || ds__str_is(p.type, "Sequence")) return;
    bool roberta = ds__str_is(p.type, "RobertaProcessing"), bert = ds__str_is(p.type, "BertProcessing"),
         template = ds__str_is(p.type, "TemplateProcessing"), byte_level = ds__str_is(p.type, "ByteLevel");
    if ((roberta || byte_level) && p.trims) {
        loader->tokenizer->trims = true;
        loader->tokenizer->keeps_prefix_space = p.prefix_space;
    }
    if (byte_level) return;
    if (!roberta && !bert && !template) {
        ds__json_fail(json, p.type.data ? DS_UNSUPPORTED : DS_BAD_FORMAT,
                      "post_processor type is \"%.*s\", expected one of Sequence, BertProcessing, RobertaProcessing, "
                      "TemplateProcessing and ByteLevel",
                      DS_STR_ARG(p.type));
    } else if (loader->processor) {
        ds__json_fail(json, DS_UNSUPPORTED,
                      "post_processor has %s and then %.*s, and one that adds tokens is supported", loader->processor,
                      DS_STR_ARG(p.type));
    }
    loader->processor = roberta ? "RobertaProcessing" : bert ? "BertProcessing" : "TemplateProcessing";
    if ((roberta || bert) && ds__json_ok(json)) make_bert(json, loader, &p, roberta);
}
