/* Folders and adapters written from a model's tensors: they open, say the same, and are there whole or not at all. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>
#include <dirent.h>

#include "base/random.h"
#include "formats/json.h"
#include "support/model_case.h"
#include "support/scratch_folder.h"
#include "tensor/convert.h"
#include "train/write_folder.h"

enum { TOKENS = 60, TEXTS = 2, MOST_TENSORS = 80 };
static const int32_t starts[TEXTS + 1] = {0, 21, TOKENS};

static ds_context *context;
static scratch_folder scratch;
static ds_error error;
static uint64_t idle;

/* A tiny model with its tensors as floats, as a trainer has them. */
typedef struct source {
    ds__folder folder;
    ds__kept_tensor tensors[MOST_TENSORS];
    size_t count;
    ds__arena arena;
} source;

static const char *data_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/models/%s", DS_TEST_DATA, name);
    return path;
}

static void open_source(source *s, const char *path) {
    *s = (source){.count = 0};
    if (ds__folder_open(&context->heap, path, NULL, &s->folder, &error) != DS_OK) fail_msg("%s", error.message);
    ds__arena_init(&s->arena, &context->heap, 0);
    for (size_t i = 0; i < ds__weights_count(s->folder.weights); i++) {
        const ds__safetensor *t = ds__weights_at(s->folder.weights, i);
        if (t->dtype == DS_I64) continue; /* position_ids of old files */
        assert_true(s->count < MOST_TENSORS);
        ds__kept_tensor *kept = &s->tensors[s->count++];
        *kept = (ds__kept_tensor){.name = t->name.data, .rank = t->rank};
        memcpy(kept->shape, t->shape, sizeof t->shape);
        size_t n = t->bytes / ds_dtype_size(t->dtype);
        kept->data = ds__arena_alloc(&s->arena, n * sizeof *kept->data);
        assert_non_null(kept->data);
        assert_int_equal(ds__widen_to_f32(t->dtype, t->data, kept->data, n), DS_OK);
    }
}

static void close_source(source *s) {
    ds__arena_deinit(&s->arena);
    ds__folder_close(&s->folder);
}

/* What the source's own configuration says; with its head, where it has one. */
static ds__folder_content content_of(const source *s) {
    const ds__model_config *config = &s->folder.config;
    ds__folder_content content = {.source = &s->folder, .tensors = s->tensors, .tensor_count = s->count};
    if (config->head == DS_HEAD_NONE) return content;
    content.class_name = config->architecture;
    content.labels = config->labels;
    content.label_names = config->label_names;
    content.problem = config->problem;
    return content;
}

static void must_write(const char *name, const ds__folder_content *content) {
    if (ds__folder_write(context, scratch_path(&scratch, name), content, &error) != DS_OK)
        fail_msg("%s", error.message);
}

/* free() it. */
static float *outputs(const char *path, ds_output output, const ds_model_options *options, size_t *count) {
    ds_model *model;
    if (ds_model_open(context, path, options, &model, &error) != DS_OK) fail_msg("%s", error.message);
    ds_session *session = must_session(model);
    const ds_model_info *info = ds_model_describe(model);
    int32_t ids[TOKENS];
    for (int32_t i = 0; i < TOKENS; i++) ids[i] = (i * 37 + 5) % info->vocab_size;
    size_t rows = output == DS_OUTPUT_LOGITS && info->head == DS_HEAD_SEQUENCE ? TEXTS : TOKENS;
    *count = rows * (size_t)(output == DS_OUTPUT_LOGITS ? info->labels : info->hidden_size);
    float *out = calloc(*count, sizeof *out);
    assert_non_null(out);
    ds_packed_batch batch = {ids, NULL, starts, TEXTS};
    if (ds_forward(session, &batch, output, out, &error) != DS_OK) fail_msg("%s: %s", path, error.message);
    ds_session_destroy(session);
    ds_model_close(model);
    return out;
}

