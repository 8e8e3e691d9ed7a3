/* The memory of an encoding, which only grows, and what is asked of the caller's text. */
#include "tokenizer/encoding.h"

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/bpe.h"
#include "tokenizer/presplit.h"
#include "tokenizer/unicode.h"

ds_status ds_encoding_create(ds_context *context, ds_encoding **out, ds_error *error) {
    return ds__encoding_create(&context->heap, out, error);
}
