/* The protocol's methods over real sockets, with the model "identity": messages that are right in every form, and a
 * table of those that are not, each answered by its status and sentence. */
#include <unistd.h>

#include "base/file.h"
#include "deepseek/context.h"
#include "h2_client.h"
#include "proto_text.h"
#include "serve/grpc/grpc.h"
#include "serve/grpc/grpc_service.h"
#include "serve/grpc/wire.h"
#include "serve/serve_options.h"

#define METHOD(name) "/inference.GRPCInferenceService/" name
#define INFER METHOD("ModelInfer")

static ds_context *context;
static ds__service *service;
static struct event_base *base;
static ds__grpc_binding binding;
static ds__grpc_server *server;
static h2_client client;
static uint32_t stream;

static int begin_with(const char *api_keys) {
    ds_error error = {DS_OK, ""};
    ds__service_options options = {.test_models = true, .max_queue = 1000, .api_keys = api_keys};
    assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
    if (ds__service_create(context, &options, &service, &error) != DS_OK) fail_msg("%s", error.message);
    while (!ds__serve_is_ready(service)) usleep(1000);
    base = event_base_new();
    binding.service = service;
    assert_int_equal(ds__outbox_create(service, base, &binding.outbox, &error), DS_OK);
    ds__grpc_options grpc = {
        .bind = "127.0.0.1", .user = &binding, .max_message_bytes = 1 << 20, .max_connections = 10};
    grpc.methods = ds__grpc_methods(&grpc.method_count);
    assert_int_equal(ds__grpc_server_create(ds__service_heap(service), base, &grpc, &server, &error), DS_OK);
    h2_open(&client, base, ds__grpc_server_port(server));
    h2_hello(&client);
    H2_UNTIL(&client, client.settings == 1);
    stream = (uint32_t)-1;
    return 0;
}

static int begin(void **state) { return begin_with(NULL); }

static int end(void **state) {
    h2_close(&client);
    ds__grpc_server_stop(server);
    while (ds__grpc_server_busy(server)) event_base_loop(base, EVLOOP_NONBLOCK);
    ds__grpc_server_destroy(server);
    ds__outbox_destroy(binding.outbox);
    ds__service_destroy(service);
    event_base_free(base);
    ds_context_destroy(context);
    return 0;
}

/* A unary call with a message out of a text; its answer. */
static const h2_answer *call(const char *path, const char *text) {
    static unsigned char message[16000];
    if (stream + 2 >= 2 * (H2_STREAMS - 1) && stream != (uint32_t)-1) {
        h2_close(&client);
        h2_open(&client, base, ds__grpc_server_port(server));
        h2_hello(&client);
        stream = (uint32_t)-1;
    }
    stream += 2;
    size_t size = proto_pack(message, &text);
    h2_call(&client, stream, path, message, size);
    return h2_answer_of(&client, stream);
}

static void answers(const char *path, const char *request, const char *expected) {
    static unsigned char message[16000];
    const char *text = expected;
    const h2_answer *answer = call(path, request);
    size_t size = proto_pack(message, &text);
    if (answer->grpc_status != 0) fail_msg("%s %s: %d %s", path, request, answer->grpc_status, answer->message);
    if (answer->size != size + 5 || memcmp(answer->body + 5, message, size) != 0) {
        for (size_t i = 5; i < answer->size; i++) print_error("%02x", answer->body[i]);
        fail_msg("\n%s %s: is not %s", path, request, expected);
    }
}

static void refuses(const char *path, const char *request, int status, const char *part) {
    const h2_answer *answer = call(path, request);
    if (answer->grpc_status != status || !strstr(answer->message, part))
        fail_msg("%s %s: status %d (%s), expected %d (...%s...)", path, request, answer->grpc_status, answer->message,
                 status, part);
}

