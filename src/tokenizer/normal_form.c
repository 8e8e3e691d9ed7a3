/* Unicode normal forms with origins.  utf8proc knows the decompositions; which of them count is said by NORMALIZES,
 * since the reference's data is of an older Unicode version (see tools/gen_unicode.py).
 *
 * The origin of a character is counted as the reference does: the characters of the result take the places of the
 * source's one after the other, also where canonical ordering made marks change places. */
#include <utf8proc.h>

#include "base/error.h"
#include "tokenizer/normalize.h"
#include "tokenizer/unicode.h"

uint32_t ds__uni_combining(uint32_t code) {
    if (!(ds__uni_flags(code) & DS__UNI_NORMALIZES)) return 0;
    return (uint32_t)utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
}

size_t ds__uni_decompose(uint32_t code, bool compatible, uint32_t out[DS__UNI_LONGEST]) {
    if (ds__uni_flags(code) & DS__UNI_NORMALIZES) {
        int boundary = 0;
        utf8proc_int32_t codes[DS__UNI_LONGEST];
        utf8proc_option_t options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
        utf8proc_ssize_t count =
            utf8proc_decompose_char((utf8proc_int32_t)code, codes, DS__UNI_LONGEST, options, &boundary);
        if (count > 0 && count <= DS__UNI_LONGEST) {
            for (utf8proc_ssize_t i = 0; i < count; i++) out[i] = (uint32_t)codes[i];
            return (size_t)count;
        }
    }
    out[0] = code;
    return 1;
}

/* The primary composite of two characters, or 0. */
static uint32_t compose(uint32_t first, uint32_t second) {
    utf8proc_int32_t codes[2] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second};
    if (first < 0x80 && second < 0x80) return 0;
    if (utf8proc_normalize_utf32(codes, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) != 1) return 0;
    return ds__uni_flags((uint32_t)codes[0]) & DS__UNI_NORMALIZES ? (uint32_t)codes[0] : 0;
}

ds_status ds__marks_push(ds_encoding *encoding, ds__marks *marks, ds__mark mark, ds_error *error) {
    if (!ds__grow(encoding->heap, (void **)&marks->items, &marks->capacity, marks->count + 1, sizeof *marks->items))
        return ds__alloc_failed(encoding->heap, (marks->count + 1) * sizeof *marks->items, "a text's normal form",
                                error);
    marks->items[marks->count++] = mark;
    return DS_OK;
}

static void order_short(ds__mark *items, size_t count) {
    for (size_t i = 1; i < count; i++) {
        ds__mark mark = items[i];
        size_t j = i;
        for (; j > 0 && items[j - 1].combining > mark.combining; j--) items[j] = items[j - 1];
        items[j] = mark;
    }
}

/* Orders the run items[first..], which holds no starter, by combining class; equal ones stay in their
 * order. Runs are short, but a hostile text can be one long run, so long ones are counted into order. */
static ds_status order(ds_encoding *encoding, ds__marks *marks, size_t first, ds_error *error) {
    size_t count = marks->count - first, starts[257] = {0};
    if (count < 2) return DS_OK;
    if (count <= 32) {
        order_short(marks->items + first, count);
        return DS_OK;
    }
    for (size_t i = 0; i < count; i++) DS_TRY(ds__marks_push(encoding, marks, marks->items[first + i], error));
    ds__mark *items = marks->items + first, *copy = items + count;
    for (size_t i = 0; i < count; i++) starts[copy[i].combining + 1]++;
    for (size_t c = 1; c < 257; c++) starts[c] += starts[c - 1];
    for (size_t i = 0; i < count; i++) items[starts[copy[i].combining]++] = copy[i];
    marks->count -= count;
    return DS_OK;
}

/* `in` to `out`, each character decomposed, marks in canonical order. */
static ds_status decompose(ds_encoding *encoding, const ds__marks *in, ds__marks *out, bool compatible,
                           ds_error *error) {
    size_t run = 0; /* where the marks behind the last starter begin */
    out->count = 0;
    for (size_t i = 0; i < in->count; i++) {
        uint32_t codes[DS__UNI_LONGEST];
        size_t count = ds__uni_decompose(in->items[i].code, compatible, codes);
        for (size_t k = 0; k < count; k++) {
            uint32_t combining = ds__uni_combining(codes[k]);
            ds__mark mark = {.code = codes[k], .combining = (uint8_t)combining, .change = k > 0};
            if (combining == 0) DS_TRY(order(encoding, out, run, error));
            DS_TRY(ds__marks_push(encoding, out, mark, error));
            if (combining == 0) run = out->count;
        }
    }
    return order(encoding, out, run, error);
}

/* Canonical composition in place: a starter takes up the marks behind it that nothing blocks. */
static void compose_marks(ds__marks *marks) {
    ds__mark *items = marks->items;
    size_t written = 0, starter = SIZE_MAX; /* the starter's place among those written */
    uint32_t last = 0;                      /* class of the mark written last; 0: the starter is the last */
    for (size_t i = 0; i < marks->count; i++) {
        ds__mark mark = items[i];
        bool adjacent = starter != SIZE_MAX && starter + 1 == written;
        if (starter != SIZE_MAX && (adjacent || last < mark.combining)) {
            uint32_t both = compose(items[starter].code, mark.code);
            if (both) {
                items[starter].code = both;
                items[starter].change += mark.change - 1;
                continue;
            }
        }
        if (mark.combining == 0) starter = written;
        last = mark.combining;
        items[written++] = mark;
    }
    marks->count = written;
}

/* Gives the characters of `out` the origins of those of `in`, by their changes. */
static void take_origins(const ds__marks *in, ds__marks *out) {
    size_t place = 0;
    for (size_t i = 0; i < out->count; i++) {
        ds__mark *mark = &out->items[i];
        size_t from = mark->change > 0 ? (place ? place - 1 : 0) : place;
        mark->origin = in->items[from < in->count ? from : in->count - 1].origin;
        if (mark->change <= 0) place += 1 + (size_t)-mark->change;
    }
}

ds_status ds__normal_form(ds_encoding *encoding, bool compatible, bool composed, ds_error *error) {
    if (encoding->marks->count == 0) return DS_OK;
    DS_TRY(decompose(encoding, encoding->marks, encoding->other_marks, compatible, error));
    if (composed) compose_marks(encoding->other_marks);
    take_origins(encoding->marks, encoding->other_marks);
    ds__marks *swap = encoding->marks;
    encoding->marks = encoding->other_marks;
    encoding->other_marks = swap;
    return DS_OK;
}
