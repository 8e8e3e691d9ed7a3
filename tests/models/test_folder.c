/* Opening model folders: pooling, normalisation and lengths of sentence-transformers, heads, and the graphs' shape and
 * use of tensors.  What the graphs compute is compared with PyTorch in test_reference.c; refusals are in
 * test_hostile_*.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/context_internal.h"
#include "pipeline/folder.h"
#include "support/scratch_folder.h"

static ds_context *context;
static ds_error error;

static int begin(void **state) {
    (void)state;
    return ds_context_create(NULL, &context, &error) == DS_OK ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    ds_context_destroy(context);
    return 0;
}

static void must_open(ds__folder *folder, const char *path) {
    if (ds__folder_open(&context->heap, path, NULL, folder, &error) != DS_OK) fail_msg("%s: %s", path, error.message);
}

static void open_tiny(ds__folder *folder, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/models/%s", DS_TEST_DATA, name);
    must_open(folder, path);
}

static void copy_tiny(scratch_folder *scratch, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/models/%s", DS_TEST_DATA, name);
    scratch_copy(scratch, path);
}

static void sentence_transformers(void **state) {
    (void)state;
    static const struct expected {
        const char *name;
        bool has_modules, normalize;
        ds_pooling pooling;
        int32_t embed_max_tokens;
    } rows[] = {
        {"st_mean", true, true, DS_POOLING_MEAN, 20},     {"st_cls", true, false, DS_POOLING_CLS, 24},
        {"st_max", true, true, DS_POOLING_MAX, 64},       {"bert_seq_st", true, true, DS_POOLING_MEAN, 40},
        {"bert_base", false, false, DS_POOLING_MEAN, 64}, {"roberta_base", false, false, DS_POOLING_MEAN, 64},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ds__folder folder;
        open_tiny(&folder, rows[i].name);
        assert_int_equal(folder.has_modules, rows[i].has_modules);
        assert_int_equal(folder.normalize, rows[i].normalize);
        assert_int_equal(folder.pooling, rows[i].pooling);
        assert_int_equal(folder.embed_max_tokens, rows[i].embed_max_tokens);
        assert_int_equal(folder.info.embed_max_tokens, rows[i].embed_max_tokens);
        assert_int_equal(folder.info.max_tokens, 64);
        ds__folder_close(&folder);
    }
}

/* Where embedding truncates, from what the files say. NULL: the file is not there. */
static int32_t length_of(const char *model, const char *sentence_name, const char *sentence, const char *tokenizer) {
    scratch_folder scratch;
    ds__folder folder;
    copy_tiny(&scratch, model);
    scratch_delete(&scratch, "tokenizer_config.json");
    if (sentence) scratch_write_text(&scratch, sentence_name, sentence);
    if (tokenizer) scratch_write_text(&scratch, "tokenizer_config.json", tokenizer);
    must_open(&folder, scratch.path);
    int32_t length = folder.embed_max_tokens;
    ds__folder_close(&folder);
    scratch_destroy(&scratch);
    return length;
}

static void lengths(void **state) {
    (void)state;
    static const char *const name = "sentence_bert_config.json";
    assert_int_equal(length_of("bert_base", name, NULL, NULL), 64);
    assert_int_equal(length_of("bert_base", name, NULL, "{\"model_max_length\": 16}"), 16);
    assert_int_equal(length_of("bert_base", name, NULL, "{\"model_max_length\": 512}"), 64);
    assert_int_equal(length_of("bert_base", name, NULL, "{\"model_max_length\": 1000000000000000019884624838656}"), 64);
    assert_int_equal(length_of("bert_base", name, NULL, "{\"model_max_length\": null}"), 64);
    /* max_seq_length replaces the tokenizer's length, in both directions, but never exceeds the positions. */
    assert_int_equal(length_of("bert_base", name, "{\"max_seq_length\": 32}", "{\"model_max_length\": 16}"), 32);
    assert_int_equal(length_of("bert_base", name, "{\"max_seq_length\": 8}", "{\"model_max_length\": 16}"), 8);
    assert_int_equal(length_of("bert_base", name, "{\"max_seq_length\": 8192}", NULL), 64);
    assert_int_equal(length_of("bert_base", name, "{\"max_seq_length\": null}", "{\"model_max_length\": 16}"), 16);
    assert_int_equal(length_of("bert_base", name, "{\"transformer_task\": \"feature-extraction\"}", NULL), 64);
    assert_int_equal(length_of("roberta_base", "sentence_roberta_config.json", "{\"max_seq_length\": 30}", NULL), 30);
    assert_int_equal(length_of("roberta_base", name, "{\"max_seq_length\": 514}", NULL), 64);
}

