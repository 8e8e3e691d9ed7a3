/* Tensors of the Open Inference Protocol as JSON: a number or string an element, nested or flat. */
#ifndef DS_SERVE_ROUTES_TENSOR_JSON_H
#define DS_SERVE_ROUTES_TENSOR_JSON_H

#include "serve/routes/route_json.h"

/* An input as it stands in the request's JSON, before its data are looked at. */
typedef struct ds__json_input {
    ds__serve_tensor tensor; /* name, datatype, rank, shape */
    ds__str data;            /* JSON text of "data"; size 0: none */
    uint64_t binary_size;    /* bytes behind the JSON */
    bool has_binary, has_shape, has_datatype;
} ds__json_input;

/* Reads one member of "inputs". body: for ds__keep_text. */
void ds__json_read_input(ds__http_call *call, ds__json *json, ds__arena *arena, ds__json_input *out);
/* Fills the tensor's elements out of `data`. */
ds__serve_code ds__json_read_elements(ds__http_call *call, ds__json_input *input, ds__arena *arena,
                                      ds_error *error) DS_MUST_CHECK;
/* Writes the elements, flat. false: the datatype has no form in JSON (FP16, BF16). */
bool ds__json_put_elements(ds__json_writer *json, const ds__serve_tensor *tensor);

#endif
