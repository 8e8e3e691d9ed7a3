/* Every normaliser, one character at a time: exact and general, for text that is not plain enough for normalize.c. */
#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/normalize.h"
#include "tokenizer/unicode.h"

static void swap_marks(ds_encoding *encoding) {
    ds__marks *swap = encoding->marks;
    encoding->marks = encoding->other_marks;
    encoding->other_marks = swap;
}

/* Keeps the characters without this flag. */
static void filter(ds__marks *marks, uint32_t flag) {
    size_t kept = 0;
    for (size_t i = 0; i < marks->count; i++)
        if (!(ds__uni_flags(marks->items[i].code) & flag)) marks->items[kept++] = marks->items[i];
    marks->count = kept;
}

static void clean(ds__marks *marks) {
    filter(marks, DS__UNI_CONTROL);
    for (size_t i = 0; i < marks->count; i++)
        if (ds__uni_flags(marks->items[i].code) & DS__UNI_SPACE) marks->items[i].code = ' ';
}

static ds_status split_han(ds_encoding *encoding, ds_error *error) {
    encoding->other_marks->count = 0;
    for (size_t i = 0; i < encoding->marks->count; i++) {
        ds__mark mark = encoding->marks->items[i], space = mark;
        bool han = ds__uni_flags(mark.code) & DS__UNI_HAN;
        space.code = ' ';
        if (han) DS_TRY(ds__marks_push(encoding, encoding->other_marks, space, error));
        DS_TRY(ds__marks_push(encoding, encoding->other_marks, mark, error));
        if (han) DS_TRY(ds__marks_push(encoding, encoding->other_marks, space, error));
    }
    swap_marks(encoding);
    return DS_OK;
}

static ds_status lowercase(ds_encoding *encoding, ds_error *error) {
    encoding->other_marks->count = 0;
    for (size_t i = 0; i < encoding->marks->count; i++) {
        ds__mark mark = encoding->marks->items[i];
        uint32_t lower[2];
        size_t count = ds__uni_lower(mark.code, lower);
        for (size_t k = 0; k < count; k++) {
            mark.code = lower[k];
            DS_TRY(ds__marks_push(encoding, encoding->other_marks, mark, error));
        }
    }
    swap_marks(encoding);
    return DS_OK;
}

static void strip(ds__marks *marks, bool left, bool right) {
    size_t start = 0, end = marks->count;
    while (right && end > 0 && ds__uni_flags(marks->items[end - 1].code) & DS__UNI_SPACE) end--;
    while (left && start < end && ds__uni_flags(marks->items[start].code) & DS__UNI_SPACE) start++;
    if (start < end) memmove(marks->items, marks->items + start, (end - start) * sizeof *marks->items);
    marks->count = end - start;
}

/* How many of the characters spell the pattern; 0 if they do not. */
static size_t spells(const ds__mark *items, size_t count, ds__str pattern) {
    size_t used = 0;
    for (size_t i = 0; i < pattern.size;) {
        uint32_t code;
        i += ds__uni_next(pattern.data + i, &code);
        if (used == count || items[used].code != code) return 0;
        used++;
    }
    return used;
}

/* What replaces a match comes from the match's last character. */
static ds_status replace(ds_encoding *encoding, const ds__normalizer_step *step, ds_error *error) {
    const ds__marks *in = encoding->marks;
    encoding->other_marks->count = 0;
    for (size_t i = 0; i < in->count;) {
        size_t matched = spells(in->items + i, in->count - i, step->pattern);
        ds__mark mark = in->items[matched ? i + matched - 1 : i];
        if (!matched) DS_TRY(ds__marks_push(encoding, encoding->other_marks, mark, error));
        for (size_t k = 0; matched && k < step->content.size;) {
            k += ds__uni_next(step->content.data + k, &mark.code);
            DS_TRY(ds__marks_push(encoding, encoding->other_marks, mark, error));
        }
        i += matched ? matched : 1;
    }
    swap_marks(encoding);
    return DS_OK;
}

static ds_status bert(ds_encoding *encoding, const ds__normalizer_step *step, ds_error *error) {
    if (step->clean) clean(encoding->marks);
    if (step->han) DS_TRY(split_han(encoding, error));
    if (step->accents) {
        DS_TRY(ds__normal_form(encoding, false, false, error));
        filter(encoding->marks, DS__UNI_NONSPACING);
    }
    return step->lower ? lowercase(encoding, error) : DS_OK;
}

static ds_status run(ds_encoding *encoding, const ds__normalizer_step *step, ds_error *error) {
    switch (step->kind) {
    case DS__NORMALIZER_BERT: return bert(encoding, step, error);
    case DS__NORMALIZER_LOWERCASE: return lowercase(encoding, error);
    case DS__NORMALIZER_STRIP_ACCENTS: filter(encoding->marks, DS__UNI_MARK); return DS_OK;
    case DS__NORMALIZER_NFC: return ds__normal_form(encoding, false, true, error);
    case DS__NORMALIZER_NFD: return ds__normal_form(encoding, false, false, error);
    case DS__NORMALIZER_NFKC: return ds__normal_form(encoding, true, true, error);
    case DS__NORMALIZER_NFKD: return ds__normal_form(encoding, true, false, error);
    case DS__NORMALIZER_STRIP: strip(encoding->marks, step->left, step->right); return DS_OK;
    case DS__NORMALIZER_REPLACE: return replace(encoding, step, error);
    }
    return ds__fail(error, DS_INTERNAL, "normalizer kind %d is not known", (int)step->kind);
}

/* The view's characters with their origins. */
static ds_status read_marks(ds_encoding *encoding, ds__view in, ds_error *error) {
    encoding->marks = &encoding->mark_lists[0];
    encoding->other_marks = &encoding->mark_lists[1];
    encoding->marks->count = 0;
    for (uint32_t i = 0; i < in.size;) {
        ds__mark mark = {.origin = in.origins ? in.origins[i] : in.base + i};
        i += ds__uni_next(in.text + i, &mark.code);
        DS_TRY(ds__marks_push(encoding, encoding->marks, mark, error));
    }
    return DS_OK;
}

ds_status ds__normalize_marks(const ds__normalizer *normalizer, ds_encoding *encoding, ds__view in, ds__view *out,
                              ds_error *error) {
    DS_TRY(read_marks(encoding, in, error));
    for (size_t i = 0; i < normalizer->count; i++) DS_TRY(run(encoding, &normalizer->steps[i], error));
    const ds__marks *marks = encoding->marks;
    size_t size = 0;
    if (marks->count > INT32_MAX / 4)
        return ds__fail(error, DS_INVALID_ARGUMENT, "a text has %zu characters once normalised, expected at most %d",
                        marks->count, INT32_MAX / 4);
    DS_TRY(ds__view_reserve(encoding, &encoding->normalized, 4 * marks->count, true, error));
    for (size_t i = 0; i < marks->count; i++) {
        size_t bytes = ds__utf8_encode(marks->items[i].code, encoding->normalized.text + size);
        for (size_t k = 0; k < bytes; k++) encoding->normalized.origins[size + k] = marks->items[i].origin;
        size += bytes;
    }
    *out = (ds__view){encoding->normalized.text, (uint32_t)size, encoding->normalized.origins, 0};
    return DS_OK;
}
