/* InferTensorContents: elements as protobuf's own numbers, which cost a conversion; clients that care send them raw. */
#ifndef DS_SERVE_GRPC_INFER_CONTENTS_H
#define DS_SERVE_GRPC_INFER_CONTENTS_H

#include "serve/grpc/wire.h"
#include "serve/service.h"

/* The elements in `contents` become the tensor's, whose name, datatype and shape stand already. Elements of FP32 and
 * FP64 that lie together in the message stay there; others come from the arena. */
ds__serve_code ds__infer_contents(ds__serve_tensor *tensor, ds__str contents, ds__arena *arena,
                                  ds_error *error) DS_MUST_CHECK;

#endif
