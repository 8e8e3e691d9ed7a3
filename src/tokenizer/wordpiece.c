/* WordPiece by hash: one pass over what is left of the word gives the hashes of all its prefixes, which are then looked
 * up from the longest down. Most words are one token, which is one look-up. */
#include "tokenizer/wordpiece.h"

#include "base/error.h"
#include "tokenizer/unicode.h"

/* The longest token at text[at..size), -1 if there is none; *end is moved behind it. states: [size + 1]. */
static int32_t longest(const ds__wordpiece *wordpiece, const ds__vocab *vocab, uint64_t *states, ds__str text,
                       size_t at, size_t *end) {
    ds__str head = at ? wordpiece->prefix : (ds__str){"", 0};
    uint64_t state = at ? wordpiece->prefix_state : DS__VOCAB_SEED;
    size_t limit = text.size, room = vocab->longest > head.size ? vocab->longest - head.size : 0;
    if (limit - at > room) limit = at + room;
    for (size_t i = at; i < limit; i++) states[i + 1] = state = ds__vocab_step(state, text.data[i]);
    for (size_t to = limit; to > at; to--) {
        if (to < text.size && ds__uni_continues(text.data[to])) continue;
        int32_t id = ds__vocab_probe(vocab, states[to], head, (ds__str){text.data + at, to - at});
        if (id < 0) continue;
        *end = to;
        return id;
    }
    return -1;
}

ds_status ds__wordpiece_encode(const ds__wordpiece *wordpiece, const ds__vocab *vocab, ds_encoding *encoding,
                               const ds__view *view, ds__piece word, ds_error *error) {
    ds__str text = {view->text + word.start, word.end - word.start};
    DS_TRY(ds__encoding_reserve(encoding, text.size, error));
    size_t first = encoding->token_count;
    if (text.size > wordpiece->longest_word && ds__uni_count(text.data, text.size) > wordpiece->longest_word) {
        ds__encoding_push(encoding, view, wordpiece->unknown, word.start, word.end);
        return DS_OK;
    }
    int32_t whole = ds__vocab_probe(vocab, ds__vocab_hash(DS__VOCAB_SEED, text), (ds__str){"", 0}, text);
    if (whole >= 0) {
        ds__encoding_push(encoding, view, whole, word.start, word.end);
        return DS_OK;
    }
    if (!ds__grow(encoding->heap, (void **)&encoding->states, &encoding->state_capacity, text.size + 1,
                  sizeof *encoding->states))
        return ds__alloc_failed(encoding->heap, (text.size + 1) * sizeof *encoding->states, "a long word", error);
    for (size_t at = 0, end = 0; at < text.size; at = end) {
        int32_t id = longest(wordpiece, vocab, encoding->states, text, at, &end);
        if (id < 0) {
            encoding->token_count = first;
            ds__encoding_push(encoding, view, wordpiece->unknown, word.start, word.end);
            break;
        }
        ds__encoding_push(encoding, view, id, word.start + at, word.start + end);
    }
    return DS_OK;
}