static void good_inference(void **state) {
    static const char *const cases[][2] = {
        /* name, version and id come back; the answer is raw, always */
        {"1:identity 3:r1 5{1:x 2:INT32 3[1]} 7#01000000", "1:identity 2:1 3:r1 5{1:x 2:INT32 3[1]} 6#01000000"},
        {"1:identity 2:1 5{1:x 2:INT32 3[1] 5{2[-2]}}", "1:identity 2:1 5{1:x 2:INT32 3[1]} 6#feffffff"},
        {"1:identity 5{1:INPUT0 2:INT8 3[2] 5{2[-128,127]}}", "1:identity 2:1 5{1:OUTPUT0 2:INT8 3[2]} 6#807f"},
        {"1:identity 5{1:x 2:INT16 3[2] 5{2[-32768,5]}}", "1:identity 2:1 5{1:x 2:INT16 3[2]} 6#00800500"},
        {"1:identity 5{1:x 2:INT64 3[1,2] 5{3[-1,2]}}",
         "1:identity 2:1 5{1:x 2:INT64 3[1,2]} 6#ffffffffffffffff0200000000000000"},
        {"1:identity 5{1:x 2:UINT8 3[2] 5{4[0,255]}}", "1:identity 2:1 5{1:x 2:UINT8 3[2]} 6#00ff"},
        {"1:identity 5{1:x 2:UINT16 3[1] 5{4[65535]}}", "1:identity 2:1 5{1:x 2:UINT16 3[1]} 6#ffff"},
        {"1:identity 5{1:x 2:UINT32 3[1] 5{4[4294967295]}}", "1:identity 2:1 5{1:x 2:UINT32 3[1]} 6#ffffffff"},
        {"1:identity 5{1:x 2:UINT64 3[1] 5{5[-1]}}", "1:identity 2:1 5{1:x 2:UINT64 3[1]} 6#ffffffffffffffff"},
        {"1:identity 5{1:x 2:BOOL 3[3] 5{1[0,1,1]}}", "1:identity 2:1 5{1:x 2:BOOL 3[3]} 6#000101"},
        {"1:identity 5{1:x 2:FP32 3[2] 5{6#0000803f000000c0}}", "1:identity 2:1 5{1:x 2:FP32 3[2]} 6#0000803f000000c0"},
        {"1:identity 5{1:x 2:FP64 3[1] 5{7#000000000000f03f}}", "1:identity 2:1 5{1:x 2:FP64 3[1]} 6#000000000000f03f"},
        {"1:identity 5{1:x 2:BYTES 3[2] 5{8:ab 8:}}", "1:identity 2:1 5{1:x 2:BYTES 3[2]} 6#02000000616200000000"},
        {"1:identity 5{1:x 2:BYTES 3[1]} 7#0200000000ff", "1:identity 2:1 5{1:x 2:BYTES 3[1]} 6#0200000000ff"},
        {"1:identity 5{1:x 2:FP16 3[1]} 7#003c", "1:identity 2:1 5{1:x 2:FP16 3[1]} 6#003c"},
        {"1:identity 5{1:x 2:BF16 3[1]} 7#803f", "1:identity 2:1 5{1:x 2:BF16 3[1]} 6#803f"},
        /* elements and extents that are not packed, and runs of both kinds */
        {"1:identity 5{1:x 2:INT32 3=2 3=1 5{2=1 2=2}}", "1:identity 2:1 5{1:x 2:INT32 3[2,1]} 6#0100000002000000"},
        {"1:identity 5{1:x 2:FP32 3[3] 5{!350000803f 6#0000004000000000}}",
         "1:identity 2:1 5{1:x 2:FP32 3[3]} 6#0000803f0000004000000000"},
        {"1:identity 5{1:x 2:FP32 3[2] 5{6#0000803f 6#00000040}}",
         "1:identity 2:1 5{1:x 2:FP32 3[2]} 6#0000803f00000040"},
        /* nothing in it, a scalar, the order of fields the other way round, and fields that nobody knows */
        {"1:identity 5{1:x 2:INT32 3[0,5]} 7#", "1:identity 2:1 5{1:x 2:INT32 3[0,5]} 6#"},
        {"1:identity 5{1:x 2:INT32 3[0]}", "1:identity 2:1 5{1:x 2:INT32 3[0]} 6#"},
        {"1:identity 5{1:x 2:UINT8} 7#09", "1:identity 2:1 5{1:x 2:UINT8} 6#09"},
        {"7#09 5{3[1] 2:UINT8 1:x} 1:identity", "1:identity 2:1 5{1:x 2:UINT8 3[1]} 6#09"},
        {"1:identity 99:zz 98=5 !f90601020304050607085{1:x 2:UINT8 9:u 3[1]} 7#09",
         "1:identity 2:1 5{1:x 2:UINT8 3[1]} 6#09"},
        /* two inputs, one output asked for, parameters known and unknown */
        {"1:identity 5{1:x 2:UINT8 3[1]} 5{1:y 2:UINT8 3[1]} 6{1:y} 7#01 7#02",
         "1:identity 2:1 5{1:y 2:UINT8 3[1]} 6#02"},
        {"1:identity 4{1:truncate 2{1=1}} 4{1:priority 2{2=1}} 4{1:nope 2{3:text}} 4{1:timeout 2{2=5000000}} "
         "5{1:x 2:UINT8 3[1]} 7#01",
         "1:identity 2:1 5{1:x 2:UINT8 3[1]} 6#01"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) answers(INFER, cases[i][0], cases[i][1]);
}

typedef struct bad_case {
    const char *path, *request;
    int status;
    const char *part;
} bad_case;

#define X "5{1:x 2:UINT8 3[1]} 7#01"

static const bad_case bad_cases[] = {
    {INFER, "", 3, "model_name is empty"},
    {INFER, X, 3, "model_name is empty"},
    {INFER, "1: " X, 3, "model_name is empty"},
    {INFER, "!ff", 3, "a field's number does not end"},
    {INFER, "!ffffffffffffffffffff01", 3, "a field's number does not end"},
    {INFER, "!00", 3, "field number 0"},
    {INFER, "!80808080807800", 3, "outside 1..536870911"},
    {INFER, "!0b", 3, "wire type 3"},
    {INFER, "!0c", 3, "wire type 4"},
    {INFER, "!0e", 3, "wire type 6"},
    {INFER, "!0f", 3, "wire type 7"},
    {INFER, "!0a", 3, "a length that does not end"},
    {INFER, "!0a05", 3, "says that it has 5 bytes, but 0 are left"},
    {INFER, "!0affffffffffffffffff01", 3, "says that it has 18446744073709551615 bytes"},
    {INFER, "!0affffffffffffffffffff01", 3, "a length that does not end"},
    {INFER, "!0affffffff0f", 3, "says that it has 4294967295 bytes"},
    {INFER, "!08", 3, "a number that does not end"},
    {INFER, "1=5", 3, "model_name (field 1) has wire type 0, expected 2"},
    {INFER, "!0d00000000", 3, "model_name (field 1) has wire type 5"},
    {INFER, "!0d0000", 3, "a number of 4 bytes, but 2 are left"},
    {INFER, "!0900", 3, "a number of 8 bytes, but 1 are left"},
    {INFER, "1#ff " X, 3, "model_name (field 1, 1 bytes) is not UTF-8"},
    {INFER, "1#c080 " X, 3, "is not UTF-8"},
    {INFER, "1#eda080 " X, 3, "is not UTF-8"},
    {INFER, "1:identity 2#ff " X, 3, "model_version (field 2, 1 bytes) is not UTF-8"},
    {INFER, "1:identity 3#80 " X, 3, "id (field 3, 1 bytes) is not UTF-8"},
    {INFER, "1:nope " X, 5, "nope"},
    {INFER, "1:identit " X, 5, "identit"},
    {INFER, "1:identity 2:2 " X, 5, "2"},
    {INFER, "1:identity 2:stable " X, 5, "stable"},
    {INFER, "1:identity 2:-1 " X, 5, "-1"},
    {INFER, "1:identity 2:1.0 " X, 5, "1.0"},
    {INFER, "1:identity 2:99999999999999999999 " X, 5, "99999999999999999999"},
    {INFER, "1:identity 5:zzz", 3, "InferInputTensor"},
    {INFER, "1:identity 5=1", 3, "InferInputTensor (field 5) has wire type 0"},
    {INFER, "1:identity 5{1:x 3[1]} 7#01", 3, "has the datatype \"\""},
    {INFER, "1:identity 5{1:x 2:FP33 3[1]} 7#01", 3, "has the datatype \"FP33\""},
    {INFER, "1:identity 5{1:x 2:uint8 3[1]} 7#01", 3, "has the datatype \"uint8\""},
    {INFER, "1:identity 5{1:x 2:STRING 3[1]} 7#01", 3, "has the datatype \"STRING\""},
    {INFER, "1:identity 5{1#fe 2:UINT8 3[1]} 7#01", 3, "name (field 1, 1 bytes) is not UTF-8"},
    {INFER, "1:identity 5{1:x 2#ff 3[1]} 7#01", 3, "datatype (field 2, 1 bytes) is not UTF-8"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[-1]} 7#01", 3, "negative extent"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1,-1]} 7#01", 3, "negative extent"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[-9223372036854775808]} 7#01", 3, "negative extent"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[4611686018427387904,4]} 7#01", 3, "more than 2^40"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[9223372036854775807]} 7#01", 3, "more than 2^40"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1099511627777]} 7#01", 3, "more than 2^40"},
    {INFER, "1:identity 5{1:x 2:FP64 3[1099511627776]} 7#01", 3, "1 bytes of data"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[0,-1]}", 3, "negative extent"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1,1,1,1,1,1,1,1,1]} 7#01", 3, "more than 8 extents"},
    {INFER, "1:identity 5{1:x 2:UINT8 3=1 3=1 3=1 3=1 3=1 3=1 3=1 3=1 3=1} 7#01", 3, "more than 8 extents"},
    {INFER, "1:identity 5{1:x 2:UINT8 3#ff} 7#01", 3, "shape has a number that does not end"},
    {INFER, "1:identity 5{1:x 2:UINT8 !1d01000000} 7#01", 3, "shape (field 3) has wire type 5"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[2]} 7#01", 3, "has 1 bytes of data, but its shape of 2 elements"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1]} 7#0102", 3, "has 2 bytes of data"},
    {INFER, "1:identity 5{1:x 2:FP32 3[1]} 7#010203", 3, "has 3 bytes of data"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1]} 7#", 3, "has 0 bytes of data"},
    {INFER, "1:identity 7#01", 3, "0 inputs but 1 raw_input_contents"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1]} 7#01 7#02", 3, "1 inputs but 2 raw_input_contents"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1]} 5{1:y 2:UINT8 3[1]} 7#01", 3, "2 inputs but 1 raw_input_contents"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1] 5{4=1}} 7#01", 3, "give one of the two"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1] 5{4=1}} 5{1:y 2:UINT8 3[1]} 7#01 7#02", 3, "give one of the two"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1]} 7=1", 3, "raw_input_contents (field 7) has wire type 0"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1]}", 3, "has 0 elements in uint_contents, but its shape has 1"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1] 5{4[1,2]}}", 3, "has 2 elements in uint_contents, but its shape has 1"},
    {INFER, "1:identity 5{1:x 2:BYTES 3[2] 5{8:a}}", 3, "has 1 elements in bytes_contents, but its shape has 2"},
    {INFER, "1:identity 5{1:x 2:FP32 3[1] 5{2=1}}", 3, "elements stand in fp32_contents, not in int_contents"},
    {INFER, "1:identity 5{1:x 2:INT64 3[1] 5{2=1}}", 3, "elements stand in int64_contents, not in int_contents"},
    {INFER, "1:identity 5{1:x 2:INT32 3[1] 5{3=1}}", 3, "elements stand in int_contents, not in int64_contents"},
    {INFER, "1:identity 5{1:x 2:BYTES 3[1] 5{6#00000000}}", 3, "elements stand in bytes_contents"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1] 5{4[1] 2[1]}}", 3, "elements stand in uint_contents"},
    {INFER, "1:identity 5{1:x 2:INT8 3[1] 5{2[128]}}", 3, "is 128, which INT8 cannot hold"},
    {INFER, "1:identity 5{1:x 2:INT8 3[1] 5{2[-129]}}", 3, "is -129, which INT8 cannot hold"},
    {INFER, "1:identity 5{1:x 2:INT16 3[1] 5{2[32768]}}", 3, "which INT16 cannot hold"},
    {INFER, "1:identity 5{1:x 2:INT32 3[1] 5{2[2147483648]}}", 3, "which INT32 cannot hold"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1] 5{4[256]}}", 3, "is 256, which UINT8 cannot hold"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1] 5{4[-1]}}", 3, "which UINT8 cannot hold"},
    {INFER, "1:identity 5{1:x 2:UINT16 3[1] 5{4[65536]}}", 3, "which UINT16 cannot hold"},
    {INFER, "1:identity 5{1:x 2:UINT32 3[1] 5{4[4294967296]}}", 3, "which UINT32 cannot hold"},
    {INFER, "1:identity 5{1:x 2:FP16 3[1] 5{6#00000000}}", 3, "travels in raw_input_contents only"},
    {INFER, "1:identity 5{1:x 2:BF16 3[1]}", 3, "travels in raw_input_contents only"},
    {INFER, "1:identity 5{1:x 2:FP32 3[1] 5{6#0000000000}}", 3, "has 5 bytes, which is no multiple of 4"},
    {INFER, "1:identity 5{1:x 2:FP64 3[1] 5{7#00000000}}", 3, "has 4 bytes, which is no multiple of 8"},
    {INFER, "1:identity 5{1:x 2:FP32 3[1] 5{6=1}}", 3, "fp32_contents has wire type 0"},
    {INFER, "1:identity 5{1:x 2:FP64 3[1] 5{!3d00000000}}", 3, "fp64_contents has wire type 5"},
    {INFER, "1:identity 5{1:x 2:BYTES 3[1] 5{8=1}}", 3, "bytes_contents has wire type 0"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1] 5{4#ff}}", 3, "uint_contents has a number that does not end"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1] 5{!ff}}", 3, "InferTensorContents: a field's number does not end"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1] 5=1}", 3, "contents (field 5) has wire type 0"},
    {INFER, "1:identity 5{1:x 2:BYTES 3[1]} 7#0000", 3, "too few for the 4-byte lengths"},
    {INFER, "1:identity 5{1:x 2:BYTES 3[1]} 7#0200000061", 3, "has a length of 2 bytes, but only 1 are left"},
    {INFER, "1:identity 5{1:x 2:BYTES 3[1]} 7#ffffffff", 3, "has a length of 4294967295 bytes"},
    {INFER, "1:identity 5{1:x 2:BYTES 3[1]} 7#0100000061ff", 3, "1 bytes behind the last"},
    {INFER, "1:identity 5{1:x 2:BYTES 3[2]} 7#0400000061626364", 3, "ends after 1 of its 2 BYTES elements"},
    {INFER, "1:identity 5{1:x 2:BYTES 3[1073741824]} 7#00000000", 3, "too few"},
    {INFER, "1:identity 4=1 " X, 3, "parameters (field 4) has wire type 0"},
    {INFER, "1:identity 4{1#ff} " X, 3, "key (field 1, 1 bytes) is not UTF-8"},
    {INFER, "1:identity 4{1:a 2=1} " X, 3, "InferParameter (field 2) has wire type 0"},
    {INFER, "1:identity 4{1:a 2{!0a}} " X, 3, "InferParameter: field 1 has a length"},
    {INFER, "1:identity 4{1:timeout 2{3:soon}} " X, 3, "parameter \"timeout\" is no integer"},
    {INFER, "1:identity 4{1:priority 2{3:high}} " X, 3, "parameter \"priority\" is no integer"},
    {INFER, "1:identity 5{1:x 2:UINT8 3[1] 4{1:shared_memory_region 2{3:r}}} 7#01", 3, "\"shared_memory_region\""},
    {INFER, "1:identity 6{1:x 2{1:classification 2{2=3}}} " X, 3, "\"classification\""},
    {INFER, "1:identity 6{1:nope} " X, 3, "1 outputs are asked for"},
    {INFER, "1:identity 6=1 " X, 3, "InferRequestedOutputTensor (field 6) has wire type 0"},
    {METHOD("ServerLive"), "!ff", 3, "ServerLiveRequest: a field's number does not end"},
    {METHOD("ServerReady"), "!0f", 3, "ServerReadyRequest: field 1 has wire type 7"},
    {METHOD("ServerMetadata"), "!0a05", 3, "ServerMetadataRequest: field 1 says that it has 5 bytes"},
    {METHOD("ModelReady"), "1=1", 3, "name (field 1) has wire type 0"},
    {METHOD("ModelReady"), "1:x 2#ff", 3, "version (field 2, 1 bytes) is not UTF-8"},
    {METHOD("ModelMetadata"), "!ff", 3, "ModelMetadataRequest"},
    {METHOD("ModelMetadata"), "1:nope", 5, "nope"},
    {METHOD("ModelMetadata"), "", 5, ""},
    {METHOD("ModelMetadata"), "1:identity 2:7", 5, "7"},
    {METHOD("ModelConfig"), "1:nope", 5, "nope"},
    {METHOD("ModelConfig"), "2=1", 3, "version (field 2) has wire type 0"},
    {METHOD("ModelStatistics"), "1:nope", 5, "nope"},
    {METHOD("ModelStatistics"), "!0d", 3, "ModelStatisticsRequest"},
    {METHOD("RepositoryIndex"), "2:x", 3, "ready (field 2) has wire type 2"},
    {METHOD("RepositoryModelLoad"), "", 3, "model_name is empty"},
    {METHOD("RepositoryModelLoad"), "1:repo 2:identity", 3, "repository_name is \"repo\""},
    {METHOD("RepositoryModelLoad"), "2:nope", 5, "nope"},
    {METHOD("RepositoryModelLoad"), "1:nope", 5, "nope"},
    {METHOD("RepositoryModelLoad"), "2:identity 3{1:config 2{3:{}}}", 3, "leave it out"},
    {METHOD("RepositoryModelLoad"), "2:identity 3{1:file:1/x 2{4:abc}}", 3, "leave it out"},
    {METHOD("RepositoryModelLoad"), "2:identity 3{1:version 2{3:two}}", 3, "no positive int64_param"},
    {METHOD("RepositoryModelLoad"), "2:identity 3{1:version 2{2=0}}", 3, "no positive int64_param"},
    {METHOD("RepositoryModelUnload"), "", 3, "model_name is empty"},
    {METHOD("RepositoryModelUnload"), "2:nope", 5, "nope"},
    {"/grpc.health.v1.Health/Check", "1:nope", 5, "no service or model \"nope\""},
    {"/grpc.health.v1.Health/Check", "1#ff", 3, "is not UTF-8"},
    {METHOD("SystemSharedMemoryStatus"), "", 12, "no method"},
};

