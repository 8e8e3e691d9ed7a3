/* The normalizer and pre_tokenizer parts of tokenizer.json: a step, or a Sequence of steps, of named types. */
#include "base/error.h"
#include "tokenizer/load.h"

/* A text or a regular expression: {"String": "..."} or {"Regex": "..."}. */
typedef struct pattern {
    ds__str text; /* .data is NULL: none was given */
    bool regex;
} pattern;

static pattern read_pattern(ds__json *json) {
    pattern result = {{NULL, 0}, false};
    for (ds__str key; ds__json_next_key(json, &key);) {
        if (ds__str_is(key, "String") || ds__str_is(key, "Regex")) {
            result.regex = ds__str_is(key, "Regex");
            result.text = ds__json_string(json, key);
        } else {
            ds__json_skip(json);
        }
    }
    return result;
}

static void unsupported(ds__json *json, const char *part, ds__str type, const char *supported) {
    ds__json_fail(json, type.data ? DS_UNSUPPORTED : DS_BAD_FORMAT, "%s type is %s%.*s%s, expected one of %s", part,
                  type.data ? "\"" : "", DS_STR_ARG(type.data ? type : DS_STR("missing")), type.data ? "\"" : "",
                  supported);
}

/* ---- normalizer ---- */

/* strip_accents: null means what lowercase says. */
typedef struct normalizer {
    ds__str type;
    pattern pattern;
    ds__normalizer_step step;
    bool has_accents;
} normalizer;

static void read_normalizer_field(ds__json *json, ds__loader *loader, normalizer *n, ds__str key) {
    ds__normalizer_step *step = &n->step;
    if (ds__str_is(key, "type")) {
        n->type = ds__json_string(json, key);
    } else if (ds__str_is(key, "normalizers")) {
        while (ds__json_next_item(json)) ds__load_normalizer(json, loader);
    } else if (ds__str_is(key, "clean_text")) {
        step->clean = ds__json_bool(json, key);
    } else if (ds__str_is(key, "handle_chinese_chars")) {
        step->han = ds__json_bool(json, key);
    } else if (ds__str_is(key, "strip_accents")) {
        n->has_accents = true;
        step->accents = ds__json_bool(json, key);
    } else if (ds__str_is(key, "lowercase")) {
        step->lower = ds__json_bool(json, key);
    } else if (ds__str_is(key, "strip_left")) {
        step->left = ds__json_bool(json, key);
    } else if (ds__str_is(key, "strip_right")) {
        step->right = ds__json_bool(json, key);
    } else if (ds__str_is(key, "pattern")) {
        n->pattern = read_pattern(json);
    } else if (ds__str_is(key, "content")) {
        step->content = ds__json_string(json, key);
    } else {
        ds__json_skip(json);
    }
}

static void check_replace(ds__json *json, const pattern *p) {
    if (!p->text.data)
        ds__json_fail(json, DS_BAD_FORMAT, "normalizer Replace has no pattern");
    else if (p->regex || !p->text.size)
        ds__json_fail(json, DS_UNSUPPORTED, "normalizer Replace has the pattern \"%.*s\", %s", DS_STR_ARG(p->text),
                      p->regex ? "a regular expression, and plain text is supported only" : "which is empty");
}

void ds__load_normalizer(ds__json *json, ds__loader *loader) {
    static const struct {
        const char *type;
        ds__normalizer_kind kind;
    } kinds[] = {
        {"BertNormalizer", DS__NORMALIZER_BERT},
        {"Lowercase", DS__NORMALIZER_LOWERCASE},
        {"StripAccents", DS__NORMALIZER_STRIP_ACCENTS},
        {"NFC", DS__NORMALIZER_NFC},
        {"NFD", DS__NORMALIZER_NFD},
        {"NFKC", DS__NORMALIZER_NFKC},
        {"NFKD", DS__NORMALIZER_NFKD},
        {"Strip", DS__NORMALIZER_STRIP},
        {"Replace", DS__NORMALIZER_REPLACE},
    };
    normalizer n = {.step = {.clean = true, .han = true, .lower = true, .left = true, .right = true}};
    for (ds__str key; ds__json_next_key(json, &key);)
        if (!ds__json_take_null(json)) read_normalizer_field(json, loader, &n, key);
    if (!ds__json_ok(json) || ds__str_is(n.type, "Sequence")) return;
    if (!n.has_accents) n.step.accents = n.step.lower;
    size_t i = 0;
    while (i < sizeof kinds / sizeof kinds[0] && !ds__str_is(n.type, kinds[i].type)) i++;
    if (i == sizeof kinds / sizeof kinds[0]) {
        unsupported(json, "normalizer", n.type,
                    "Sequence, BertNormalizer, Lowercase, StripAccents, NFC, NFD, NFKC, NFKD, Strip and Replace");
        return;
    }
    n.step.kind = kinds[i].kind;
    if (n.step.kind == DS__NORMALIZER_REPLACE) check_replace(json, &n.pattern);
    n.step.pattern = n.pattern.text;
    if (!ds__json_ok(json)) return;
    ds_error error;
    ds__json_check(json, ds__loader_normalizer(loader, &n.step, &error), &error);
}

