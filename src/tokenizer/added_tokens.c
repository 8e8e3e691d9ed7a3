/* Finding added tokens.  The sorted list of patterns serves as a tree: each byte of the text narrows the range of
 * patterns that still agree, and the last complete one is the longest. */
#include "tokenizer/added_tokens.h"

#include <stdlib.h>

#include "tokenizer/unicode.h"

static int by_pattern(const void *a, const void *b) {
    const ds__added_token *x = *(const ds__added_token *const *)a, *y = *(const ds__added_token *const *)b;
    size_t common = x->pattern.size < y->pattern.size ? x->pattern.size : y->pattern.size;
    int order = memcmp(x->pattern.data, y->pattern.data, common);
    if (order) return order;
    if (x->pattern.size != y->pattern.size) return x->pattern.size < y->pattern.size ? -1 : 1;
    if (x->id == y->id) return x > y ? -1 : x < y; /* stated twice: the last one counts */
    if (x->special != y->special) return x->special ? -1 : 1;
    return x < y ? -1 : x > y; /* two tokens are the same once normalised: the first one counts */
}

bool ds__added_set_init(ds__added_set *set, ds__arena *arena, const ds__added_token *tokens, size_t count,
                        bool normalized) {
    *set = (ds__added_set){.only_start = -1};
    set->sorted = ds__arena_alloc(arena, count * sizeof *set->sorted);
    if (!set->sorted) return false;
    for (size_t i = 0; i < count; i++)
        if (tokens[i].normalized == normalized && tokens[i].pattern.size) set->sorted[set->count++] = &tokens[i];
    qsort(set->sorted, set->count, sizeof *set->sorted, by_pattern);
    int different = 0;
    for (size_t i = 0; i < set->count; i++) {
        unsigned char first = (unsigned char)set->sorted[i]->pattern.data[0];
        different += !set->starts[first];
        set->starts[first] = true;
        set->only_start = first;
    }
    if (different != 1) set->only_start = -1;
    return true;
}

/* The first of sorted[low..high), which agree in the first `depth` bytes, whose byte there is at least `byte`; a
 * pattern that ends there counts as less than any byte. */
static size_t lower_bound(const ds__added_set *set, size_t low, size_t high, size_t depth, int byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        ds__str pattern = set->sorted[middle]->pattern;
        if (pattern.size <= depth || (unsigned char)pattern.data[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest pattern that stands at text[at], or NULL. */
static const ds__added_token *longest_at(const ds__added_set *set, ds__str text, size_t at) {
    const ds__added_token *found = NULL;
    size_t low = 0, high = set->count;
    for (size_t depth = 0; at + depth < text.size; depth++) {
        int byte = (unsigned char)text.data[at + depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
        if (low == high) break;
        if (set->sorted[low]->pattern.size == depth + 1) found = set->sorted[low];
    }
    return found;
}

static bool is_word(const char *text) {
    uint32_t code;
    ds__uni_next(text, &code);
    return ds__uni_flags(code) & DS__UNI_WORD;
}

/* Whether the match stands alone: no word character before or behind it. */
static bool stands_alone(ds__str text, size_t start, size_t end) {
    uint32_t code;
    if (end < text.size && is_word(text.data + end)) return false;
    if (start == 0) return true;
    ds__uni_previous(text.data, start, &code);
    return !(ds__uni_flags(code) & DS__UNI_WORD);
}

bool ds__added_next(const ds__added_set *set, ds__str text, size_t *from, size_t taken, ds__added_match *match) {
    uint32_t code;
    for (size_t at = *from; at < text.size && set->count; at++) {
        if (set->only_start >= 0) {
            const char *start = memchr(text.data + at, set->only_start, text.size - at);
            if (!start) break;
            at = (size_t)(start - text.data);
        } else if (!set->starts[(unsigned char)text.data[at]]) {
            continue;
        }
        const ds__added_token *token = longest_at(set, text, at);
        if (!token) continue;
        size_t start = at, end = at + token->pattern.size;
        if (token->single_word && !stands_alone(text, start, end)) {
            at = end - 1; /* nothing is looked for inside of what was turned down */
            continue;
        }
        *from = end;
        if (token->lstrip) {
            while (start > 0) {
                size_t before = ds__uni_previous(text.data, start, &code);
                if (!(ds__uni_flags(code) & DS__UNI_SPACE)) break;
                start = before;
            }
            if (start < taken) start = taken;
        }
        while (token->rstrip && end < text.size) {
            uint32_t bytes = ds__uni_next(text.data + end, &code);
            if (!(ds__uni_flags(code) & DS__UNI_SPACE)) break;
            end += bytes;
        }
        if (start >= end) { /* the match before took all of it as white space */
            at = *from - 1;
            continue;
        }
        *match = (ds__added_match){token, start, end};
        return true;
    }
    *from = text.size;
    return false;
}