/* Lower case that the tokenizer makes itself is no reason to refuse. */
static void lower_case(void **state) {
    (void)state;
    static const char *const name = "sentence_bert_config.json", *const lower = "{\"do_lower_case\": true}";
    assert_int_equal(length_of("bert_base", name, lower, lower), 64);
    assert_int_equal(length_of("bert_vocab_only", name, lower, NULL), 64);
}

static void write_pooling(const scratch_folder *scratch, const char *text) {
    scratch_write_text(scratch, "1_Pooling/config.json", text);
}

static void pooling_files(void **state) {
    (void)state;
    static const struct expected {
        const char *text;
        ds_pooling pooling;
    } rows[] = {
        {"{\"word_embedding_dimension\": 32}", DS_POOLING_MEAN},
        {"{\"pooling_mode_cls_token\": false}", DS_POOLING_MEAN},
        {"{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}", DS_POOLING_CLS},
        {"{\"pooling_mode_max_tokens\": true}", DS_POOLING_MAX},
        {"{\"pooling_mode\": [\"max\"], \"include_prompt\": true}", DS_POOLING_MAX},
        {"{\"pooling_mode_mean_tokens\": true, \"pooling_mode\": \"cls\"}", DS_POOLING_CLS},
        {"{\"pooling_mode\": \"cls\", \"pooling_mode_mean_tokens\": true}", DS_POOLING_CLS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        scratch_folder scratch;
        ds__folder folder;
        copy_tiny(&scratch, "st_mean");
        write_pooling(&scratch, rows[i].text);
        must_open(&folder, scratch.path);
        if (folder.pooling != rows[i].pooling) fail_msg("%s is read as pooling %d", rows[i].text, folder.pooling);
        ds__folder_close(&folder);
        scratch_destroy(&scratch);
    }
}

/* A Transformer alone is what a cross-encoder's folder has; an unused default prompt and other keys do no harm. */
static void modules_without_pooling(void **state) {
    (void)state;
    scratch_folder scratch;
    ds__folder folder;
    copy_tiny(&scratch, "st_mean");
    scratch_write_text(
        &scratch, "modules.json",
        "[{\"idx\": 0, \"name\": \"0\", \"path\": \"\", \"type\": \"sentence_transformers.models.Transformer\"}]");
    scratch_write_text(&scratch, "config_sentence_transformers.json",
                       "{\"default_prompt_name\": \"query\", \"prompts\": {\"query\": \"\", \"other\": \"x\"}}");
    must_open(&folder, scratch.path);
    assert_false(folder.has_modules);
    assert_false(folder.normalize);
    assert_int_equal(folder.pooling, DS_POOLING_MEAN);
    ds__folder_close(&folder);
    scratch_destroy(&scratch);
}

/* Without architectures, the weights tell the class. */
static void heads_from_weights(void **state) {
    (void)state;
    static const struct expected {
        const char *name, *class_name;
        ds_head head;
    } rows[] = {
        {"bert_base", "BertModel", DS_HEAD_NONE},
        {"bert_seq", "BertForSequenceClassification", DS_HEAD_SEQUENCE},
        {"bert_token", "BertForTokenClassification", DS_HEAD_TOKEN},
        {"roberta_base", "RobertaModel", DS_HEAD_NONE},
        {"roberta_seq", "RobertaForSequenceClassification", DS_HEAD_SEQUENCE},
        {"roberta_token", "RobertaForTokenClassification", DS_HEAD_TOKEN},
        {"distilbert_base", "DistilBertModel", DS_HEAD_NONE},
        {"distilbert_seq", "DistilBertForSequenceClassification", DS_HEAD_SEQUENCE},
        {"distilbert_token", "DistilBertForTokenClassification", DS_HEAD_TOKEN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        scratch_folder scratch;
        ds__folder folder, original;
        open_tiny(&original, rows[i].name);
        copy_tiny(&scratch, rows[i].name);
        scratch_replace(&scratch, "config.json", "\"architectures\"", "\"architekturen\"");
        must_open(&folder, scratch.path);
        assert_string_equal(folder.info.architecture, rows[i].class_name);
        assert_string_equal(folder.info.architecture, original.info.architecture);
        assert_int_equal(folder.info.head, rows[i].head);
        assert_int_equal(folder.info.labels, original.info.labels);
        assert_int_equal(folder.info.problem, original.info.problem);
        ds__folder_close(&folder);
        ds__folder_close(&original);
        scratch_destroy(&scratch);
    }
}

static void description(void **state) {
    (void)state;
    ds__folder folder;
    open_tiny(&folder, "bert_seq");
    const ds_model_info *info = &folder.info;
    assert_string_equal(info->architecture, "BertForSequenceClassification");
    assert_string_equal(info->model_type, "bert");
    assert_int_equal(info->parameters, 108980 / 4);
    assert_int_equal(info->vocab_size, 260);
    assert_int_equal(info->labels, 5);
    assert_int_equal(info->pooling, DS_POOLING_MEAN);
    ds__folder_close(&folder);
}

/* ---- graphs --------------------------------------------------------------------------------------------------------
 */

/* Builds, verifies, and prints the output's shape, "[B, 32]", and the inputs' names, "ids positions seq_start". */
static void build(const ds__folder *folder, ds_output output, bool *used, char shape[160], char inputs[160]) {
    ds_graph *graph;
    assert_int_equal(ds__graph_create(context, &graph, &error), DS_OK);
    ds__graph_wish wish = {.output = output, .pooling = folder->pooling, .normalize = folder->normalize};
    if (ds__folder_build_graph(folder, &wish, graph, used, &error) != DS_OK)
        fail_msg("%s: %s", folder->path, error.message);
    assert_int_equal(ds__graph_verify(graph, &error), DS_OK);
    assert_int_equal(graph->output_count, 1);
    assert_string_equal(graph->outputs[0].name, "out");
    ds__shape_print(graph, &graph->values[graph->outputs[0].value].shape, shape, 160);
    inputs[0] = '\0';
    for (size_t i = 0; i < graph->value_count; i++) {
        if (graph->values[i].kind != DS__VALUE_INPUT) continue;
        size_t length = strlen(inputs);
        snprintf(inputs + length, 160 - length, "%s%s", length ? " " : "", graph->values[i].name);
    }
    ds__graph_destroy(graph);
}

static void shapes(void **state) {
    (void)state;
    static const struct expected {
        const char *name;
        ds_output output;
        const char *shape, *inputs;
    } rows[] = {
        {"bert_base", DS_OUTPUT_HIDDEN, "[T, 28]", "ids positions type_ids seq_start"},
        {"bert_base", DS_OUTPUT_EMBEDDING, "[B, 28]", "ids positions type_ids seq_start"},
        {"bert_seq", DS_OUTPUT_LOGITS, "[B, 5]", "ids positions type_ids seq_start"},
        {"bert_token", DS_OUTPUT_LOGITS, "[T, 7]", "ids positions type_ids seq_start"},
        {"roberta_seq", DS_OUTPUT_LOGITS, "[B, 2]", "ids positions type_ids seq_start"},
        {"roberta_token", DS_OUTPUT_LOGITS, "[T, 7]", "ids positions type_ids seq_start"},
        {"distilbert_seq", DS_OUTPUT_LOGITS, "[B, 3]", "ids positions seq_start"},
        {"distilbert_token", DS_OUTPUT_LOGITS, "[T, 5]", "ids positions seq_start"},
        {"bert_seq_st", DS_OUTPUT_LOGITS, "[B, 4]", "ids positions type_ids seq_start"},
        {"bert_seq_st", DS_OUTPUT_EMBEDDING, "[B, 24]", "ids positions type_ids seq_start"},
        {"bert_f16", DS_OUTPUT_EMBEDDING, "[B, 32]", "ids positions type_ids seq_start"},
        {"bert_legacy", DS_OUTPUT_EMBEDDING, "[B, 24]", "ids positions type_ids seq_start"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ds__folder folder;
        char shape[160], inputs[160];
        open_tiny(&folder, rows[i].name);
        build(&folder, rows[i].output, NULL, shape, inputs);
        assert_string_equal(shape, rows[i].shape);
        assert_string_equal(inputs, rows[i].inputs);
        ds__folder_close(&folder);
    }
}

/* How many of the folder's tensors whose name contains `part` a graph uses, and how many there are. */
static void count_used(const char *name, ds_output output, const char *part, size_t *used, size_t *all) {
    ds__folder folder;
    char shape[160], inputs[160];
    open_tiny(&folder, name);
    size_t tensors = ds__weights_count(folder.weights);
    bool *marks = calloc(tensors, sizeof *marks);
    assert_non_null(marks);
    build(&folder, output, marks, shape, inputs);
    *used = *all = 0;
    for (size_t i = 0; i < tensors; i++) {
        if (!strstr(ds__weights_at(folder.weights, i)->name.data, part)) continue;
        (*all)++;
        *used += marks[i];
    }
    free(marks);
    ds__folder_close(&folder);
}

static void tensors_used(void **state) {
    (void)state;
    size_t used, all;
    /* A classifier's graph takes every tensor, from whichever shard; a head on tokens has none to spare either. */
    static const char *const whole[] = {"bert_seq", "bert_sharded", "bert_token", "roberta_seq", "distilbert_token"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        count_used(whole[i], DS_OUTPUT_LOGITS, "", &used, &all);
        assert_true(all > 20);
        assert_int_equal(used, all);
    }
    /* Hidden states take neither the pooler nor a head. */
    count_used("bert_seq", DS_OUTPUT_HIDDEN, "", &used, &all);
    assert_int_equal(used, all - 4);
    count_used("bert_legacy", DS_OUTPUT_HIDDEN, "bert.encoder.layer", &used, &all);
    assert_int_equal(used, all);
    count_used("bert_legacy", DS_OUTPUT_HIDDEN, "cls.", &used, &all);
    assert_int_equal(used, 0);
    assert_true(all > 0);
    count_used("bert_prefixless", DS_OUTPUT_HIDDEN, "encoder.layer", &used, &all);
    assert_int_equal(used, all);
}

static void logits_need_a_head(void **state) {
    (void)state;
    static const char *const names[] = {"bert_base", "bert_prefix"};
    static const char *const classes[] = {"BertModel", "BertForPreTraining"};
    for (int i = 0; i < 2; i++) {
        ds__folder folder;
        ds_graph *graph;
        open_tiny(&folder, names[i]);
        assert_int_equal(ds__graph_create(context, &graph, &error), DS_OK);
        assert_int_equal(
            ds__folder_build_graph(&folder, &(ds__graph_wish){.output = DS_OUTPUT_LOGITS, .pooling = DS_POOLING_MEAN},
                                   graph, NULL, &error),
            DS_UNSUPPORTED);
        assert_non_null(strstr(error.message, classes[i]));
        assert_non_null(strstr(error.message, "BertForSequenceClassification"));
        ds__graph_destroy(graph);
        ds__folder_close(&folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentence_transformers),
        cmocka_unit_test(lengths),
        cmocka_unit_test(lower_case),
        cmocka_unit_test(pooling_files),
        cmocka_unit_test(modules_without_pooling),
        cmocka_unit_test(heads_from_weights),
        cmocka_unit_test(description),
        cmocka_unit_test(shapes),
        cmocka_unit_test(tensors_used),
        cmocka_unit_test(logits_need_a_head),
    };
    return cmocka_run_group_tests_name("folders", tests, begin, end);
}