/* ---- pre_tokenizer ---- */

typedef struct pre_tokenizer {
    ds__str type, behavior;
    pattern pattern;
    ds__presplit_step step;
} pre_tokenizer;

static void read_pre_tokenizer_field(ds__json *json, ds__loader *loader, pre_tokenizer *p, ds__str key) {
    if (ds__str_is(key, "type")) {
        p->type = ds__json_string(json, key);
    } else if (ds__str_is(key, "pretokenizers")) {
        while (ds__json_next_item(json)) ds__load_pre_tokenizer(json, loader);
    } else if (ds__str_is(key, "add_prefix_space")) {
        p->step.prefix_space = ds__json_bool(json, key);
    } else if (ds__str_is(key, "use_regex")) {
        p->step.gpt2_words = ds__json_bool(json, key);
    } else if (ds__str_is(key, "behavior")) {
        p->behavior = ds__json_string(json, key);
    } else if (ds__str_is(key, "invert")) {
        p->step.invert = ds__json_bool(json, key);
    } else if (ds__str_is(key, "pattern")) {
        p->pattern = read_pattern(json);
    } else {
        ds__json_skip(json);
    }
}

static ds__presplit_behavior behavior_of(ds__json *json, ds__str name) {
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    if (!name.data) return DS__PRESPLIT_ISOLATED;
    for (int i = 0; i < 5; i++)
        if (ds__str_is(name, names[i])) return (ds__presplit_behavior)i;
    ds__json_fail(json, DS_BAD_FORMAT,
                  "pre_tokenizer behavior is \"%.*s\", expected Removed, Isolated, "
                  "MergedWithPrevious, MergedWithNext or Contiguous",
                  DS_STR_ARG(name));
    return DS__PRESPLIT_ISOLATED;
}

/* The pattern that ByteLevel has built in needs no PCRE2. */
static bool is_gpt2(const pre_tokenizer *p) {
    static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    return p->pattern.regex && ds__str_is(p->pattern.text, gpt2) && p->step.behavior == DS__PRESPLIT_ISOLATED;
}

static void add_pattern(ds__json *json, ds__loader *loader, pre_tokenizer *p) {
    ds_error error;
    if (!p->pattern.text.data) {
        ds__json_fail(json, DS_BAD_FORMAT, "pre_tokenizer Split has no pattern");
    } else if (is_gpt2(p)) {
        p->step.kind = DS__PRESPLIT_GPT2;
    } else {
        ds__json_check(json,
                       ds__pattern_compile(loader->tokenizer->heap, p->pattern.text, !p->pattern.regex,
                                           "pre_tokenizer pattern", &p->step.pattern, &error),
                       &error);
    }
}

void ds__load_pre_tokenizer(ds__json *json, ds__loader *loader) {
    static const struct {
        const char *type;
        ds__presplit_kind kind;
    } kinds[] = {
        {"BertPreTokenizer", DS__PRESPLIT_BERT},   {"ByteLevel", DS__PRESPLIT_BYTE_LEVEL},
        {"Whitespace", DS__PRESPLIT_WHITESPACE},   {"WhitespaceSplit", DS__PRESPLIT_WHITESPACE_SPLIT},
        {"Punctuation", DS__PRESPLIT_PUNCTUATION}, {"Split", DS__PRESPLIT_PATTERN},
    };
    pre_tokenizer p = {.step = {.prefix_space = true, .gpt2_words = true}};
    for (ds__str key; ds__json_next_key(json, &key);)
        if (!ds__json_take_null(json)) read_pre_tokenizer_field(json, loader, &p, key);
    if (!ds__json_ok(json) || ds__str_is(p.type, "Sequence")) return;
    size_t i = 0;
    while (i < sizeof kinds / sizeof kinds[0] && !ds__str_is(p.type, kinds[i].type)) i++;
    if (i == sizeof kinds / sizeof kinds[0]) {
        unsupported(json, "pre_tokenizer", p.type,
                    "Sequence, BertPreTokenizer, ByteLevel, Whitespace, WhitespaceSplit, Punctuation and Split");
        return;
    }
    p.step.kind = kinds[i].kind;
    p.step.behavior = behavior_of(json, p.behavior);
    p.step.prefix_space = p.step.prefix_space && p.step.kind == DS__PRESPLIT_BYTE_LEVEL;
    if (p.step.kind == DS__PRESPLIT_PATTERN && ds__json_ok(json)) add_pattern(json, loader, &p);
    ds_error error;
    if (ds__json_ok(json)) ds__json_check(json, ds__loader_presplit(loader, &p.step, &error), &error);
}