static void bad_requests(void **state) {
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        refuses(bad_cases[i].path, bad_cases[i].request, bad_cases[i].status, bad_cases[i].part);
        answers(INFER, "1:identity " X, "1:identity 2:1 5{1:x 2:UINT8 3[1]} 6#01");
    }
}

/* More inputs or outputs than anybody has: no list is made for them. */
static void too_many_parts(void **state) {
    static char request[16000];
    for (int field = 5; field <= 6; field++) {
        char *at = request + sprintf(request, "1:identity ");
        for (int i = 0; i < 65; i++) at += sprintf(at, "%d{1:x 2:UINT8 3[1]} ", field);
        refuses(INFER, request, 3, "more than 64 inputs or outputs");
    }
}

static void a_stream_goes_on_after_an_error(void **state) {
    static unsigned char message[4][256];
    static const char *const texts[] = {"1:identity 3:a " X, "1:nope 3:b " X, "!ff", "1:identity 3:d " X};
    stream += 2;
    h2_request(&client, stream, 0, METHOD("ModelStreamInfer"), NULL);
    for (int i = 0; i < 4; i++) {
        const char *text = texts[i];
        size_t size = proto_pack(message[i], &text);
        h2_message(&client, stream, i == 3 ? H2_END_STREAM : 0, message[i], size);
    }
    const h2_answer *answer = h2_answer_of(&client, stream);
    H2_UNTIL(&client, answer->ended);
    assert_int_equal(answer->grpc_status, 0);
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        ds_error error = {DS_OK, ""};
        size_t size = h2_u32(answer->body + at + 1);
        ds__wire wire = ds__wire_of((ds__str){(char *)answer->body + at + 5, size}, "answer", &error);
        bool has_error = false;
        ds__str id = {"", 0};
        while (ds__wire_next(&wire)) {
            if (wire.field == 1) has_error = true;
            ds__wire inner = ds__wire_of(wire.field == 2 ? wire.bytes : (ds__str){"", 0}, "response", &error);
            while (ds__wire_next(&inner))
                if (inner.field == 3) id = inner.bytes;
        }
        assert_int_equal(error.status, DS_OK);
        assert_int_equal(has_error, i == 1 || i == 2);
        assert_true(ds__str_is(id, i == 2 ? "" : (const char *[]){"a", "b", "", "d"}[i]));
        at += 5 + size;
    }
    assert_int_equal(at, answer->size);
}