static void same_outputs(const char *a, const char *b, ds_output output, const ds_model_options *first) {
    size_t here, there;
    float *x = outputs(a, output, first, &here), *y = outputs(b, output, NULL, &there);
    assert_int_equal(here, there);
    if (memcmp(x, y, here * sizeof *x) != 0) fail_msg("%s and %s: outputs differ", a, b);
    free(x);
    free(y);
}

/* Vectors of texts, so that the tokenizer counts too. */
static void same_vectors(const char *a, const char *b) {
    const char *const paths[] = {a, b};
    const ds_text texts[] = {{"Where is my card?", 17}, {"I want my money back now, please", 32}};
    float *out[2];
    size_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        ds_model *model = must_open(context, paths[i]);
        ds_session *session = must_session(model);
        bytes = TEXTS * (size_t)ds_model_describe(model)->hidden_size * sizeof(float);
        out[i] = malloc(bytes);
        if (ds_embed(session, texts, TEXTS, NULL, out[i], NULL, &error) != DS_OK) fail_msg("%s", error.message);
        ds_session_destroy(session);
        ds_model_close(model);
    }
    assert_memory_equal(out[0], out[1], bytes);
    free(out[0]);
    free(out[1]);
}

static void same_labels(const char *a, const char *b) {
    ds_model *x = must_open(context, a), *y = must_open(context, b);
    const ds_model_info *here = ds_model_describe(x), *there = ds_model_describe(y);
    assert_int_equal(here->labels, there->labels);
    assert_int_equal(here->problem, there->problem);
    assert_string_equal(here->architecture, there->architecture);
    for (int32_t i = 0; i < here->labels; i++) assert_string_equal(ds_model_label(x, i), ds_model_label(y, i));
    ds_model_close(x);
    ds_model_close(y);
}

static bool has(const char *name) { return ds__file_exists(scratch_path(&scratch, name)); }

/* The raw JSON of a member of a file's object; "" when there is none. free() it. */
static char *member(const char *file, const char *name) {
    size_t size;
    char *text = scratch_read(&scratch, file, &size), *found = calloc(1, size + 1);
    assert_non_null(found);
    ds__json json;
    ds__json_init(&json, &context->heap, file, (ds__str){text, size});
    for (ds__str key; ds__json_next_key(&json, &key);) {
        bool wanted = ds__str_is(key, name);
        ds__str raw = ds__json_raw(&json);
        if (!wanted) continue;
        assert_string_equal(found, ""); /* once */
        memcpy(found, raw.data, raw.size);
    }
    if (ds__json_finish(&json, &error) != DS_OK) fail_msg("%s", error.message);
    free(text);
    return found;
}

static void expect_member(const char *file, const char *name, const char *value) {
    char *found = member(file, name);
    assert_string_equal(found, value);
    free(found);
}

static size_t entries(void) {
    size_t count = 0;
    DIR *folder = opendir(scratch.path);
    assert_non_null(folder);
    while (readdir(folder)) count++;
    closedir(folder);
    return count - 2;
}

static int set_up(void **state) {
    (void)state;
    ds_context_options options = {.threads = 2};
    if (ds_context_create(&options, &context, &error) != DS_OK) return -1;
    idle = ds_context_memory(context).bytes;
    scratch_create(&scratch);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_destroy(&scratch);
    bool clean = ds_context_memory(context).bytes == idle;
    ds_context_destroy(context);
    return clean ? 0 : -1;
}

/* ---- Folders ---- */

static void every_model_says_the_same(void **state) {
    (void)state;
    for (size_t i = 0; i < model_case_count(); i++) {
        source s;
        const char *name = model_case_name(i), *from = data_folder(name), *to = scratch_path(&scratch, name);
        open_source(&s, from);
        ds__folder_content content = content_of(&s);
        must_write(name, &content);
        same_outputs(from, to, DS_OUTPUT_HIDDEN, NULL);
        if (content.labels) {
            same_outputs(from, to, DS_OUTPUT_LOGITS, NULL);
            same_labels(from, to);
        } else {
            same_vectors(from, to);
        }
        close_source(&s);
    }
    assert_int_equal(entries(), model_case_count());
}

