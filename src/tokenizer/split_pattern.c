/* Regular expressions of Split, by PCRE2.  The reference uses Oniguruma in Ruby's syntax, which PCRE2 reads the same
 * way with the options below and with Oniguruma's meaning of the short classes (\w and its like) written out.  A
 * difference that stays: \p{L} and its like know the characters of the library's own Unicode version. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/buffer.h"
#include "base/error.h"
#include "tokenizer/presplit.h"
#include "tokenizer/unicode.h"

/* PCRE2 frees without sizes: each block begins with its own. */
enum { HEADER = 16 };

static void *pattern_malloc(size_t bytes, void *heap) {
    size_t total;
    if (!ds__size_add(bytes, HEADER, &total)) return NULL;
    char *memory = ds__alloc(heap, total);
    if (!memory) return NULL;
    memcpy(memory, &total, sizeof total);
    return memory + HEADER;
}

static void pattern_free(void *block, void *heap) {
    if (!block) return;
    char *memory = (char *)block - HEADER;
    size_t total;
    memcpy(&total, memory, sizeof total);
    ds__free(heap, memory, total);
}

/* What Oniguruma means by a short class, in PCRE2's words and without the brackets; NULL for other letters. */
static const char *class_of(char letter) {
    switch (letter) {
    case 'w':
    case 'W':
        return "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
               "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";
    case 's':
    case 'S': return "\\t-\\r\\x{85}\\p{Z}";
    case 'h':
    case 'H': return "0-9a-fA-F";
    default: return NULL;
    }
}

/* The end of a POSIX class like [:alpha:] that begins at `at`; 0 if none does. */
static size_t posix_end(ds__str pattern, size_t at) {
    if (at + 1 >= pattern.size || pattern.data[at + 1] != ':') return 0;
    for (size_t i = at + 2; i + 1 < pattern.size; i++)
        if (pattern.data[i] == ':' && pattern.data[i + 1] == ']') return i + 2;
    return 0;
}

/* Writes the short classes out. One that is negated inside of brackets stays as it is. */
static void translate(ds__str pattern, ds__buffer *out) {
    bool inside = false; /* of brackets */
    for (size_t i = 0; i < pattern.size; i++) {
        char c = pattern.data[i];
        if (c == '\\' && i + 1 < pattern.size) {
            char letter = pattern.data[++i];
            const char *class = class_of(letter);
            bool negated = letter >= 'A' && letter <= 'Z';
            /* Outside of brackets Oniguruma takes Latin-1's fractions and raised digits for word characters too. */
            const char *more = letter == 'w' || letter == 'W' ? "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}" : "";
            if (class && !inside)
                ds__buffer_printf(out, "[%s%s%s]", negated ? "^" : "", class, more);
            else if (class && !negated)
                ds__buffer_text(out, class);
            else
                ds__buffer_append(out, pattern.data + i - 1, 2);
            continue;
        }
        size_t posix = inside && c == '[' ? posix_end(pattern, i) : 0;
        if (posix) {
            ds__buffer_append(out, pattern.data + i, posix - i);
            i = posix - 1;
            continue;
        }
        ds__buffer_put(out, c);
        if (inside || c != '[') {
            inside = inside && c != ']';
            continue;
        }
        inside = true; /* a bracket right behind the opening one, or its ^, is a character */
        if (i + 1 < pattern.size && pattern.data[i + 1] == '^') ds__buffer_put(out, pattern.data[++i]);
        if (i + 1 < pattern.size && pattern.data[i + 1] == ']') ds__buffer_put(out, pattern.data[++i]);
    }
}

