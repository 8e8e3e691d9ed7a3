/* ModelInferRequest to the core's request, ModelInferResponse out of its results. */
#ifndef DS_SERVE_GRPC_INFER_MESSAGE_H
#define DS_SERVE_GRPC_INFER_MESSAGE_H

#include "base/buffer.h"
#include "serve/service.h"

/* Fills in model, version, id, inputs, outputs and what parameters say. Raw contents and BYTES elements stay where they
 * are: `message` must live until the request is done. Lists come from the request's arena. */
ds__serve_code ds__infer_decode(ds__str message, ds__serve_request *request, ds_error *error) DS_MUST_CHECK;
/* Only the model's name and the id, as far as the message can be read: to say what an error belongs to. */
void ds__infer_peek(ds__str message, ds__str *model, ds__str *id);
/* Appends a ModelInferResponse. */
void ds__infer_encode(const ds__serve_request *request, ds__buffer *out);
/* Bytes of it, near enough to make room once, and to tell what no client could read. */
size_t ds__infer_encoded_size(const ds__serve_request *request);

#endif