static void a_new_head_has_its_labels(void **state) {
    (void)state;
    static const char *const names[] = {"say \"hi\"", "back\\slash", "gr\xC3\xBC\xC3\x9F"};
    source s;
    open_source(&s, data_folder("bert_seq_st"));
    for (int given = 0; given < 2; given++) {
        const char *name = given ? "given" : "made";
        ds__folder_content content = content_of(&s);
        content.labels = 3;
        content.label_names = given ? names : NULL;
        content.problem = DS_PROBLEM_MULTI_LABEL;
        content.card = "# A card\n";
        for (size_t i = 0; i < s.count; i++)
            if (ds__str_starts(ds__str_of(s.tensors[i].name), DS_STR("classifier."))) s.tensors[i].shape[0] = 3;
        must_write(name, &content);
        ds_model *model = must_open(context, scratch_path(&scratch, name));
        assert_int_equal(ds_model_describe(model)->labels, 3);
        assert_int_equal(ds_model_describe(model)->problem, DS_PROBLEM_MULTI_LABEL);
        assert_string_equal(ds_model_label(model, 0), given ? names[0] : "LABEL_0");
        assert_string_equal(ds_model_label(model, 2), given ? names[2] : "LABEL_2");
        ds_model_close(model);
    }
    expect_member("made/config.json", "label2id", "{\"LABEL_0\":0,\"LABEL_1\":1,\"LABEL_2\":2}");
    expect_member("given/config.json", "problem_type", "\"multi_label_classification\"");
    expect_member("given/config.json", "num_labels", "");
    expect_member("given/config.json", "dtype", "\"float32\"");
    expect_member("given/config.json", "torch_dtype", "");
    char *card = scratch_read(&scratch, "given/README.md", NULL);
    assert_string_equal(card, "# A card\n");
    free(card);
    close_source(&s);
}

/* A folder of classes is none of vectors; without a head it stays one. */
static void what_sentence_transformers_adds(void **state) {
    (void)state;
    source s;
    scratch_folder from;
    scratch_copy(&from, data_folder("st_max"));
    scratch_write_text(&from, "README.md", "of the source");
    scratch_write_text(&from, "train_log.jsonl", "{}");
    scratch_write_text(&from, "LICENSE", "free");
    scratch_make_folder(&from, "checkpoint-3");
    scratch_write_text(&from, "checkpoint-3/trainer_state.json", "{}");
    scratch_replace(&from, "config.json", "{", "{\"torch_dtype\":\"bfloat16\",\"quantization_config\":{\"a\":[1,2]},");
    scratch_replace(&from, "config.json", "\"dtype\"", "\"other\"");
    open_source(&s, from.path);
    ds__folder_content content = content_of(&s);
    must_write("vectors", &content);
    assert_true(has("vectors/modules.json") && has("vectors/1_Pooling/config.json") &&
                has("vectors/2_Normalize/config.json") && has("vectors/sentence_bert_config.json") &&
                has("vectors/config_sentence_transformers.json") && has("vectors/tokenizer.json") &&
                has("vectors/tokenizer_config.json") && has("vectors/LICENSE"));
    assert_false(has("vectors/README.md") || has("vectors/train_log.jsonl") || has("vectors/checkpoint-3") ||
                 has("vectors/expected.safetensors") || has("vectors/texts.txt"));
    expect_member("vectors/config.json", "torch_dtype", "\"float32\"");
    expect_member("vectors/config.json", "dtype", "");
    expect_member("vectors/config.json", "quantization_config", "");
    same_vectors(data_folder("st_max"), scratch_path(&scratch, "vectors"));
    close_source(&s);
    scratch_destroy(&from);

    open_source(&s, data_folder("bert_seq_st"));
    content = content_of(&s);
    must_write("classes", &content);
    assert_true(has("classes/tokenizer.json"));
    assert_false(has("classes/modules.json") || has("classes/1_Pooling") || has("classes/sentence_bert_config.json"));
    content.labels = 0; /* the configuration's own head and keys stay */
    must_write("as_it_was", &content);
    assert_true(has("as_it_was/modules.json") && has("as_it_was/1_Pooling/config.json"));
    same_labels(data_folder("bert_seq_st"), scratch_path(&scratch, "as_it_was"));
    same_vectors(data_folder("bert_seq_st"), scratch_path(&scratch, "as_it_was"));
    close_source(&s);
}

