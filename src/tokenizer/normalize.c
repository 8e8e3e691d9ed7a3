/* The short way through the normaliser: one pass, ASCII by a table, and for BERT's normaliser also the rest, as long as
 * no mark would have to change its place. Anything else goes to normalize_marks.c. */
#include "tokenizer/normalize.h"

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/unicode.h"

/* What the step makes of an ASCII character; -1: that depends on what stands around it. */
static int ascii_fate(const ds__normalizer_step *step, int c) {
    uint32_t flags = ds__uni_flags((uint32_t)c);
    int lower = c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
    switch (step->kind) {
    case DS__NORMALIZER_BERT:
        if (step->clean && (flags & DS__UNI_CONTROL)) return DS__NORMALIZER_DROPS;
        if (step->clean && (flags & DS__UNI_SPACE)) return ' ';
        return step->lower ? lower : c;
    case DS__NORMALIZER_LOWERCASE: return lower;
    case DS__NORMALIZER_STRIP_ACCENTS:
    case DS__NORMALIZER_NFC:
    case DS__NORMALIZER_NFD:
    case DS__NORMALIZER_NFKC:
    case DS__NORMALIZER_NFKD: return c;
    default: return -1;
    }
}

void ds__normalizer_prepare(ds__normalizer *normalizer) {
    normalizer->by_character = true;
    for (int c = 0; c < 128; c++) {
        int fate = c;
        for (size_t i = 0; i < normalizer->count && fate >= 0 && fate != DS__NORMALIZER_DROPS; i++)
            fate = ascii_fate(&normalizer->steps[i], fate);
        if (fate < 0) normalizer->by_character = false;
        normalizer->ascii[c] = (unsigned char)fate;
    }
}

enum { SLACK = 64 }; /* room for what one character becomes */

/* The state of the pass: in[read..] to text[written..]. */
typedef struct pass {
    ds_encoding *encoding;
    ds__view in;
    char *text;
    uint32_t *origins; /* NULL as long as every byte stands where it stood */
    size_t read, written;
} pass;

static uint32_t origin_of(const pass *p, size_t at) {
    return p->in.origins ? p->in.origins[at] : p->in.base + (uint32_t)at;
}

/* Begins to write origins: the bytes so far stand where they stood. */
static ds_status write_origins(pass *p, ds_error *error) {
    if (p->origins) return DS_OK;
    ds__view_buffer *buffer = &p->encoding->normalized;
    DS_TRY(ds__view_reserve(p->encoding, buffer, p->written + (p->in.size - p->read) + SLACK, true, error));
    p->text = buffer->text;
    p->origins = buffer->origins;
    for (size_t i = 0; i < p->written; i++) {
        bool inside = i > 0 && ds__uni_continues(p->text[i]);
        p->origins[i] = inside ? p->origins[i - 1] : p->in.base + (uint32_t)i;
    }
    return DS_OK;
}

static ds_status make_room(pass *p, ds_error *error) {
    ds__view_buffer *buffer = &p->encoding->normalized;
    size_t wanted = p->written + (p->in.size - p->read) + SLACK;
    if (wanted <= buffer->text_capacity && (!p->origins || wanted <= buffer->origin_capacity)) return DS_OK;
    if (wanted > INT32_MAX)
        return ds__fail(p->encoding ? error : NULL, DS_INVALID_ARGUMENT,
                        "a text has more than %zu bytes once normalised, expected at most %d", wanted, INT32_MAX);
    DS_TRY(ds__view_reserve(p->encoding, buffer, wanted, p->origins != NULL, error));
    p->text = buffer->text;
    if (p->origins) p->origins = buffer->origins;
    return DS_OK;
}

/* The run of ASCII at the read position, up to a character that is dropped while no origins are written. */
static void ascii_run(pass *p, const unsigned char *fates) {
    const unsigned char *in = (const unsigned char *)p->in.text;
    size_t read = p->read, written = p->written, size = p->in.size;
    if (p->origins) {
        for (; read < size && in[read] < 0x80; read++) {
            p->text[written] = (char)fates[in[read]];
            p->origins[written] = origin_of(p, read);
            written += fates[in[read]] != DS__NORMALIZER_DROPS;
        }
    } else {
        char *out = p->text + written;
        size_t first = read;
        for (; read < size && in[read] < 0x80 && fates[in[read]] != DS__NORMALIZER_DROPS; read++)
            out[read - first] = (char)fates[in[read]];
        written += read - first;
    }
    p->read = read;
    p->written = written;
}

