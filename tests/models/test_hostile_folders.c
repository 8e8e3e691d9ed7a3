/* Model folders that are wrong, each in one way: every one is refused with one sentence that names the file, the field and
 * the values that disagree, and nothing is left behind (memory, mappings, open files).
 *
 * A case is a row: a tiny model, what is done to a copy of it, the status, and what the sentence must contain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deepseek/deepseek.h"
#include "support/scratch_folder.h"

typedef struct hostile hostile;
typedef void (*damage_fn)(const scratch_folder *folder, const hostile *row);

struct hostile {
    const char *title, *model, *file;
    damage_fn damage;
    const char *old_text, *new_text; /* as the damage function takes them */
    ds_status status;
    const char *needles[4];
};

/* ---- damage -------------------------------------------------------------------------------------------------------- */

static void edit(const scratch_folder *f, const hostile *row) { scratch_replace(f, row->file, row->old_text, row->new_text); }
static void edit_header(const scratch_folder *f, const hostile *row) {
    scratch_replace_header(f, row->file, row->old_text, row->new_text);
}
static void overwrite(const scratch_folder *f, const hostile *row) { scratch_write_text(f, row->file, row->new_text); }
static void delete_file(const scratch_folder *f, const hostile *row) { scratch_delete(f, row->file); }
static void folder_instead(const scratch_folder *f, const hostile *row) {
    scratch_delete(f, row->file);
    scratch_make_folder(f, row->file);
}
static void fifo_instead(const scratch_folder *f, const hostile *row) {
    scratch_delete(f, row->file);
    assert_int_equal(mkfifo(scratch_path(f, row->file), 0600), 0);
}
/* Keeps the first half. */
static void cut_in_half(const scratch_folder *f, const hostile *row) {
    size_t size;
    free(scratch_read(f, row->file, &size));
    scratch_resize(f, row->file, size / 2);
}
static void cut_last_byte(const scratch_folder *f, const hostile *row) {
    size_t size;
    free(scratch_read(f, row->file, &size));
    scratch_resize(f, row->file, size - 1);
}
static void add_a_byte(const scratch_folder *f, const hostile *row) {
    size_t size;
    free(scratch_read(f, row->file, &size));
    scratch_resize(f, row->file, size + 1);
}
static void grow_to_17_mib(const scratch_folder *f, const hostile *row) { scratch_resize(f, row->file, 17 << 20); }
static void unreadable(const scratch_folder *f, const hostile *row) {
    assert_int_equal(chmod(scratch_path(f, row->file), 0), 0);
}
static void empty_folder(const scratch_folder *f, const hostile *row) {
    (void)row;
    DIR *folder = opendir(f->path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.') scratch_delete(f, entry->d_name);
    closedir(folder);
}
/* The named file becomes a text that opens `[` (or old_text) 10,000 times. */
static void nested(const scratch_folder *f, const hostile *row) {
    enum { DEPTH = 10000 };
    size_t unit = strlen(row->old_text);
    char *text = malloc(DEPTH * unit + 1);
    assert_non_null(text);
    for (int i = 0; i < DEPTH; i++) memcpy(text + (size_t)i * unit, row->old_text, unit);
    text[DEPTH * unit] = '\0';
    scratch_write_text(f, row->file, text);
    free(text);
}
static void nested_header(const scratch_folder *f, const hostile *row) {
    char text[30001];
    for (int i = 0; i < 10000; i++) memcpy(text + 3 * i, "[{:", 3);
    text[30000] = '\0';
    text[0] = '{';
    scratch_write_safetensors(f, row->file, 30000, text, 16);
}
/* old_text: the header's length, new_text: the header; 64 bytes of data. */
static void safetensors(const scratch_folder *f, const hostile *row) {
    scratch_write_safetensors(f, row->file, strtoull(row->old_text, NULL, 0), row->new_text, 64);
}
/* "old_text" moves to "new_text"; then model.safetensors, which must not exist, stays away. */
static void rename_file(const scratch_folder *f, const hostile *row) {
    assert_int_equal(rename(scratch_path(f, row->old_text), scratch_path(f, row->new_text)), 0);
}
/* WordPiece's ids must fit the table: one more token than vocab_size. */
static void one_token_too_many(const scratch_folder *f, const hostile *row) {
    size_t size;
    char *text = scratch_read(f, row->file, &size);
    char *more = malloc(size + 16);
    assert_non_null(more);
    memcpy(more, text, size);
    memcpy(more + size, "zzz\n", 4);
    scratch_write(f, row->file, more, size + 4);
    free(text);
    free(more);
}

/* ---- the cases ----------------------------------------------------------------------------------------------------- */

#define CONFIG(title, old, new, status, ...)                                                                           \
    {title, "bert_seq", "config.json", edit, old, new, status, {"/config.json", __VA_ARGS__}}
#define WEIGHTS(title, old, new, status, ...)                                                                          \
    {title, "bert_seq", "model.safetensors", edit_header, old, new, status, {"/model.safetensors", __VA_ARGS__}}
#define MODULES(title, old, new, status, ...)                                                                          \
    {title, "st_mean", "modules.json", edit, old, new, status, {"/modules.json", __VA_ARGS__}}
#define POOLING(title, old, new, status, ...)                                                                          \
    {title, "st_mean", "1_Pooling/config.json", edit, old, new, status, {"/1_Pooling/config.json", __VA_ARGS__}}
#define INDEX(title, old, new, status, ...)                                                                            \
    {title, "bert_sharded", "model.safetensors.index.json", edit, old, new, status, {__VA_ARGS__}}

static const hostile file_cases[] = {
    {"empty folder", "bert_seq", "", empty_folder, 0, 0, DS_NOT_FOUND, {"config.json"}},
    {"no config.json", "bert_seq", "config.json", delete_file, 0, 0, DS_NOT_FOUND, {"has no config.json"}},
    {"config.json is a folder", "bert_seq", "config.json", folder_instead, 0, 0, DS_IO, {"/config.json", "folder"}},
    {"config.json is a FIFO", "bert_seq", "config.json", fifo_instead, 0, 0, DS_IO, {"/config.json", "regular file"}},
    {"config.json is empty", "bert_seq", "config.json", overwrite, 0, "", DS_BAD_FORMAT, {"/config.json", "empty"}},
    {"config.json is unreadable", "bert_seq", "config.json", unreadable, 0, 0, DS_IO, {"/config.json", "denied"}},
    {"config.json is a word", "bert_seq", "config.json", overwrite, 0, "hello", DS_BAD_FORMAT, {"/config.json"}},
    {"config.json is a list", "bert_seq", "config.json", overwrite, 0, "[]", DS_BAD_FORMAT, {"/config.json"}},
    {"config.json is cut", "bert_seq", "config.json", cut_in_half, 0, 0, DS_BAD_FORMAT, {"/config.json"}},
    {"config.json has zeros behind it", "bert_seq", "config.json", add_a_byte, 0, 0, DS_BAD_FORMAT, {"/config.json"}},
    {"config.json is huge", "bert_seq", "config.json", grow_to_17_mib, 0, 0, DS_BAD_FORMAT,
     {"/config.json", "17825792", "16777216"}},
    {"config.json nests lists", "bert_seq", "config.json", nested, "[", 0, DS_BAD_FORMAT, {"/config.json"}},
    {"config.json nests objects", "bert_seq", "config.json", nested, "{\"a\":", 0, DS_BAD_FORMAT, {"/config.json"}},
    {"no weights", "bert_seq", "model.safetensors", delete_file, 0, 0, DS_NOT_FOUND, {"model.safetensors"}},
    {"only a pickle", "bert_seq", "", rename_file, "model.safetensors", "pytorch_model.bin", DS_UNSUPPORTED,
     {"pytorch_model.bin", "safetensors"}},
    {"weights are a folder", "bert_seq", "model.safetensors", folder_instead, 0, 0, DS_IO, {"/model.safetensors", "folder"}},
    {"weights are unreadable", "bert_seq", "model.safetensors", unreadable, 0, 0, DS_IO, {"/model.safetensors", "denied"}},
};

static const hostile config_cases[] = {
    CONFIG("hidden_size is NaN", "\"hidden_size\": 32", "\"hidden_size\": NaN", DS_BAD_FORMAT, "hidden_size", "NaN"),
    CONFIG("hidden_size is negative", "\"hidden_size\": 32", "\"hidden_size\": -32", DS_BAD_FORMAT, "hidden_size", "-32"),
    CONFIG("hidden_size is 0", "\"hidden_size\": 32", "\"hidden_size\": 0", DS_BAD_FORMAT, "hidden_size", "0", "1"),
    CONFIG("hidden_size is huge", "\"hidden_size\": 32", "\"hidden_size\": 4000000000", DS_BAD_FORMAT, "hidden_size",
           "4000000000", "65536"),
    CONFIG("hidden_size is 10^30", "\"hidden_size\": 32", "\"hidden_size\": 1000000000000000000000000000000", DS_BAD_FORMAT,
           "hidden_size", "1000000000000000000000000000000", "65536"),
    CONFIG("hidden_size is text", "\"hidden_size\": 32", "\"hidden_size\": \"32\"", DS_BAD_FORMAT, "hidden_size", "\"32\""),
    CONFIG("hidden_size is a fraction", "\"hidden_size\": 32", "\"hidden_size\": 32.5", DS_BAD_FORMAT, "hidden_size", "32.5"),
    CONFIG("hidden_size is null", "\"hidden_size\": 32", "\"hidden_size\": null", DS_BAD_FORMAT, "hidden_size", "null"),
    CONFIG("hidden_size is a list", "\"hidden_size\": 32", "\"hidden_size\": [32]", DS_BAD_FORMAT, "hidden_size"),
    CONFIG("hidden_size is true", "\"hidden_size\": 32", "\"hidden_size\": true", DS_BAD_FORMAT, "hidden_size", "true"),
    CONFIG("hidden_size is missing", "\"hidden_size\": 32,", "", DS_BAD_FORMAT, "has no hidden_size"),
    CONFIG("hidden_size is not the weights'", "\"hidden_size\": 32", "\"hidden_size\": 34", DS_SHAPE_MISMATCH,
           "[260, 32]", "[260, 34]"),
    CONFIG("heads do not divide", "\"num_attention_heads\": 2", "\"num_attention_heads\": 3", DS_BAD_FORMAT,
           "num_attention_heads, which is 3", "hidden_size is 32"),
    CONFIG("no heads", "\"num_attention_heads\": 2", "\"num_attention_heads\": 0", DS_BAD_FORMAT, "num_attention_heads"),
    CONFIG("negative layers", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": -1", DS_BAD_FORMAT, "num_hidden_layers",
           "-1"),
    CONFIG("a million layers", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1000000", DS_BAD_FORMAT,
           "num_hidden_layers", "1000000", "1024"),
    CONFIG("a layer too many", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", DS_NOT_FOUND,
           "encoder.layer.2.attention.self.query.weight"),
    CONFIG("vocab_size too large", "\"vocab_size\": 260", "\"vocab_size\": 261", DS_SHAPE_MISMATCH, "word_embeddings.weight",
           "[260, 32]", "[261, 32]"),
    CONFIG("vocab_size is infinite", "\"vocab_size\": 260", "\"vocab_size\": Infinity", DS_BAD_FORMAT, "vocab_size",
           "Infinity"),
    CONFIG("vocab_size is 1e400", "\"vocab_size\": 260", "\"vocab_size\": 1e400", DS_BAD_FORMAT, "vocab_size", "1e400"),
    CONFIG("more positions than rows", "\"max_position_embeddings\": 64", "\"max_position_embeddings\": 512",
           DS_SHAPE_MISMATCH, "position_embeddings.weight", "[64, 32]", "[512, 32]"),
    CONFIG("another intermediate_size", "\"intermediate_size\": 52", "\"intermediate_size\": 128", DS_SHAPE_MISMATCH,
           "intermediate.dense.weight", "[52, 32]", "[128, 32]"),
    CONFIG("more token types than rows", "\"type_vocab_size\": 2", "\"type_vocab_size\": 3", DS_SHAPE_MISMATCH,
           "token_type_embeddings.weight", "[2, 32]", "[3, 32]"),
    CONFIG("no token types", "\"type_vocab_size\": 2", "\"type_vocab_size\": 0", DS_BAD_FORMAT, "type_vocab_size", "0"),
    CONFIG("layer_norm_eps is text", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": \"1e-12\"", DS_BAD_FORMAT,
           "layer_norm_eps", "\"1e-12\""),
    CONFIG("layer_norm_eps is negative", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": -1.0", DS_BAD_FORMAT,
           "layer_norm_eps", "-1"),
    CONFIG("layer_norm_eps is NaN", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": NaN", DS_BAD_FORMAT, "layer_norm_eps",
           "NaN"),
    CONFIG("another activation", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"swish\"", DS_UNSUPPORTED, "hidden_act",
           "swish", "gelu_new"),
    CONFIG("activation is a number", "\"hidden_act\": \"gelu\"", "\"hidden_act\": 7", DS_BAD_FORMAT, "hidden_act", "7"),
    CONFIG("relative positions", "\"use_cache\": true", "\"position_embedding_type\": \"relative_key\"", DS_UNSUPPORTED,
           "position_embedding_type", "relative_key", "absolute"),
    CONFIG("a decoder", "\"is_decoder\": false", "\"is_decoder\": true", DS_UNSUPPORTED, "is_decoder", "true", "false"),
    CONFIG("cross attention", "\"add_cross_attention\": false", "\"add_cross_attention\": true", DS_UNSUPPORTED,
           "add_cross_attention"),
    CONFIG("another architecture", "\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"", DS_UNSUPPORTED, "model_type",
           "gpt2", "bert, roberta, distilbert"),
    CONFIG("model_type is a number", "\"model_type\": \"bert\"", "\"model_type\": 1", DS_BAD_FORMAT, "model_type"),
    CONFIG("model_type of another family", "\"model_type\": \"bert\"", "\"model_type\": \"roberta\"", DS_NOT_FOUND,
           "roberta.embeddings.word_embeddings.weight"),
    CONFIG("architectures is text", "[\n    \"BertForSequenceClassification\"\n  ]", "\"BertModel\"", DS_BAD_FORMAT,
           "architectures"),
    CONFIG("architectures holds a number", "[\n    \"BertForSequenceClassification\"\n  ]", "[5]", DS_BAD_FORMAT,
           "architectures[0]", "5"),
    CONFIG("unknown problem_type", "single_label_classification", "ranking", DS_UNSUPPORTED, "problem_type", "ranking"),
    CONFIG("a hole in id2label", "\"4\": \"transfer_fee_charged\"", "\"5\": \"transfer_fee_charged\"", DS_BAD_FORMAT,
           "id2label", "5 entries", "\"5\""),
    CONFIG("a key of id2label twice", "\"4\": \"transfer_fee_charged\"", "\"3\": \"transfer_fee_charged\"", DS_BAD_FORMAT,
           "id2label", "\"3\" twice", "transfer_fee_charged"),
    CONFIG("a key of id2label is a word", "\"4\": \"transfer_fee_charged\"", "\"four\": \"transfer_fee_charged\"",
           DS_BAD_FORMAT, "id2label", "\"four\""),
    CONFIG("a name in id2label is a list", "\"4\": \"transfer_fee_charged\"", "\"4\": []", DS_BAD_FORMAT, "id2label[\"4\"]"),
    CONFIG("fewer names than the classifier has rows", ",\n    \"4\": \"transfer_fee_charged\"\n", "", DS_SHAPE_MISMATCH,
           "classifier.weight", "[5, 32]", "[4, 32]"),
    CONFIG("id2label is a list", "\"id2label\": {", "\"id2label\": [], \"old\": {", DS_BAD_FORMAT, "id2label"),
    CONFIG("id2label is empty", "\"id2label\": {", "\"id2label\": {}, \"old\": {", DS_BAD_FORMAT, "id2label"),
    CONFIG("one label of several", "\"id2label\": {", "\"id2label\": {\"0\": \"a\"}, \"old\": {", DS_BAD_FORMAT,
           "problem_type", "single_label_classification", "1 label"),
    CONFIG("num_labels is not the classifier's", "\"id2label\": {", "\"num_labels\": 7, \"old\": {", DS_SHAPE_MISMATCH,
           "classifier.weight", "[5, 32]", "[7, 32]"),
    CONFIG("num_labels is negative", "\"id2label\": {", "\"num_labels\": -7, \"old\": {", DS_BAD_FORMAT, "num_labels", "-7"),
    CONFIG("invalid UTF-8 in a name", "transfer_fee_charged\"\n  }", "\xff\xfe\"\n  }", DS_BAD_FORMAT, "id2label[\"4\"]"),
    CONFIG("not a token classifier", "BertForSequenceClassification", "DistilBertForTokenClassification", DS_OK, "x"),
    {"DistilBERT without dim", "distilbert_seq", "config.json", edit, "\"dim\"", "\"hidden_size\"", DS_BAD_FORMAT,
     {"/config.json", "has no dim"}},
    {"DistilBERT's heads do not divide", "distilbert_seq", "config.json", edit, "\"n_heads\": 2", "\"n_heads\": 3",
     DS_BAD_FORMAT, {"/config.json", "n_heads, which is 3", "dim is 28"}},
    {"RoBERTa pads behind its positions", "roberta_seq", "config.json", edit, "\"pad_token_id\": 1", "\"pad_token_id\": 65",
     DS_BAD_FORMAT, {"/config.json", "pad_token_id, which is 65", "max_position_embeddings is 66"}},
};

#define TENSOR "\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[5,32],\"data_offsets\":[108340,108980]}"
#define TENSOR_IS(dtype, shape, offsets)                                                                               \
    "\"classifier.weight\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const hostile weight_cases[] = {
    {"weights are empty", "bert_seq", "model.safetensors", overwrite, 0, "", DS_BAD_FORMAT, {"/model.safetensors", "0", "8"}},
    {"weights are 7 bytes", "bert_seq", "model.safetensors", overwrite, 0, "7 bytes", DS_BAD_FORMAT,
     {"/model.safetensors", "7", "8"}},
    {"header longer than the file", "bert_seq", "model.safetensors", safetensors, "4096", "{}", DS_BAD_FORMAT,
     {"/model.safetensors", "4096", "74"}},
    {"header of 2^63 bytes", "bert_seq", "model.safetensors", safetensors, "0x8000000000000000", "{}", DS_BAD_FORMAT,
     {"/model.safetensors", "9223372036854775808"}},
    {"header of 2^64 - 1 bytes", "bert_seq", "model.safetensors", safetensors, "0xffffffffffffffff", "{}", DS_BAD_FORMAT,
     {"/model.safetensors", "18446744073709551615"}},
    {"header of no bytes", "bert_seq", "model.safetensors", safetensors, "0", "", DS_BAD_FORMAT, {"/model.safetensors"}},
    {"header is not JSON", "bert_seq", "model.safetensors", safetensors, "12", "hello, world", DS_BAD_FORMAT,
     {"/model.safetensors"}},
    {"header is a list", "bert_seq", "model.safetensors", safetensors, "2", "[]", DS_BAD_FORMAT, {"/model.safetensors"}},
    {"header nests 10,000 deep", "bert_seq", "model.safetensors", nested_header, 0, 0, DS_BAD_FORMAT, {"/model.safetensors"}},
    {"header without tensors", "bert_seq", "model.safetensors", safetensors, "2", "{}", DS_BAD_FORMAT,
     {"/model.safetensors"}},
    {"data are cut", "bert_seq", "model.safetensors", cut_in_half, 0, 0, DS_BAD_FORMAT, {"/model.safetensors"}},
    {"last byte is missing", "bert_seq", "model.safetensors", cut_last_byte, 0, 0, DS_BAD_FORMAT,
     {"/model.safetensors", "classifier.weight", "108980", "108979"}},
    {"a byte too many", "bert_seq", "model.safetensors", add_a_byte, 0, 0, DS_BAD_FORMAT, {"/model.safetensors", "108981"}},
    WEIGHTS("a tensor ends behind the file", TENSOR, TENSOR_IS("F32", "[5,32]", "[200000,200640]"), DS_BAD_FORMAT,
            "classifier.weight", "200640"),
    WEIGHTS("a tensor ends before it begins", TENSOR, TENSOR_IS("F32", "[5,32]", "[108980,108340]"), DS_BAD_FORMAT,
            "classifier.weight", "108980", "108340"),
    WEIGHTS("a negative offset", TENSOR, TENSOR_IS("F32", "[5,32]", "[-640,0]"), DS_BAD_FORMAT, "-640"),
    WEIGHTS("an offset of 10^30", TENSOR, TENSOR_IS("F32", "[5,32]", "[0,1000000000000000000000000000000]"), DS_BAD_FORMAT,
            "1000000000000000000000000000000"),
    WEIGHTS("overlapping tensors", TENSOR, TENSOR_IS("F32", "[5,32]", "[108320,108960]"), DS_BAD_FORMAT, "classifier."),
    WEIGHTS("a shape of other bytes", TENSOR, TENSOR_IS("F32", "[5,33]", "[108340,108980]"), DS_BAD_FORMAT,
            "classifier.weight", "660", "640"),
    WEIGHTS("a negative dimension", TENSOR, TENSOR_IS("F32", "[-5,-32]", "[108340,108980]"), DS_BAD_FORMAT, "-5"),
    WEIGHTS("a NaN dimension", TENSOR, TENSOR_IS("F32", "[NaN,32]", "[108340,108980]"), DS_BAD_FORMAT, "NaN"),
    WEIGHTS("a dimension of text", TENSOR, TENSOR_IS("F32", "[\"5\",32]", "[108340,108980]"), DS_BAD_FORMAT, "\"5\""),
    WEIGHTS("a shape that overflows", TENSOR, TENSOR_IS("F32", "[4294967296,4294967296,16]", "[108340,108980]"),
            DS_BAD_FORMAT, "classifier.weight"),
    WEIGHTS("a shape of 20 dimensions", TENSOR,
            TENSOR_IS("F32", "[5,32,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[108340,108980]"), DS_BAD_FORMAT,
            "classifier.weight"),
    WEIGHTS("no shape", TENSOR, "\"classifier.weight\":{\"dtype\":\"F32\",\"data_offsets\":[108340,108980]}", DS_BAD_FORMAT,
            "classifier.weight", "shape"),
    WEIGHTS("no offsets", TENSOR, "\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[5,32]}", DS_BAD_FORMAT,
            "classifier.weight", "data_offsets"),
    WEIGHTS("three offsets", TENSOR, TENSOR_IS("F32", "[5,32]", "[108340,108660,108980]"), DS_BAD_FORMAT, "data_offsets"),
    WEIGHTS("an unknown type", TENSOR, TENSOR_IS("F99", "[5,32]", "[108340,108980]"), DS_BAD_FORMAT, "F99"),
    WEIGHTS("integer weights", TENSOR, TENSOR_IS("I32", "[5,32]", "[108340,108980]"), DS_UNSUPPORTED, "classifier.weight",
            "I32", "F32"),
    WEIGHTS("64-bit weights", TENSOR, TENSOR_IS("F64", "[5,16]", "[108340,108980]"), DS_SHAPE_MISMATCH, "classifier.weight",
            "[5, 16]", "[5, 32]"),
    WEIGHTS("a transposed tensor", TENSOR, TENSOR_IS("F32", "[32,5]", "[108340,108980]"), DS_SHAPE_MISMATCH,
            "classifier.weight", "[32, 5]", "[5, 32]"),
    WEIGHTS("a flat tensor", TENSOR, TENSOR_IS("F32", "[160]", "[108340,108980]"), DS_SHAPE_MISMATCH, "classifier.weight",
            "[160]", "[5, 32]"),
    WEIGHTS("a tensor by another name", "\"classifier.weight\"", "\"klassifier.weight\"", DS_NOT_FOUND, "classifier.weight"),
    WEIGHTS("a norm by another name", "embeddings.LayerNorm.weight", "embeddings.LayerNorm.delta", DS_NOT_FOUND,
            "embeddings.LayerNorm.weight"),
    WEIGHTS("a tensor twice", "\"classifier.bias\"", "\"classifier.weight\"", DS_BAD_FORMAT, "classifier.weight", "twice"),
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
          "/model.safetensors.index.json", "2"),
    {"the index is cut", "bert_sharded", "model.safetensors.index.json", cut_in_half, 0, 0, DS_BAD_FORMAT,
     {"/model.safetensors.index.json"}},
    {"the index is empty", "bert_sharded", "model.safetensors.index.json", overwrite, 0, "{\"weight_map\": {}}",
     DS_BAD_FORMAT, {"/model.safetensors.index.json"}},
    {"the index is deep", "bert_sharded", "model.safetensors.index.json", nested, "{\"a\":", 0, DS_BAD_FORMAT,
     {"/model.safetensors.index.json"}},
    {"a shard is missing", "bert_sharded", "model-00003-of-00004.safetensors", delete_file, 0, 0, DS_NOT_FOUND,
     {"model-00003-of-00004.safetensors"}},
    {"a shard is a folder", "bert_sharded", "model-00003-of-00004.safetensors", folder_instead, 0, 0, DS_IO,
     {"model-00003-of-00004.safetensors", "folder"}},
    {"a shard is cut", "bert_sharded", "model-00003-of-00004.safetensors", cut_last_byte, 0, 0, DS_BAD_FORMAT,
     {"model-00003-of-00004.safetensors"}},
};

