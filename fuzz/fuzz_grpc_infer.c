/* Arbitrary bytes as a ModelInferRequest: what is taken lies inside of the message or of the request's own memory, has
 * as many elements as its shape, and comes back the same when it is written as an answer and read as raw contents
 * again. */
#include "fuzz.h"
#include "serve/grpc/infer_message.h"
#include "serve/grpc/wire.h"

static bool is_inside(const void *data, size_t size, const uint8_t *message, size_t message_size) {
    const uint8_t *at = data;
    return at >= message && size <= message_size && at <= message + message_size - size;
}

/* Reads every byte, so that a sanitizer sees what is not ours. */
static void touch(const ds__serve_tensor *tensor, const uint8_t *message, size_t size) {
    volatile uint8_t sum = 0;
    size_t bytes = tensor->elements * ds__serve_datatype_size(tensor->datatype);
    for (size_t i = 0; tensor->data && i < bytes; i++) sum = (uint8_t)(sum + ((const uint8_t *)tensor->data)[i]);
    for (size_t i = 0; tensor->texts && i < tensor->elements; i++) {
        FUZZ_CHECK(is_inside(tensor->texts[i].data, tensor->texts[i].size, message, size));
        for (size_t k = 0; k < tensor->texts[i].size; k++) sum = (uint8_t)(sum + (uint8_t)tensor->texts[i].data[k]);
    }
    FUZZ_CHECK(tensor->rank >= 0 && tensor->rank <= DS__SERVE_MAX_RANK);
    FUZZ_CHECK(tensor->elements == 0 || tensor->data || tensor->texts);
}

/* The answer that gives the inputs back: every output has its raw contents, of the size that the tensor says. */
static void write_and_read(ds__serve_request *request, ds__heap *heap) {
    ds__buffer out;
    ds_error error = {DS_OK, ""};
    ds__buffer_init(&out, heap);
    request->results = request->inputs;
    request->result_count = request->input_count;
    ds__infer_encode(request, &out);
    FUZZ_CHECK(!out.failed && out.size <= ds__infer_encoded_size(request));
    ds__wire wire = ds__wire_of(ds__buffer_str(&out), "ModelInferResponse", &error);
    size_t outputs = 0, raws = 0;
    while (ds__wire_next(&wire)) {
        outputs += wire.field == 5;
        if (wire.field != 6) continue;
        ds__arena arena;
        ds__serve_tensor again = request->results[raws++];
        ds__arena_init(&arena, heap, 0);
        FUZZ_CHECK(wire.bytes.size == ds__serve_tensor_raw_size(&again));
        FUZZ_CHECK(ds__serve_tensor_from_raw(&again, wire.bytes, &arena, &error) == DS__SERVE_OK);
        ds__arena_deinit(&arena);
    }
    FUZZ_CHECK(error.status == DS_OK && outputs == request->result_count && raws == request->result_count);
    ds__buffer_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ds__heap heap;
    ds_error error = {DS_OK, ""};
    ds__serve_request request = {.model = {"", 0}};
    ds__heap_init(&heap, NULL, 64 << 20);
    ds__arena_init(&request.arena, &heap, 0);
    ds__str message = {(const char *)data, size}, model, id;
    ds__infer_peek(message, &model, &id);
    ds__serve_code code = ds__infer_decode(message, &request, &error);
    if (code == DS__SERVE_OK) {
        FUZZ_CHECK(request.input_count <= DS__SERVE_MAX_TENSORS && request.output_count <= DS__SERVE_MAX_TENSORS);
        FUZZ_CHECK(ds__str_equal(model, request.model) && ds__str_equal(id, request.id) && request.model.size);
        for (size_t i = 0; i < request.input_count; i++) touch(&request.inputs[i], data, size);
        write_and_read(&request, &heap);
    } else {
        FUZZ_CHECK(error.message[0] &&
                   (code == DS__SERVE_INVALID || code == DS__SERVE_TOO_LARGE || code == DS__SERVE_QUEUE_FULL));
    }
    ds__arena_deinit(&request.arena);
    FUZZ_CHECK(heap.bytes == 0);
    return 0;
}