static void half_precision_is_rounded(void **state) {
    (void)state;
    source s;
    open_source(&s, data_folder("bert_seq"));
    for (int bf16 = 0; bf16 < 2; bf16++) {
        ds__folder_content content = content_of(&s);
        content.dtype = bf16 ? DS_SAVE_BFLOAT16 : DS_SAVE_FLOAT16;
        const char *name = bf16 ? "bf16" : "f16", *config = bf16 ? "bf16/config.json" : "f16/config.json";
        must_write(name, &content);
        expect_member(config, "dtype", bf16 ? "\"bfloat16\"" : "\"float16\"");
        source written;
        open_source(&written, scratch_path(&scratch, name));
        assert_int_equal(written.count, s.count);
        for (size_t i = 0; i < s.count; i++) {
            const ds__safetensor *t = ds__weights_find(written.folder.weights, ds__str_of(s.tensors[i].name), NULL);
            assert_non_null(t);
            assert_int_equal(t->dtype, bf16 ? DS_BF16 : DS_F16);
            for (size_t k = 0; k < t->bytes / 2; k++) {
                uint16_t got;
                memcpy(&got, t->data + 2 * k, 2);
                float x = s.tensors[i].data[k];
                assert_int_equal(got, bf16 ? ds__f32_to_bf16(x) : ds__f32_to_f16(x));
            }
        }
        close_source(&written);
        size_t count;
        free(outputs(scratch_path(&scratch, name), DS_OUTPUT_LOGITS, NULL, &count));
    }
    s.tensors[0].data[1] = -65520;
    ds__folder_content content = content_of(&s);
    content.dtype = DS_SAVE_FLOAT16;
    ds_status status = ds__folder_write(context, scratch_path(&scratch, "large"), &content, &error);
    assert_int_equal(status, DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "-65520"));
    assert_non_null(strstr(error.message, s.tensors[0].name));
    assert_int_equal(entries(), 2);
    close_source(&s);
}

static void int8_is_what_quantising_gives(void **state) {
    (void)state;
    static const char *const names[] = {"bert_seq", "st_mean", "roberta_token"};
    for (int i = 0; i < 3; i++) {
        source s;
        char path[300];
        open_source(&s, data_folder(names[i]));
        ds__folder_content content = content_of(&s);
        content.dtype = DS_SAVE_INT8;
        content.card = "a card";
        snprintf(path, sizeof path, "%s/%s//", scratch.path, names[i]);
        if (ds__folder_write(context, path, &content, &error) != DS_OK) fail_msg("%s", error.message);
        assert_int_equal(entries(), i + 1);
        const ds_model_options quantized = {.quantization = DS_QUANTIZATION_INT8};
        same_outputs(data_folder(names[i]), path, DS_OUTPUT_HIDDEN, &quantized);
        if (content.labels) same_outputs(data_folder(names[i]), path, DS_OUTPUT_LOGITS, &quantized);
        close_source(&s);
    }
    assert_true(has("bert_seq/README.md"));
    expect_member("bert_seq/config.json", "dtype", "\"float32\"");
    char *how = member("bert_seq/config.json", "quantization_config");
    assert_non_null(strstr(how, "deepseek-int8"));
    free(how);
    /* And back: what INT8 left in config.json goes when floats are written again. */
    source s;
    ds__folder eight;
    open_source(&s, data_folder("bert_seq"));
    assert_int_equal(ds__folder_open(&context->heap, scratch_path(&scratch, "bert_seq"), NULL, &eight, &error), DS_OK);
    ds__folder_content content = content_of(&s);
    content.source = &eight;
    must_write("again", &content);
    same_outputs(data_folder("bert_seq"), scratch_path(&scratch, "again"), DS_OUTPUT_LOGITS, NULL);
    expect_member("again/config.json", "quantization_config", "");
    ds__folder_close(&eight);
    close_source(&s);
}