static const hostile module_cases[] = {
    MODULES("a Dense module", "models.Normalize", "models.Dense", DS_UNSUPPORTED, "models.Dense", "Pooling"),
    MODULES("a module of somebody else", "sentence_transformers.models.Normalize", "custom.Normalize", DS_UNSUPPORTED,
            "custom.Normalize"),
    MODULES("two Poolings", "models.Normalize", "models.Pooling", DS_UNSUPPORTED, "module 2", "order"),
    MODULES("Normalize in front of Pooling", "models.Pooling", "models.Normalize", DS_UNSUPPORTED, "module 1", "order"),
    MODULES("no Transformer", "models.Transformer", "models.Pooling", DS_UNSUPPORTED, "module 0", "order"),
    MODULES("the path of a module leaves the folder", "\"1_Pooling\"", "\"../1_Pooling\"", DS_BAD_FORMAT, "module 1",
            "../1_Pooling"),
    MODULES("the path of a module leaves it later", "\"1_Pooling\"", "\"a/b/../../../x\"", DS_BAD_FORMAT, "module 1",
            "a/b/../../../x"),
    MODULES("the path of a module is absolute", "\"1_Pooling\"", "\"/etc\"", DS_BAD_FORMAT, "module 1", "/etc"),
    MODULES("the path of a module is a number", "\"1_Pooling\"", "1", DS_BAD_FORMAT, "path"),
    MODULES("Transformer in a folder of its own", "\"path\": \"\"", "\"path\": \"0_Transformer\"", DS_UNSUPPORTED, "module 0",
            "0_Transformer"),
    MODULES("a module without type", "\"type\"", "\"kind\"", DS_BAD_FORMAT, "module 0", "type"),
    {"modules.json is an object", "st_mean", "modules.json", overwrite, 0, "{}", DS_BAD_FORMAT, {"/modules.json", "list"}},
    {"modules.json is an empty list", "st_mean", "modules.json", overwrite, 0, "[]", DS_BAD_FORMAT, {"/modules.json"}},
    {"modules.json is deep", "st_mean", "modules.json", nested, "[", 0, DS_BAD_FORMAT, {"/modules.json"}},
    {"no Pooling configuration", "st_mean", "1_Pooling", delete_file, 0, 0, DS_NOT_FOUND, {"/1_Pooling/config.json"}},
    POOLING("another dimension", "\"word_embedding_dimension\": 32", "\"word_embedding_dimension\": 384", DS_SHAPE_MISMATCH,
            "word_embedding_dimension is 384", "32"),
    POOLING("a dimension of text", "\"word_embedding_dimension\": 32", "\"word_embedding_dimension\": \"32\"", DS_BAD_FORMAT,
            "word_embedding_dimension", "\"32\""),
    POOLING("two kinds of pooling", "\"pooling_mode_max_tokens\": false", "\"pooling_mode_max_tokens\": true", DS_UNSUPPORTED,
            "mean and max"),
    POOLING("no kind of pooling", "\"pooling_mode_mean_tokens\": true", "\"pooling_mode_mean_tokens\": false", DS_BAD_FORMAT,
            "mean, cls, max"),
    POOLING("a kind that is not supported", "\"pooling_mode_mean_tokens\": true",
            "\"pooling_mode_mean_tokens\": false, \"pooling_mode_weightedmean_tokens\": true", DS_UNSUPPORTED, "weightedmean"),
    POOLING("pooling by text", "\"pooling_mode_mean_tokens\": true", "\"pooling_mode_mean_tokens\": \"yes\"", DS_BAD_FORMAT,
            "pooling_mode_mean_tokens", "\"yes\""),
    {"a newer kind that is not supported", "st_cls", "1_Pooling/config.json", edit, "\"cls\"", "\"lasttoken\"",
     DS_UNSUPPORTED, {"/1_Pooling/config.json", "lasttoken", "mean, cls, max"}},
    {"an unknown newer kind", "st_cls", "1_Pooling/config.json", edit, "\"cls\"", "\"median\"", DS_UNSUPPORTED,
     {"/1_Pooling/config.json", "median", "mean, cls, max"}},
    {"a default prompt", "st_cls", "config_sentence_transformers.json", edit,
     "\"default_prompt_name\": null,\n  \"model_type\"", "\"default_prompt_name\": \"p\", \"prompts\": {\"p\": \"ask: \"}, \"m\"",
     DS_UNSUPPORTED, {"/config_sentence_transformers.json", "default_prompt_name", "ask: "}},
    {"max_seq_length is 0", "st_mean", "sentence_bert_config.json", edit, "20", "0", DS_BAD_FORMAT,
     {"/sentence_bert_config.json", "max_seq_length", "0"}},
    {"max_seq_length is text", "st_mean", "sentence_bert_config.json", edit, "20", "\"20\"", DS_BAD_FORMAT,
     {"/sentence_bert_config.json", "max_seq_length", "\"20\""}},
    {"lower case that the tokenizer does not make", "bert_seq_st", "sentence_bert_config.json", edit, "false", "true", DS_OK,
     {"x"}},
    {"model_max_length is text", "st_cls", "tokenizer_config.json", edit, "\"model_max_length\": 24",
     "\"model_max_length\": \"24\"", DS_BAD_FORMAT, {"/tokenizer_config.json", "model_max_length", "\"24\""}},
    {"model_max_length is negative", "st_cls", "tokenizer_config.json", edit, "\"model_max_length\": 24",
     "\"model_max_length\": -1", DS_BAD_FORMAT, {"/tokenizer_config.json", "model_max_length", "-1"}},
};
