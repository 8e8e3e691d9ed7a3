/* The public functions of deepseek/tokenizer.h. */
#include "deepseek/tokenizer.h"

#include "base/context_internal.h"
#include "tokenizer/tokenizer_internal.h"

ds_status ds_tokenizer_open(ds_context *context, const char *folder, ds_tokenizer **out, ds_error *error) {
    return ds__tokenizer_open(&context->heap, folder, out, error);
}

void ds_tokenizer_close(ds_tokenizer *tokenizer) { ds__tokenizer_close(tokenizer); }

int32_t ds_tokenizer_size(const ds_tokenizer *tokenizer) {
    return tokenizer->vocab.size > tokenizer->extra.size ? tokenizer->vocab.size : tokenizer->extra.size;
}

int32_t ds_tokenizer_id(const ds_tokenizer *tokenizer, ds_text token) {
    return ds__tokenizer_id(tokenizer, (ds__str){token.data, token.size});
}

ds_text ds_tokenizer_token(const ds_tokenizer *tokenizer, int32_t id) {
    ds__str text = ds__tokenizer_token(tokenizer, id);
    return (ds_text){text.data, text.size};
}

ds_status ds_encoding_create(ds_context *context, ds_encoding **out, ds_error *error) {
    return ds__encoding_create(&context->heap, out, error);
}

void ds_encoding_destroy(ds_encoding *encoding) { ds__encoding_destroy(encoding); }

ds_status ds_tokenizer_encode(const ds_tokenizer *tokenizer, ds_text text, const ds_text *pair, int32_t max_tokens,
                              ds_encoding *encoding, ds_error *error) {
    return ds__tokenizer_encode(tokenizer, text, pair, max_tokens, encoding, error);
}

size_t ds_encoding_size(const ds_encoding *encoding) { return encoding->size; }
const int32_t *ds_encoding_ids(const ds_encoding *encoding) { return encoding->ids; }
const int32_t *ds_encoding_type_ids(const ds_encoding *encoding) { return encoding->type_ids; }
const int32_t *ds_encoding_offsets(const ds_encoding *encoding) { return encoding->offsets; }
const int32_t *ds_encoding_words(const ds_encoding *encoding) { return encoding->words; }
size_t ds_encoding_dropped(const ds_encoding *encoding) { return encoding->dropped; }