static void the_other_methods(void **state) {
    answers(METHOD("ServerLive"), "", "1=1");
    answers(METHOD("ServerReady"), "", "1=1");
    answers(METHOD("ServerReady"), "77:unknown", "1=1");
    answers(METHOD("ModelReady"), "1:identity", "1=1");
    answers(METHOD("ModelReady"), "1:identity 2:1", "1=1");
    answers(METHOD("ModelReady"), "1:identity 2:2", "");
    answers(METHOD("ModelReady"), "1:nope", "");
    answers("/grpc.health.v1.Health/Check", "", "1=1");
    answers("/grpc.health.v1.Health/Check", "1:identity", "1=1");
    answers("/grpc.health.v1.Health/Check", "1:inference.GRPCInferenceService", "1=1");
    answers(METHOD("RepositoryIndex"), "", "1{1:identity 2:1 3:READY}");
    answers(METHOD("RepositoryIndex"), "2=1", "1{1:identity 2:1 3:READY}");
}

/* Triton's dialect has an empty answer, KServe's the name and a yes. */
static void load_and_unload_in_two_dialects(void **state) {
    answers(METHOD("RepositoryModelUnload"), "2:identity", "");
    answers(METHOD("ModelReady"), "1:identity", "");
    assert_int_not_equal(call(INFER, "1:identity " X)->grpc_status, 0);
    answers(METHOD("RepositoryModelLoad"), "1:identity", "1:identity 2=1");
    answers(INFER, "1:identity " X, "1:identity 2:1 5{1:x 2:UINT8 3[1]} 6#01");
    answers(METHOD("RepositoryModelUnload"), "1:identity", "1:identity 2=1");
    answers(METHOD("RepositoryModelLoad"), "2:identity 3{1:version 2{2=1}}", "");
    answers(METHOD("ModelReady"), "1:identity", "1=1");
}