ds_status ds__pattern_compile(ds__heap *heap, ds__str pattern, bool literal, const char *field, void **out,
                              ds_error *error) {
    int code;
    PCRE2_SIZE at;
    uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE);
    ds__buffer text;
    *out = NULL;
    ds__buffer_init(&text, heap);
    if (literal)
        ds__buffer_append(&text, pattern.data, pattern.size);
    else
        translate(pattern, &text);
    pcre2_general_context *general =
        text.failed ? NULL : pcre2_general_context_create(pattern_malloc, pattern_free, heap);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    pcre2_code *compiled = NULL;
    if (context)
        compiled = pcre2_compile((PCRE2_SPTR)(text.size ? text.data : ""), text.size, options, &code, &at, context);
    ds_status status = DS_OK;
    if (!context || (!compiled && code == PCRE2_ERROR_HEAP_FAILED)) {
        status = ds__alloc_failed(heap, 0, field, error);
    } else if (!compiled) {
        char reason[120] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
        status = ds__fail(error, DS_UNSUPPORTED, "%s is \"%.*s\", which PCRE2 cannot read: %s", field,
                          DS_STR_ARG(pattern), reason);
    } else {
        (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); /* where there is no JIT, matching interprets */
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    ds__buffer_deinit(&text);
    *out = compiled;
    return status;
}

void ds__pattern_free(void *pattern) { pcre2_code_free(pattern); }

void ds__match_data_free(void *match_data) { pcre2_match_data_free(match_data); }

/* One match at or behind `from`; *found: whether there is one. */
static ds_status find(const void *pattern, ds_encoding *encoding, const char *text, size_t size, size_t from,
                      bool *found, ds_error *error) {
    int result = pcre2_match(pattern, (PCRE2_SPTR)text, size, from, PCRE2_NO_UTF_CHECK, encoding->match_data, NULL);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter takes its stack from the heap */
        result = pcre2_match(pattern, (PCRE2_SPTR)text, size, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                             encoding->match_data, NULL);
    *found = result >= 0;
    if (result >= 0 || result == PCRE2_ERROR_NOMATCH) return DS_OK;
    if (result == PCRE2_ERROR_NOMEMORY || result == PCRE2_ERROR_HEAPLIMIT)
        return ds__alloc_failed(encoding->heap, 0, "matching the pre-tokenizer's pattern", error);
    char message[120] = "";
    pcre2_get_error_message(result, (PCRE2_UCHAR *)message, sizeof message);
    return ds__fail(error, DS_UNSUPPORTED, "the pre-tokenizer's pattern fails at byte %zu of a text of %zu: %s", from,
                    size, message);
}

static ds_status prepare(ds_encoding *encoding, ds_error *error) {
    if (encoding->match_data) return DS_OK;
    pcre2_general_context *general = pcre2_general_context_create(pattern_malloc, pattern_free, encoding->heap);
    if (general) encoding->match_data = pcre2_match_data_create(1, general);
    pcre2_general_context_free(general);
    return encoding->match_data ? DS_OK : ds__alloc_failed(encoding->heap, 0, "the pre-tokenizer's pattern", error);
}

ds_status ds__pattern_events(const void *pattern, ds_encoding *encoding, const ds__view *view, ds__piece word,
                             ds__pieces *pieces, ds_error *error) {
    const char *text = view->text + word.start;
    size_t size = word.end - word.start, from = 0, done = 0, last_end = SIZE_MAX;
    DS_TRY(prepare(encoding, error));
    while (from <= size) {
        bool found;
        DS_TRY(find(pattern, encoding, text, size, from, &found, error));
        if (!found) break;
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(encoding->match_data);
        size_t start = ends[0], end = ends[1] < ends[0] ? ends[0] : ends[1]; /* \K can turn them round */
        if (start < done) start = done;
        if (end < start) end = start;
        if (start == end && end == last_end) { /* an empty match behind the last match is none */
            uint32_t code;
            from += from < size ? ds__uni_next(text + from, &code) : 1;
            continue;
        }
        ds__piece between = {word.start + (uint32_t)done, word.start + (uint32_t)start, false};
        ds__piece match = {word.start + (uint32_t)start, word.start + (uint32_t)end, true};
        if (done != start) DS_TRY(ds__pieces_push(encoding, pieces, between, error));
        DS_TRY(ds__pieces_push(encoding, pieces, match, error));
        from = done = last_end = end;
    }
    ds__piece rest = {word.start + (uint32_t)done, word.end, false};
    return done != size ? ds__pieces_push(encoding, pieces, rest, error) : DS_OK;
}