static void what_is_there_stays(void **state) {
    (void)state;
    source s;
    open_source(&s, data_folder("bert_base"));
    ds__folder_content content = content_of(&s);
    scratch_make_folder(&scratch, "empty");
    must_write("empty", &content); /* an empty folder is as good as none */
    scratch_make_folder(&scratch, "full");
    scratch_write_text(&scratch, "full/file", "x");
    for (int d = DS_SAVE_FLOAT32; d <= DS_SAVE_INT8; d++) {
        content.dtype = (ds_save_dtype)d;
        ds_status status = ds__folder_write(context, scratch_path(&scratch, "full"), &content, &error);
        assert_int_equal(status, DS_INVALID_ARGUMENT);
        assert_int_equal(entries(), 2);
    }
    assert_true(has("full/file"));
    close_source(&s);
}

/* ---- Adapters ---- */

static void adapters_are_as_peft_has_them(void **state) {
    (void)state;
    static float numbers[4 * 32];
    static const char *const targets[] = {"query", "value"}, *const saved[] = {"classifier"};
    ds__kept_tensor tensors[] = {
        {"base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight", 2, {4, 32}, numbers, NULL},
        {"base_model.model.bert.encoder.layer.0.attention.self.query.lora_B.weight", 2, {32, 4}, numbers, NULL},
        {"base_model.model.classifier.bias", 1, {5}, numbers, NULL},
    };
    source s;
    for (int i = 0; i < 128; i++) numbers[i] = (float)i / 7;
    open_source(&s, data_folder("bert_seq"));
    ds__adapter_content content = {.base_name = "some/base",
                                   .rank = 4,
                                   .alpha = 8,
                                   .targets = targets,
                                   .target_count = 2,
                                   .saved_modules = saved,
                                   .saved_count = 1,
                                   .task_type = "SEQ_CLS",
                                   .tensors = tensors,
                                   .tensor_count = 3};
    assert_int_equal(ds__adapter_write(context, scratch_path(&scratch, "a"), &content, &error), DS_OK);
    expect_member("a/adapter_config.json", "peft_type", "\"LORA\"");
    expect_member("a/adapter_config.json", "task_type", "\"SEQ_CLS\"");
    expect_member("a/adapter_config.json", "base_model_name_or_path", "\"some/base\"");
    expect_member("a/adapter_config.json", "r", "4");
    expect_member("a/adapter_config.json", "lora_alpha", "8");
    expect_member("a/adapter_config.json", "target_modules", "[\"query\",\"value\"]");
    expect_member("a/adapter_config.json", "modules_to_save", "[\"classifier\"]");
    ds__safetensors *file;
    assert_int_equal(
        ds__safetensors_open(&context->heap, scratch_path(&scratch, "a/adapter_model.safetensors"), &file, &error),
        DS_OK);
    assert_int_equal(ds__safetensors_count(file), 3);
    for (int i = 0; i < 3; i++) {
        const ds__safetensor *t = ds__safetensors_find(file, ds__str_of(tensors[i].name));
        assert_non_null(t);
        assert_int_equal(t->dtype, DS_F32);
        assert_int_equal(t->rank, tensors[i].rank);
        assert_memory_equal(t->shape, tensors[i].shape, (size_t)t->rank * sizeof *t->shape);
        assert_memory_equal(t->data, numbers, t->bytes);
    }
    ds__safetensors_close(file);
    content.saved_count = 0;
    content.alpha = 0.5f;
    assert_int_equal(ds__adapter_write(context, scratch_path(&scratch, "b"), &content, &error), DS_OK);
    expect_member("b/adapter_config.json", "modules_to_save", "null");
    expect_member("b/adapter_config.json", "lora_alpha", "0.5");
    for (uint64_t n = 1;; n++) {
        context->heap.fail_at = ds_context_memory(context).allocations + n;
        ds_status status = ds__adapter_write(context, scratch_path(&scratch, "c"), &content, &error);
        bool reached = ds_context_memory(context).allocations >= context->heap.fail_at;
        context->heap.fail_at = 0;
        if (!reached) break;
        assert_int_equal(status, DS_OUT_OF_MEMORY);
        assert_int_equal(entries(), 2);
    }
    close_source(&s);
}