/* As Retry-After over REST: only where coming again helps. */
static void a_refusal_says_when_to_come_again(void **state) {
    answers(METHOD("RepositoryModelUnload"), "2:identity", "");
    assert_string_equal(call(INFER, "1:identity 5{1:x 2:INT32 3[1]} 7#01000000")->pushback, "1000");
    assert_string_equal(call(INFER, "1:none 5{1:x 2:INT32 3[1]} 7#01000000")->pushback, "");
    answers(METHOD("RepositoryModelLoad"), "2:identity", "");
    assert_string_equal(call(INFER, "1:identity 5{1:x 2:INT32 3[1]} 7#01000000")->pushback, "");
}

static void a_health_watch_tells_changes(void **state) {
    stream += 2;
    uint32_t watch = stream;
    const h2_answer *answer = h2_answer_of(&client, watch);
    h2_request(&client, watch, 0, "/grpc.health.v1.Health/Watch", NULL);
    h2_message(&client, watch, H2_END_STREAM, "\x0a\x08identity", 10);
    H2_UNTIL(&client, answer->size == 7);
    assert_memory_equal(answer->body, "\0\0\0\0\x02\x08\x01", 7);
    answers(METHOD("RepositoryModelUnload"), "2:identity", "");
    H2_UNTIL(&client, answer->size == 14);
    assert_int_not_equal(answer->body[13], 1);
    answers(METHOD("RepositoryModelLoad"), "2:identity", "");
    H2_UNTIL(&client, answer->size == 21);
    assert_memory_equal(answer->body + 14, "\0\0\0\0\x02\x08\x01", 7);
}

