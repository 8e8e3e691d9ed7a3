/* Weight files that are wrong, each in one way: headers, offsets, shapes, types, and the index of shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/hostile_case.h"

/* clang-format off */
#define WEIGHTS(title, old, new, status, ...)                                                                          \
    {title, "bert_seq", "model.safetensors", damage_header, old, new, status, {"/model.safetensors", __VA_ARGS__}}
#define INDEX(title, old, new, status, ...)                                                                            \
    {title, "bert_sharded", "model.safetensors.index.json", damage_edit, old, new, status, {__VA_ARGS__}}
/* clang-format on */

#define TENSOR "\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[5,32],\"data_offsets\":[108340,108980]}"
#define TENSOR_IS(dtype, shape, offsets)                                                                               \
    "\"classifier.weight\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

/* clang-format off */
static const hostile_case weight_cases[] = {
    {"weights are empty", "bert_seq", "model.safetensors", damage_overwrite, 0, "", DS_BAD_FORMAT,
     {"/model.safetensors", "0", "8"}},
    {"weights are 7 bytes", "bert_seq", "model.safetensors", damage_overwrite, 0, "7 bytes", DS_BAD_FORMAT,
     {"/model.safetensors", "7", "8"}},
    {"header longer than the file", "bert_seq", "model.safetensors", damage_safetensors, "4096", "{}", DS_BAD_FORMAT,
     {"/model.safetensors", "4096", "66"}},
    {"header of 2^63 bytes", "bert_seq", "model.safetensors", damage_safetensors, "0x8000000000000000", "{}",
     DS_BAD_FORMAT, {"/model.safetensors", "9223372036854775808"}},
    {"header of 2^64 - 1 bytes", "bert_seq", "model.safetensors", damage_safetensors, "0xffffffffffffffff", "{}",
     DS_BAD_FORMAT, {"/model.safetensors", "18446744073709551615"}},
    {"header of no bytes", "bert_seq", "model.safetensors", damage_safetensors, "0", "", DS_BAD_FORMAT,
     {"/model.safetensors"}},
    {"header is not JSON", "bert_seq", "model.safetensors", damage_safetensors, "12", "hello, world", DS_BAD_FORMAT,
     {"/model.safetensors"}},
    {"header is a list", "bert_seq", "model.safetensors", damage_safetensors, "2", "[]", DS_BAD_FORMAT,
     {"/model.safetensors"}},
    {"header nests 10,000 deep", "bert_seq", "model.safetensors", damage_nest_header, "{\"a\":", 0, DS_BAD_FORMAT,
     {"/model.safetensors"}},
    {"header without tensors", "bert_seq", "model.safetensors", damage_safetensors, "2", "{}", DS_BAD_FORMAT,
     {"/model.safetensors"}},
    {"data are cut", "bert_seq", "model.safetensors", damage_cut_in_half, 0, 0, DS_BAD_FORMAT,
     {"/model.safetensors"}},
    {"last byte is missing", "bert_seq", "model.safetensors", damage_cut_last_byte, 0, 0, DS_BAD_FORMAT,
     {"/model.safetensors", "classifier.weight", "108980", "108979"}},
    {"a byte too many", "bert_seq", "model.safetensors", damage_add_zero_byte, 0, 0, DS_BAD_FORMAT,
     {"/model.safetensors", "108981"}},
    WEIGHTS("a tensor ends behind the file", TENSOR, TENSOR_IS("F32", "[5,32]", "[200000,200640]"), DS_BAD_FORMAT,
            "classifier.weight", "200640"),
    WEIGHTS("a tensor ends before it begins", TENSOR, TENSOR_IS("F32", "[5,32]", "[108980,108340]"), DS_BAD_FORMAT,
            "classifier.weight", "108980", "108340"),
    WEIGHTS("a negative offset", TENSOR, TENSOR_IS("F32", "[5,32]", "[-640,0]"), DS_BAD_FORMAT, "-640"),
    WEIGHTS("an offset of 10^30", TENSOR, TENSOR_IS("F32", "[5,32]", "[0,1000000000000000000000000000000]"),
            DS_BAD_FORMAT, "1000000000000000000000000000000"),
    WEIGHTS("overlapping tensors", TENSOR, TENSOR_IS("F32", "[5,32]", "[108320,108960]"), DS_BAD_FORMAT,
            "classifier."),
    WEIGHTS("a shape of other bytes", TENSOR, TENSOR_IS("F32", "[5,33]", "[108340,108980]"), DS_SHAPE_MISMATCH,
            "classifier.weight", "660", "640"),
    WEIGHTS("a negative dimension", TENSOR, TENSOR_IS("F32", "[-5,-32]", "[108340,108980]"), DS_BAD_FORMAT, "-5"),
    WEIGHTS("a NaN dimension", TENSOR, TENSOR_IS("F32", "[NaN,32]", "[108340,108980]"), DS_BAD_FORMAT, "NaN"),
    WEIGHTS("a dimension of text", TENSOR, TENSOR_IS("F32", "[\"5\",32]", "[108340,108980]"), DS_BAD_FORMAT, "\"5\""),
    WEIGHTS("a shape that overflows", TENSOR, TENSOR_IS("F32", "[4294967296,4294967296,16]", "[108340,108980]"),
            DS_BAD_FORMAT, "classifier.weight"),
    WEIGHTS("a shape of 20 dimensions", TENSOR, TENSOR_IS("F32", "[5,32,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
            "[108340,108980]"), DS_UNSUPPORTED, "classifier.weight", "6 dimensions"),
    WEIGHTS("no shape", TENSOR, "\"classifier.weight\":{\"dtype\":\"F32\",\"data_offsets\":[108340,108980]}",
            DS_BAD_FORMAT, "classifier.weight", "shape"),
    WEIGHTS("no offsets", TENSOR, "\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[5,32]}", DS_BAD_FORMAT,
            "classifier.weight", "data_offsets"),
    WEIGHTS("three offsets", TENSOR, TENSOR_IS("F32", "[5,32]", "[108340,108660,108980]"), DS_BAD_FORMAT,
            "data_offsets"),
    WEIGHTS("an unknown type", TENSOR, TENSOR_IS("F99", "[5,32]", "[108340,108980]"), DS_UNSUPPORTED, "F99", "F32"),
    WEIGHTS("integer weights", TENSOR, TENSOR_IS("I32", "[5,32]", "[108340,108980]"), DS_UNSUPPORTED,
            "classifier.weight", "I32", "F32"),
    WEIGHTS("64-bit weights", TENSOR, TENSOR_IS("F64", "[5,16]", "[108340,108980]"), DS_UNSUPPORTED,
            "classifier.weight", "F64", "F32"),
    WEIGHTS("a transposed tensor", TENSOR, TENSOR_IS("F32", "[32,5]", "[108340,108980]"), DS_SHAPE_MISMATCH,
            "classifier.weight", "[32, 5]", "[5, 32]"),
    WEIGHTS("a flat tensor", TENSOR, TENSOR_IS("F32", "[160]", "[108340,108980]"), DS_SHAPE_MISMATCH,
            "classifier.weight", "[160]", "[5, 32]"),
    WEIGHTS("a tensor by another name", "\"classifier.weight\"", "\"klassifier.weight\"", DS_NOT_FOUND,
            "classifier.weight"),
    WEIGHTS("a norm by another name", "embeddings.LayerNorm.weight", "embeddings.LayerNorm.delta", DS_NOT_FOUND,
            "embeddings.LayerNorm.weight"),
    WEIGHTS("a tensor twice", "\"classifier.bias\"", "\"classifier.weight\"", DS_BAD_FORMAT, "two tensors",
            "classifier.weight"),
    WEIGHTS("weights without a pooler", "bert.pooler.dense", "bert.puller.dense", DS_NOT_FOUND, "pooler.dense"),
    INDEX("the index leaves the folder", "model-00002-of-00004.safetensors", "../model-00002-of-00004.safetensors",
          DS_BAD_FORMAT, "/model.safetensors.index.json", "../model-00002"),
    INDEX("the index names an absolute path", "model-00002-of-00004.safetensors", "/etc/passwd", DS_BAD_FORMAT,
          "/model.safetensors.index.json", "/etc/passwd"),
    INDEX("the index names a missing file", "model-00002-of-00004.safetensors", "model-00009-of-00004.safetensors",
          DS_NOT_FOUND, "model-00009-of-00004.safetensors"),
    INDEX("the index names a wrong shard", "\"bert.embeddings.LayerNorm.bias\": \"model-00002",
          "\"bert.embeddings.LayerNorm.bias\": \"model-00001", DS_BAD_FORMAT, "bert.embeddings.LayerNorm.bias",
          "model-00001-of-00004"),
    INDEX("the index has no weight_map", "weight_map", "weight_maps", DS_BAD_FORMAT, "/model.safetensors.index.json",
          "weight_map"),
    INDEX("the index maps to a number", "\"model-00002-of-00004.safetensors\"", "2", DS_BAD_FORMAT,
          "/model.safetensors.index.json", "weight_map", "a text"),
    {"the index is cut", "bert_sharded", "model.safetensors.index.json", damage_cut_in_half, 0, 0, DS_BAD_FORMAT,
     {"/model.safetensors.index.json"}},
    {"the index is empty", "bert_sharded", "model.safetensors.index.json", damage_overwrite, 0,
     "{\"weight_map\": {}}", DS_BAD_FORMAT, {"/model.safetensors.index.json"}},
    {"the index is deep", "bert_sharded", "model.safetensors.index.json", damage_nest, "{\"a\":", 0, DS_BAD_FORMAT,
     {"/model.safetensors.index.json"}},
    {"a shard is missing", "bert_sharded", "model-00003-of-00004.safetensors", damage_delete, 0, 0, DS_NOT_FOUND,
     {"model-00003-of-00004.safetensors"}},
    {"a shard is a folder", "bert_sharded", "model-00003-of-00004.safetensors", damage_folder_instead, 0, 0, DS_IO,
     {"model-00003-of-00004.safetensors", "folder"}},
    {"a shard is cut", "bert_sharded", "model-00003-of-00004.safetensors", damage_cut_last_byte, 0, 0, DS_BAD_FORMAT,
     {"model-00003-of-00004.safetensors"}},
};
/* clang-format on */

#define RUN(cases)                                                                                                     \
    static void cases##_open_undamaged(void **state) {                                                                 \
        (void)state;                                                                                                   \
        hostile_run_undamaged(DS_TEST_DATA "/models", cases, sizeof cases / sizeof *cases);                            \
    }                                                                                                                  \
    static void cases##_are_refused(void **state) {                                                                    \
        (void)state;                                                                                                   \
        hostile_run(DS_TEST_DATA "/models", cases, sizeof cases / sizeof *cases);                                      \
    }
RUN(weight_cases)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_cases_open_undamaged),
        cmocka_unit_test(weight_cases_are_refused),
    };
    return cmocka_run_group_tests_name("hostile weights", tests, NULL, NULL);
}