static void put(pass *p, uint32_t code, uint32_t origin) {
    char *text = p->text + p->written;
    size_t bytes = ds__utf8_encode(code, text);
    for (size_t k = 0; k < bytes; k++) p->origins[p->written + k] = origin;
    p->written += bytes;
}

/* A character over ASCII that changes, by BERT's rules; its flags say how. false: marks may have to change places. */
static bool bert_character(pass *p, const ds__normalizer_step *step, uint32_t code, uint32_t flags, uint32_t origin) {
    uint32_t codes[DS__UNI_LONGEST], lower[2];
    size_t count = 1;
    bool han = step->han && (flags & DS__UNI_HAN);
    codes[0] = code;
    if (step->clean && (flags & DS__UNI_CONTROL)) return true;
    if (step->clean && (flags & DS__UNI_SPACE))
        codes[0] = ' ';
    else if (step->accents)
        count = ds__uni_decompose(code, false, codes);
    if (han) put(p, ' ', origin);
    for (size_t i = 0; i < count; i++) {
        if (step->accents && (ds__uni_flags(codes[i]) & DS__UNI_NONSPACING)) continue;
        if (step->accents && ds__uni_combining(codes[i])) return false;
        size_t lowered = step->lower ? ds__uni_lower(codes[i], lower) : (lower[0] = codes[i], 1);
        for (size_t k = 0; k < lowered; k++) put(p, lower[k], origin);
    }
    if (han) put(p, ' ', origin);
    return true;
}

/* One character over ASCII. *short_way: false when the whole text must go the long way. */
static ds_status wide_character(pass *p, const ds__normalizer_step *step, bool *short_way, ds_error *error) {
    uint32_t code, bytes = ds__uni_next(p->in.text + p->read, &code), origin = origin_of(p, p->read);
    const ds__uni_class *class = ds__uni_class_of(code);
    uint32_t changes = (step->clean ? DS__UNI_CONTROL | DS__UNI_SPACE : 0) | (step->han ? DS__UNI_HAN : 0) |
                       (step->accents ? DS__UNI_NORMALIZES | DS__UNI_NONSPACING : 0);
    DS_TRY(make_room(p, error));
    bool same = !(class->flags & changes) && !(step->lower && (class->lower || code == 0x130));
    if (same && !p->origins) {
        memcpy(p->text + p->written, p->in.text + p->read, bytes);
        p->written += bytes;
    } else {
        DS_TRY(write_origins(p, error));
        if (same)
            put(p, code, origin);
        else
            *short_way = bert_character(p, step, code, class->flags, origin);
    }
    p->read += bytes;
    return DS_OK;
}

/* *short_way: false when the text is not fit for it; then `p` is worth nothing. */
static ds_status one_pass(const ds__normalizer *normalizer, pass *p, bool *short_way, ds_error *error) {
    bool bert = normalizer->count == 1 && normalizer->steps[0].kind == DS__NORMALIZER_BERT;
    *short_way = normalizer->by_character;
    if (p->in.size && *short_way) DS_TRY(make_room(p, error));
    if (p->in.origins && *short_way) DS_TRY(write_origins(p, error));
    while (*short_way && p->read < p->in.size) {
        ascii_run(p, normalizer->ascii);
        if (p->read == p->in.size) break;
        if ((unsigned char)p->in.text[p->read] < 0x80) /* dropped: from here on bytes move */
            DS_TRY(write_origins(p, error));
        else if (bert)
            DS_TRY(wide_character(p, &normalizer->steps[0], short_way, error));
        else
            *short_way = false;
    }
    return DS_OK;
}

ds_status ds__normalize(const ds__normalizer *normalizer, ds_encoding *encoding, ds__view in, ds__view *out,
                        ds_error *error) {
    *out = in;
    if (normalizer->count == 0 || in.size == 0) return DS_OK;
    bool short_way;
    pass p = {.encoding = encoding, .in = in, .text = encoding->normalized.text};
    DS_TRY(one_pass(normalizer, &p, &short_way, error));
    if (!short_way) return ds__normalize_marks(normalizer, encoding, in, out, error);
    *out = (ds__view){p.text, (uint32_t)p.written, p.origins, in.base};
    return DS_OK;
}