/* ---- Faults ---- */

static void every_allocation_may_fail(void **state) {
    (void)state;
    static const ds_save_dtype dtypes[] = {DS_SAVE_FLOAT32, DS_SAVE_BFLOAT16, DS_SAVE_INT8};
    source s;
    open_source(&s, data_folder("st_mean"));
    for (int d = 0; d < 3; d++) {
        ds__folder_content content = content_of(&s);
        content.dtype = dtypes[d];
        const uint64_t before = ds_context_memory(context).bytes;
        uint64_t n = 1;
        for (;; n++) {
            context->heap.fail_at = ds_context_memory(context).allocations + n;
            ds_status status = ds__folder_write(context, scratch_path(&scratch, "out"), &content, &error);
            bool reached = ds_context_memory(context).allocations >= context->heap.fail_at;
            context->heap.fail_at = 0;
            assert_int_equal(ds_context_memory(context).bytes, before);
            if (!reached) {
                assert_int_equal(status, DS_OK);
                break;
            }
            if (status != DS_OUT_OF_MEMORY)
                fail_msg("allocation %d: %s: %s", (int)n, ds_status_name(status), error.message);
            assert_int_equal(entries(), 0);
        }
        assert_true(n > 10);
        same_vectors(scratch_path(&scratch, "out"), scratch_path(&scratch, "out"));
        scratch_delete(&scratch, "out");
    }
    close_source(&s);
}

static void a_full_disk_leaves_nothing(void **state) {
    (void)state;
    struct rlimit was, limit;
    source s;
    open_source(&s, data_folder("st_mean"));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    for (int d = 0; d < 2; d++) {
        ds__folder_content content = content_of(&s);
        content.dtype = d ? DS_SAVE_INT8 : DS_SAVE_FLOAT32;
        ds_status status = DS_IO;
        int refusals = 0;
        for (rlim_t bytes = 0; status != DS_OK; bytes += 16001, refusals++) {
            limit = (struct rlimit){bytes, was.rlim_max};
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
            status = ds__folder_write(context, scratch_path(&scratch, "out"), &content, &error);
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
            if (status != DS_OK && status != DS_IO) fail_msg("%s", error.message);
            if (status != DS_OK) assert_int_equal(entries(), 0);
        }
        assert_true(refusals > 5);
        scratch_delete(&scratch, "out");
    }
    close_source(&s);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_model_says_the_same),     TEST(a_new_head_has_its_labels),     TEST(what_sentence_transformers_adds),
        TEST(half_precision_is_rounded),     TEST(int8_is_what_quantising_gives), TEST(what_is_there_stays),
        TEST(adapters_are_as_peft_has_them), TEST(every_allocation_may_fail),     TEST(a_full_disk_leaves_nothing),
    };
    return cmocka_run_group_tests_name("written folders", tests, NULL, NULL);
}
