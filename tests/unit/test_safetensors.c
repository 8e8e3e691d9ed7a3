/* safetensors files, shards and their index: what is read, and every way to be wrong with its sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/random.h"
#include "formats/safetensors_index.h"
#include "support/scratch_folder.h"

static ds__heap heap;
static scratch_folder scratch;

static int open_folder(void **state) {
    ds__heap_init(&heap, NULL, 0);
    scratch_create(&scratch);
    return 0;
}

static const char *path_of(const char *name) { return scratch_path(&scratch, name); }

/* Also finds leaks: the heap must hold nothing. */
static int close_folder(void **state) {
    scratch_destroy(&scratch);
    return heap.bytes == 0 ? 0 : -1;
}

static void put(const char *name, const void *data, size_t size) { scratch_write(&scratch, name, data, size); }

/* A file of the header with its length in front and `data_bytes` bytes 0, 1, 2, ... behind. */
static void put_tensors(const char *name, const char *header, size_t data_bytes) {
    size_t length = strlen(header), size = 8 + length + data_bytes;
    unsigned char *file = malloc(size);
    for (int i = 0; i < 8; i++) file[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++) file[8 + length + i] = (unsigned char)i;
    put(name, file, size);
    free(file);
}

/* Three hints; NULL for fewer. */
static void check_message(const ds_error *error, const char *case_text, const char *a, const char *b, const char *c) {
    const char *const hints[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        if (hints[i] && !strstr(error->message, hints[i]))
            fail_msg("%.80s: \"%s\" lacks \"%s\"", case_text, error->message, hints[i]);
    if (strchr(error->message, '\n')) fail_msg("%s: more than one line", case_text);
}

static void refuse_file(ds_status want, const char *case_text, const char *a, const char *b) {
    ds__safetensors *file;
    ds_error error = {DS_OK, ""};
    ds_status status = ds__safetensors_open(&heap, path_of("model.safetensors"), &file, &error);
    if (status != want) fail_msg("%.80s: %s \"%s\"", case_text, ds_status_name(status), error.message);
    assert_int_equal(error.status, want);
    check_message(&error, case_text, "model.safetensors", a, b);
    assert_int_equal(heap.bytes, 0);
}

static void good_files_are_read(void **state) {
    put_tensors("model.safetensors",
                "{\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
                "\"__metadata__\":{\"format\":\"pt\"},"
                "\"a\\u0000\\u00e9\":{\"data_offsets\":[8,10],\"shape\":[],\"dtype\":\"BF16\"},"
                "\"zero\":{\"dtype\":\"I64\",\"shape\":[0,9223372036854775807],\"data_offsets\":[10,10]},"
                "\"ab\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[10,13]}}   ",
                13);
    ds__safetensors *file;
    assert_int_equal(ds__safetensors_open(&heap, path_of("model.safetensors"), &file, NULL), DS_OK);
    assert_int_equal(ds__safetensors_count(file), 4);
    const ds__safetensor *t = ds__safetensors_at(file, 0);
    assert_true(ds__str_equal(t->name, DS_STR("a\0\xC3\xA9")));
    assert_int_equal(t->rank, 0);
    assert_int_equal(t->dtype, DS_BF16);
    assert_int_equal(t->bytes, 2);
    assert_int_equal(t->data[0], 8);
    t = ds__safetensors_at(file, 1);
    assert_string_equal(t->name.data, "ab");
    assert_false(t->known_dtype);
    assert_string_equal(t->dtype_name.data, "F8_E4M3");
    assert_int_equal(t->data[2], 12);
    t = ds__safetensors_find(file, DS_STR("b"));
    assert_ptr_equal(t, ds__safetensors_at(file, 2));
    assert_true(t->known_dtype && t->dtype == DS_F32 && t->rank == 2 && t->shape[0] == 2 && t->shape[1] == 1);
    assert_int_equal(t->data[7], 7);
    assert_string_equal(t->path, path_of("model.safetensors"));
    assert_int_equal(ds__safetensors_find(file, DS_STR("zero"))->bytes, 0);
    assert_null(ds__safetensors_find(file, DS_STR("")));
    assert_null(ds__safetensors_find(file, DS_STR("a")));
    assert_null(ds__safetensors_find(file, DS_STR("zz")));
    assert_null(ds__safetensors_find(file, DS_STR("__metadata__")));
    ds__safetensors_close(file);
    ds__safetensors_close(NULL);

    put_tensors("model.safetensors", "{}", 0);
    assert_int_equal(ds__safetensors_open(&heap, path_of("model.safetensors"), &file, NULL), DS_OK);
    assert_int_equal(ds__safetensors_count(file), 0);
    assert_null(ds__safetensors_find(file, DS_STR("a")));
    ds__safetensors_close(file);
}

static void names_are_ordered_bytewise(void **state) {
    assert_true(ds__safetensors_compare(DS_STR("a"), DS_STR("a")) == 0);
    assert_true(ds__safetensors_compare(DS_STR(""), DS_STR("a")) < 0);
    assert_true(ds__safetensors_compare(DS_STR("a"), DS_STR("a\0")) < 0);
    assert_true(ds__safetensors_compare(DS_STR("\x7F"), DS_STR("\x80")) < 0);
    assert_true(ds__safetensors_compare(DS_STR("b"), DS_STR("ab")) > 0);
}

#define T(name, dtype, shape, offsets)                                                                                 \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void wrong_headers_are_refused(void **state) {
    static const struct {
        const char *header;
        size_t data_bytes;
        ds_status status;
        const char *a, *b;
    } rows[] = {
        {"", 0, DS_BAD_FORMAT, "ends where an object", NULL},
        {"x", 0, DS_BAD_FORMAT, "'x' where an object", NULL},
        {"[]", 0, DS_BAD_FORMAT, "'[' where an object", NULL},
        {"{", 0, DS_BAD_FORMAT, "ends", NULL},
        {"{}x", 0, DS_BAD_FORMAT, "more text", NULL},
        {"{\"a\":1}", 0, DS_BAD_FORMAT, "'1' where an object", NULL},
        {"{\"a\":null}", 0, DS_BAD_FORMAT, "an object is expected", NULL},
        {"{\"a\":{}}", 0, DS_BAD_FORMAT, "\"a\" has no dtype", NULL},
        {"{\"a\":{\"dtype\":\"U8\"}}", 0, DS_BAD_FORMAT, "\"a\" has no shape", NULL},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", 1, DS_BAD_FORMAT, "\"a\" has no data_offsets", NULL},
        {"{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, DS_BAD_FORMAT, "dtype is 8,", NULL},
        {"{\"a\":{\"kind\":8}}", 1, DS_BAD_FORMAT, "\"a\" has the field \"kind\"", NULL},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", 1, DS_BAD_FORMAT, "\"dtype\", expected", "each once"},
        {"{\"a\":{\"shape\":[1],\"shape\":[1]}}", 1, DS_BAD_FORMAT, "\"shape\", expected", "each once"},
        {"{\"a\":{\"data_offsets\":[0,1],\"data_offsets\":[0,1]}}", 1, DS_BAD_FORMAT, "\"data_offsets\", expected",
         "each once"},
        {"{" T("a", "U8", "3", "[0,3]") "}", 3, DS_BAD_FORMAT, "'3' where an array", NULL},
        {"{" T("a", "U8", "[\"3\"]", "[0,3]") "}", 3, DS_BAD_FORMAT, "shape is \"3\"", NULL},
        {"{" T("a", "U8", "[3.0]", "[0,3]") "}", 3, DS_BAD_FORMAT, "shape is 3.0", NULL},
        {"{" T("a", "U8", "[-3]", "[0,3]") "}", 3, DS_BAD_FORMAT, "shape is -3, expected an integer from 0", NULL},
        {"{" T("a", "U8", "[NaN]", "[0,3]") "}", 3, DS_BAD_FORMAT, "shape is NaN", NULL},
        {"{" T("a", "U8", "[9223372036854775808]", "[0,3]") "}", 3, DS_BAD_FORMAT, "shape is 9223372036854775808",
         NULL},
        {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,1,1,3]", "[0,3]") "}", 3, DS_UNSUPPORTED, "\"a\"", "dimensions"},
        {"{" T("a", "F32", "[4611686018427387904]", "[0,0]") "}", 0, DS_BAD_FORMAT, "\"a\"", "more elements"},
        {"{" T("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", 0, DS_BAD_FORMAT, "\"a\"", "more elements"},
        {"{" T("a", "U8", "[3]", "[]") "}", 3, DS_BAD_FORMAT, "data_offsets has 0 numbers, expected 2", "\"a\""},
        {"{" T("a", "U8", "[3]", "[0]") "}", 3, DS_BAD_FORMAT, "data_offsets has 1 numbers, expected 2", "\"a\""},
        {"{" T("a", "U8", "[3]", "[0,1,3]") "}", 3, DS_BAD_FORMAT, "data_offsets has 3 numbers, expected 2", "\"a\""},
        {"{" T("a", "U8", "[3]", "[-1,2]") "}", 3, DS_BAD_FORMAT, "data_offsets is -1", NULL},
        {"{" T("a", "U8", "[3]", "[0,\"3\"]") "}", 3, DS_BAD_FORMAT, "data_offsets is \"3\"", NULL},
        {"{" T("a", "U8", "[3]", "[3,0]") "}", 3, DS_BAD_FORMAT, "[3, 0]", "3 bytes"},
        {"{" T("a", "U8", "[3]", "[0,3]") "}", 2, DS_BAD_FORMAT, "[0, 3]", "2 bytes"},
        {"{" T("a", "U8", "[3]", "[9223372036854775804,9223372036854775807]") "}", 3, DS_BAD_FORMAT,
         "9223372036854775807", "3 bytes"},
        {"{" T("a", "U8", "[3]", "[0,3]") "}", 4, DS_BAD_FORMAT, "end at byte 3", "has 4"},
        {"{}", 1, DS_BAD_FORMAT, "end at byte 0", "has 1"},
        {"{" T("a", "U8", "[3]", "[1,4]") "}", 4, DS_BAD_FORMAT, "\"a\" begins at byte 1", "gap"},
        {"{" T("a", "U8", "[3]", "[0,3]") "," T("b", "U8", "[3]", "[4,7]") "}", 7, DS_BAD_FORMAT,
         "\"b\" begins at byte 4", "ends at 3"},
        {"{" T("a", "U8", "[3]", "[0,3]") "," T("b", "U8", "[3]", "[2,5]") "}", 5, DS_BAD_FORMAT,
         "\"b\" begins at byte 2", "overlap"},
        {"{" T("a", "U8", "[3]", "[0,3]") "," T("b", "U8", "[3]", "[0,3]") "}", 3, DS_BAD_FORMAT, "overlap", NULL},
        {"{" T("a", "U8", "[3]", "[0,3]") "," T("b", "U8", "[0]", "[1,1]") "}", 3, DS_BAD_FORMAT, "\"b\"", "overlap"},
        {"{" T("a", "U8", "[3]", "[0,3]") "," T("a", "U8", "[3]", "[3,6]") "}", 6, DS_BAD_FORMAT, "two tensors \"a\"",
         NULL},
        {"{" T("a", "F32", "[3]", "[0,3]") "}", 3, DS_SHAPE_MISMATCH, "takes 12 bytes", "hold 3"},
        {"{" T("a", "F16", "[1,2]", "[0,3]") "}", 3, DS_SHAPE_MISMATCH, "takes 4 bytes", "hold 3"},
        {"{" T("a", "BF16", "[]", "[0,3]") "}", 3, DS_SHAPE_MISMATCH, "takes 2 bytes", "hold 3"},
        {"{" T("a", "I64", "[0]", "[0,3]") "}", 3, DS_SHAPE_MISMATCH, "takes 0 bytes", "hold 3"},
        {"{" T("a\\n", "I64", "[0]", "[0,3]") "}", 3, DS_SHAPE_MISMATCH, "\"a?\"", NULL},
        {"{\"a\xFF\":{}}", 0, DS_BAD_FORMAT, "UTF-8", NULL},
        {"{\"__metadata__\":{\"a\":}}", 0, DS_BAD_FORMAT, "'}' where", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_tensors("model.safetensors", rows[i].header, rows[i].data_bytes);
        refuse_file(rows[i].status, rows[i].header, rows[i].a, rows[i].b);
    }
}