/* Expired work is not run, and says so. */
static void deadlines_reach_the_core(void **state) {
    stream += 2;
    static unsigned char message[256];
    const char *text = "1:identity " X;
    size_t size = proto_pack(message, &text);
    h2_request(&client, stream, 0, INFER, (const char *[]){"grpc-timeout", "0n", NULL});
    h2_message(&client, stream, H2_END_STREAM, message, size);
    H2_UNTIL(&client, h2_answer_of(&client, stream)->ended);
    assert_int_equal(h2_answer_of(&client, stream)->grpc_status, 4);
}

/* Connections that go away with everything under way: nothing is lost, nothing answered twice. */
static void clients_that_leave(void **state) {
    static unsigned char message[256];
    const char *text = "1:identity " X;
    size_t size = proto_pack(message, &text);
    for (int round = 0; round < 50; round++) {
        h2_client other;
        h2_open(&other, base, ds__grpc_server_port(server));
        h2_hello(&other);
        for (uint32_t s = 1; s < 100; s += 2) {
            h2_request(&other, s, 0, s % 4 == 1 ? INFER : METHOD("ModelStreamInfer"), NULL);
            h2_message(&other, s, H2_END_STREAM, message, size);
            if (s % 8 == 1) h2_frame(&other, H2_RST, 0, s, "\0\0\0\x08", 4);
        }
        for (int i = 0; i < round % 5; i++) h2_turn(&other);
        h2_close(&other);
    }
    answers(INFER, "1:identity " X, "1:identity 2:1 5{1:x 2:UINT8 3[1]} 6#01");
}

static void a_server_that_drains(void **state) {
    ds__service_drain(service);
    refuses(INFER, "1:identity " X, 14, "");
    answers(METHOD("ServerReady"), "", "");
    answers("/grpc.health.v1.Health/Check", "", "1=2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(good_inference, begin, end),
        cmocka_unit_test_setup_teardown(bad_requests, begin, end),
        cmocka_unit_test_setup_teardown(too_many_parts, begin, end),
        cmocka_unit_test_setup_teardown(a_stream_goes_on_after_an_error, begin, end),
        cmocka_unit_test_setup_teardown(the_other_methods, begin, end),
        cmocka_unit_test_setup_teardown(load_and_unload_in_two_dialects, begin, end),
        cmocka_unit_test_setup_teardown(a_refusal_says_when_to_come_again, begin, end),
        cmocka_unit_test_setup_teardown(a_health_watch_tells_changes, begin, end),
        cmocka_unit_test_setup_teardown(deadlines_reach_the_core, begin, end),
        cmocka_unit_test_setup_teardown(clients_that_leave, begin, end),
        cmocka_unit_test_setup_teardown(a_server_that_drains, begin, end),
    };
    return cmocka_run_group_tests_name("grpc_requests", tests, NULL, NULL);
}