static void wrong_lengths_are_refused(void **state) {
    static const struct {
        unsigned char bytes[16];
        size_t size;
        const char *a, *b;
    } rows[] = {
        {{0}, 0, "has 0 bytes", "at least 8"},
        {{2, 0, 0, 0, 0, 0, 0}, 7, "has 7 bytes", "at least 8"},
        {{3, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "3 bytes", "has 2 behind"},
        {{0, 0, 0, 0, 0, 0, 0, 0}, 8, "ends where an object", NULL},
        {{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, 10, "18446744073709551615", "has 2 behind"},
        {{0, 0, 0, 0, 0, 0, 0, 128, '{', '}'}, 10, "9223372036854775808", NULL},
        {{'P', 'K', 3, 4, 0, 0, 0, 0, '{', '}'}, 10, "67324752", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put("model.safetensors", rows[i].bytes, rows[i].size);
        refuse_file(DS_BAD_FORMAT, rows[i].a, rows[i].a, rows[i].b);
    }
}

static void nesting_is_capped(void **state) {
    enum { DEPTH = 10000 };
    static char header[DEPTH + 40];
    int length = snprintf(header, sizeof header, "{\"__metadata__\":");
    memset(header + length, '[', DEPTH);
    put_tensors("model.safetensors", header, 0);
    refuse_file(DS_BAD_FORMAT, "10,000 brackets", "deeper than 64", NULL);
}

static void what_is_no_file_is_refused(void **state) {
    refuse_file(DS_NOT_FOUND, "missing", "No such file", NULL);
    assert_int_equal(mkdir(path_of("model.safetensors"), 0700), 0);
    refuse_file(DS_IO, "a folder", "is a folder", NULL);
    scratch_delete(&scratch, "model.safetensors");
    assert_int_equal(mkfifo(path_of("model.safetensors"), 0600), 0);
    refuse_file(DS_IO, "a pipe", "not a regular file", NULL);
}

/* Every prefix of a good file is refused, and every change of one byte is refused or leaves the tensors readable. */
static void damaged_files_do_no_harm(void **state) {
    static const char header[] = "{" T("a", "F32", "[2]", "[0,8]") "," T("b", "U8", "[3]", "[8,11]") "}";
    unsigned char good[8 + sizeof header - 1 + 11];
    memset(good, 0, sizeof good);
    good[0] = sizeof header - 1;
    memcpy(good + 8, header, sizeof header - 1);
    ds__safetensors *file;
    for (size_t size = 0; size < sizeof good; size++) {
        put("model.safetensors", good, size);
        refuse_file(DS_BAD_FORMAT, "a prefix", NULL, NULL);
    }
    ds__random random = {3};
    for (int i = 0; i < 2000; i++) {
        unsigned char bad[sizeof good];
        memcpy(bad, good, sizeof good);
        bad[ds__random_below(&random, sizeof bad)] = (unsigned char)ds__random_u64(&random);
        put("model.safetensors", bad, sizeof bad);
        ds_error error = {DS_OK, ""};
        if (ds__safetensors_open(&heap, path_of("model.safetensors"), &file, &error) == DS_OK) {
            unsigned sum = 0;
            for (size_t t = 0; t < ds__safetensors_count(file); t++)
                for (size_t b = 0; b < ds__safetensors_at(file, t)->bytes; b++)
                    sum += ds__safetensors_at(file, t)->data[b];
            assert_true(sum <= 11 * 255);
            ds__safetensors_close(file);
        } else {
            assert_true(error.message[0] != '\0');
        }
        assert_int_equal(heap.bytes, 0);
    }
}

static void every_failing_allocation_is_reported(void **state) {
    static char header[64 * 1024];
    int length = 0;
    for (int i = 0; i < 300; i++)
        length += snprintf(header + length, sizeof header - (size_t)length,
                           "%c"
                           "\"layer.\\u0061.%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                           i ? ',' : '{', i, i, i + 1);
    header[length] = '}';
    put_tensors("model.safetensors", header, 300);
    for (uint64_t n = 1;; n++) {
        ds__safetensors *file;
        ds_error error = {DS_OK, ""};
        ds__heap_init(&heap, NULL, 0);
        heap.fail_at = n;
        if (ds__safetensors_open(&heap, path_of("model.safetensors"), &file, &error) == DS_OK) {
            assert_true(n > 8);
            assert_int_equal(ds__safetensors_count(file), 300);
            ds__safetensors_close(file);
            break;
        }
        assert_int_equal(error.status, DS_OUT_OF_MEMORY);
        assert_int_equal(heap.bytes, 0);
    }
    ds__heap_init(&heap, NULL, 0);
    for (uint64_t limit = 1; limit < 200000; limit += 997) {
        ds__safetensors *file;
        ds_error error = {DS_OK, ""};
        heap.limit = limit;
        if (ds__safetensors_open(&heap, path_of("model.safetensors"), &file, &error) == DS_OK)
            ds__safetensors_close(file);
        else
            assert_int_equal(error.status, DS_MEMORY_LIMIT);
        assert_int_equal(heap.bytes, 0);
    }
}

/* Folders. */
static void refuse_folder(ds_status want, const char *case_text, const char *a, const char *b) {
    ds__weights *weights;
    ds_error error = {DS_OK, ""};
    ds_status status = ds__weights_open(&heap, scratch.path, &weights, &error);
    if (status != want) fail_msg("%.80s: %s \"%s\"", case_text, ds_status_name(status), error.message);
    check_message(&error, case_text, scratch.path, a, b);
    assert_int_equal(heap.bytes, 0);
}

static void put_shards(void) {
    put_tensors("a.safetensors", "{" T("x", "U8", "[1]", "[0,1]") "," T("z", "U8", "[2]", "[1,3]") "}", 3);
    put_tensors("b.safetensors", "{" T("y", "U8", "[4]", "[0,4]") "}", 4);
}

static void put_index(const char *text) { put("model.safetensors.index.json", text, strlen(text)); }

static void a_single_file_is_a_folder_of_one_shard(void **state) {
    put_tensors("model.safetensors", "{" T("x", "U8", "[1]", "[0,1]") "}", 1);
    put_index("broken, but not looked at");
    ds__weights *weights;
    size_t index = 9;
    assert_int_equal(ds__weights_open(&heap, scratch.path, &weights, NULL), DS_OK);
    assert_int_equal(ds__weights_shards(weights), 1);
    assert_int_equal(ds__weights_count(weights), 1);
    assert_string_equal(ds__weights_path(weights), path_of("model.safetensors"));
    assert_non_null(ds__weights_find(weights, DS_STR("x"), &index));
    assert_int_equal(index, 0);
    ds__weights_close(weights);
    ds__weights_close(NULL);
}

static void shards_are_one_list(void **state) {
    put_shards();
    put_index("{\"metadata\":{\"total_size\":7},\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\","
              "\"z\":\"a.safetensors\"}}");
    ds__weights *weights;
    size_t index;
    ds_error error;
    if (ds__weights_open(&heap, scratch.path, &weights, &error) != DS_OK) fail_msg("%s", error.message);
    assert_int_equal(ds__weights_shards(weights), 2);
    assert_int_equal(ds__weights_count(weights), 3);
    for (size_t i = 0; i < 3; i++) {
        const ds__safetensor *tensor = ds__weights_at(weights, i);
        assert_ptr_equal(ds__weights_find(weights, tensor->name, &index), tensor);
        assert_int_equal(index, i);
    }
    assert_int_equal(ds__weights_find(weights, DS_STR("y"), NULL)->bytes, 4);
    assert_string_equal(ds__weights_find(weights, DS_STR("y"), NULL)->path, path_of("b.safetensors"));
    assert_null(ds__weights_find(weights, DS_STR("w"), &index));
    assert_true(ds__weights_map(weights, 1)->size > 8);
    assert_string_equal(ds__weights_path(weights), path_of("model.safetensors.index.json"));
    ds__weights_close(weights);
}

static void wrong_indexes_are_refused(void **state) {
    static const struct {
        const char *text;
        ds_status status;
        const char *a, *b;
    } rows[] = {
        {"", DS_BAD_FORMAT, "index.json", "ends"},
        {"[]", DS_BAD_FORMAT, "'['", NULL},
        {"{}", DS_BAD_FORMAT, "weight_map names no tensor", NULL},
        {"{\"weight_map\":{}}", DS_BAD_FORMAT, "weight_map names no tensor", NULL},
        {"{\"weight_map\":[]}", DS_BAD_FORMAT, "'['", NULL},
        {"{\"weight_map\":{\"x\":1}}", DS_BAD_FORMAT, "file is 1,", NULL},
        {"{\"weight_map\":{\"x\":\"\"}}", DS_BAD_FORMAT, "names the file \"\"", NULL},
        {"{\"weight_map\":{\"x\":\"/etc/passwd\"}}", DS_BAD_FORMAT, "\"/etc/passwd\"", "own folder"},
        {"{\"weight_map\":{\"x\":\"../a.safetensors\"}}", DS_BAD_FORMAT, "\"../a.safetensors\"", "own folder"},
        {"{\"weight_map\":{\"x\":\"s/a.safetensors\"}}", DS_BAD_FORMAT, "own folder", NULL},
        {"{\"weight_map\":{\"x\":\"..\"}}", DS_BAD_FORMAT, "\"..\"", "own folder"},
        {"{\"weight_map\":{\"x\":\".\"}}", DS_BAD_FORMAT, "\".\"", "own folder"},
        {"{\"weight_map\":{\"x\":\"a.safetensors\\u0000\"}}", DS_BAD_FORMAT, "own folder", NULL},
        {"{\"weight_map\":{\"x\":\"none.safetensors\"}}", DS_NOT_FOUND, "none.safetensors", "index.json"},
        {"{\"weight_map\":{\"x\":\"b.safetensors\"}}", DS_BAD_FORMAT, "\"x\" is in b.safetensors", "no such tensor"},
        {"{\"weight_map\":{\"x\":\"a.safetensors\"}", DS_BAD_FORMAT, "ends", NULL},
        {"{\"weight_map\":{\"x\":\"a.safetensors\"}} 1", DS_BAD_FORMAT, "more text", NULL},
    };
    put_shards();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_index(rows[i].text);
        refuse_folder(rows[i].status, rows[i].text, rows[i].a, rows[i].b);
    }
    put_index("{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"}}");
    put_tensors("b.safetensors", "{" T("y", "U8", "[4]", "[0,3]") "}", 3);
    refuse_folder(DS_SHAPE_MISMATCH, "a bad shard", "b.safetensors", "takes 4 bytes");
    put_tensors("b.safetensors", "{" T("y", "U8", "[4]", "[0,4]") "," T("x", "U8", "[0]", "[4,4]") "}", 4);
    refuse_folder(DS_BAD_FORMAT, "one name in two shards", "\"x\"", "b.safetensors");
    static char name[400] = "{\"weight_map\":{\"x\":\"";
    memset(name + 20, 'n', 300);
    snprintf(name + 320, 20, "\"}}");
    put_index(name);
    refuse_folder(DS_BAD_FORMAT, "a long name", "own folder", NULL);
}

static void what_is_there_instead_is_named(void **state) {
    refuse_folder(DS_NOT_FOUND, "an empty folder", "model.safetensors", "index.json");
    put("model.gguf", "", 0);
    refuse_folder(DS_UNSUPPORTED, "gguf", "model.gguf", NULL);
    put("pytorch_model.bin", "", 0);
    refuse_folder(DS_UNSUPPORTED, "pickle", "pytorch_model.bin", "safe_serialization");
    assert_int_equal(mkdir(path_of("model.safetensors"), 0700), 0);
    refuse_folder(DS_IO, "a folder in its place", "is a folder", NULL);
}

static void shards_survive_failing_allocations(void **state) {
    put_shards();
    put_index("{\"weight_map\":{\"\\u0078\":\"a.safetensors\",\"y\":\"b\\u002esafetensors\"}}");
    for (uint64_t n = 1;; n++) {
        ds__weights *weights;
        ds_error error = {DS_OK, ""};
        ds__heap_init(&heap, NULL, 0);
        heap.fail_at = n;
        ds_status status = ds__weights_open(&heap, scratch.path, &weights, &error);
        if (status == DS_OK) {
            assert_true(n > 10);
            ds__weights_close(weights);
            break;
        }
        if (status != DS_OUT_OF_MEMORY) fail_msg("allocation %d: %s", (int)n, error.message);
        assert_int_equal(heap.bytes, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)
        TEST(good_files_are_read),
        TEST(names_are_ordered_bytewise),
        TEST(wrong_headers_are_refused),
        TEST(wrong_lengths_are_refused),
        TEST(nesting_is_capped),
        TEST(what_is_no_file_is_refused),
        TEST(damaged_files_do_no_harm),
        TEST(every_failing_allocation_is_reported),
        TEST(a_single_file_is_a_folder_of_one_shard),
        TEST(shards_are_one_list),
        TEST(wrong_indexes_are_refused),
        TEST(what_is_there_instead_is_named),
        TEST(shards_survive_failing_allocations),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
