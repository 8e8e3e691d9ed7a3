/* Reading config.json: the tiny models, and what is filled in where a file says less. Refusals: test_hostile_folders.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/context_internal.h"
#include "models/architecture.h"
#include "support/scratch_folder.h"

/* The sizes of a BERT, to put in front of what a test is about. */
#define SIZES                                                                                                          \
    "\"vocab_size\": 100, \"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "                 \
    "\"intermediate_size\": 64, \"max_position_embeddings\": 40"
#define BERT "{\"model_type\": \"bert\", " SIZES
#define CLASSIFIER BERT ", \"architectures\": [\"BertForSequenceClassification\"]"

static ds__heap heap;
static ds__arena arena;
static ds__model_config config;
static const ds__architecture *architecture;
static ds_error error;

static int begin(void **state) {
    (void)state;
    ds__heap_init(&heap, NULL, 0);
    ds__arena_init(&arena, &heap, 0);
    return 0;
}

static int end(void **state) {
    (void)state;
    ds__arena_deinit(&arena);
    assert_int_equal(heap.bytes, 0);
    return 0;
}

static ds_status read_text(const char *text) {
    scratch_folder folder;
    scratch_create(&folder);
    scratch_write_text(&folder, "config.json", text);
    ds_status status = ds__model_config_read(&arena, folder.path, &config, &architecture, &error);
    scratch_destroy(&folder);
    return status;
}

static void must_read(const char *text) {
    if (read_text(text) != DS_OK) fail_msg("%s: %s", text, error.message);
}

static void must_refuse(const char *text, ds_status status, const char *needle) {
    assert_int_equal(read_text(text), status);
    if (!strstr(error.message, needle)) fail_msg("\"%s\" is not in the sentence: %s", needle, error.message);
}

static void tiny_models(void **state) {
    (void)state;
    static const struct expected {
        const char *folder, *class_name, *model_type;
        int32_t vocab, hidden, layers, heads, inner, max_tokens, first_position, types, labels;
        ds_head head;
        ds_problem problem;
        ds__activation activation;
        const char *last_label;
    } rows[] = {
        {"bert_base", "BertModel", "bert", 260, 28, 2, 4, 66, 64, 0, 2, 0, DS_HEAD_NONE, 0, DS__ACTIVATION_GELU, NULL},
        {"bert_seq", "BertForSequenceClassification", "bert", 260, 32, 2, 2, 52, 64, 0, 2, 5, DS_HEAD_SEQUENCE,
         DS_PROBLEM_SINGLE_LABEL, DS__ACTIVATION_GELU, "transfer_fee_charged"},
        {"bert_multilabel", "BertForSequenceClassification", "bert", 260, 24, 2, 3, 40, 64, 0, 2, 12, DS_HEAD_SEQUENCE,
         DS_PROBLEM_MULTI_LABEL, DS__ACTIVATION_GELU, "über"},
        {"bert_regression", "BertForSequenceClassification", "bert", 260, 24, 2, 2, 56, 64, 0, 2, 1, DS_HEAD_SEQUENCE,
         DS_PROBLEM_REGRESSION, DS__ACTIVATION_GELU, "LABEL_0"},
        {"bert_token", "BertForTokenClassification", "bert", 280, 24, 3, 4, 42, 64, 0, 2, 7, DS_HEAD_TOKEN,
         DS_PROBLEM_SINGLE_LABEL, DS__ACTIVATION_GELU, "I-ORG"},
        {"bert_relu", "BertModel", "bert", 260, 30, 2, 3, 44, 64, 0, 2, 0, DS_HEAD_NONE, 0, DS__ACTIVATION_RELU, NULL},
        {"bert_gelu_new", "BertModel", "bert", 260, 24, 2, 2, 60, 64, 0, 2, 0, DS_HEAD_NONE, 0,
         DS__ACTIVATION_GELU_TANH, NULL},
        {"bert_prefix", "BertForPreTraining", "bert", 260, 24, 2, 3, 50, 64, 0, 2, 0, DS_HEAD_NONE, 0,
         DS__ACTIVATION_GELU, NULL},
        {"roberta_seq", "RobertaForSequenceClassification", "roberta", 350, 28, 2, 4, 40, 64, 2, 1, 2, DS_HEAD_SEQUENCE,
         DS_PROBLEM_SINGLE_LABEL, DS__ACTIVATION_GELU, "LABEL_1"},
        {"roberta_token", "RobertaForTokenClassification", "roberta", 350, 24, 2, 2, 46, 64, 2, 1, 7, DS_HEAD_TOKEN,
         DS_PROBLEM_SINGLE_LABEL, DS__ACTIVATION_GELU, "I-ORG"},
        {"distilbert_seq", "DistilBertForSequenceClassification", "distilbert", 260, 28, 2, 2, 58, 64, 0, 0, 3,
         DS_HEAD_SEQUENCE, DS_PROBLEM_SINGLE_LABEL, DS__ACTIVATION_GELU, "POSITIVE"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct expected *e = &rows[i];
        char folder[512];
        snprintf(folder, sizeof folder, "%s/models/%s", DS_TEST_DATA, e->folder);
        if (ds__model_config_read(&arena, folder, &config, &architecture, &error) != DS_OK)
            fail_msg("%s: %s", e->folder, error.message);
        assert_string_equal(config.architecture, e->class_name);
        assert_string_equal(config.model_type, e->model_type);
        assert_string_equal(architecture->model_type, e->model_type);
        assert_int_equal(config.vocab_size, e->vocab);
        assert_int_equal(config.hidden_size, e->hidden);
        assert_int_equal(config.layers, e->layers);
        assert_int_equal(config.heads, e->heads);
        assert_int_equal(config.intermediate_size, e->inner);
        assert_int_equal(ds__max_tokens(&config), e->max_tokens);
        assert_int_equal(config.first_position, e->first_position);
        assert_int_equal(config.type_vocab_size, e->types);
        assert_int_equal(config.head, e->head);
        assert_int_equal(config.activation, e->activation);
        assert_int_equal(config.labels, e->labels);
        if (!e->labels) continue;
        assert_int_equal(config.problem, e->problem);
        assert_string_equal(config.label_names[e->labels - 1], e->last_label);
    }
}

static void defaults(void **state) {
    (void)state;
    must_read(BERT ", \"dropout\": {\"deep\": [1, [2, {}]]}, \"pad_token_id\": null}");
    assert_null(config.architecture);
    assert_int_equal(config.type_vocab_size, 2);
    assert_int_equal(config.first_position, 0);
    assert_int_equal(config.activation, DS__ACTIVATION_GELU);
    assert_true(config.layer_norm_epsilon == 1e-12f);
    must_read("\xEF\xBB\xBF" BERT
              ", \"architectures\": [], \"layer_norm_eps\": 0.05, \"position_embedding_type\": null}");
    assert_null(config.architecture);
    assert_true(config.layer_norm_epsilon == 0.05f);
    must_read("{\"model_type\": \"roberta\", " SIZES "}");
    assert_int_equal(config.first_position, 2);
    assert_int_equal(ds__max_tokens(&config), 38);
    must_read("{\"model_type\": \"roberta\", " SIZES ", \"pad_token_id\": 0}");
    assert_int_equal(config.first_position, 1);
    /* DistilBERT's epsilon is a constant, whatever the file says. */
    must_read("{\"model_type\": \"distilbert\", \"vocab_size\": 100, \"dim\": 32, \"n_layers\": 2, \"n_heads\": 4, "
              "\"hidden_dim\": 64, \"max_position_embeddings\": 40, \"layer_norm_eps\": 0.5, \"activation\": \"relu\", "
              "\"hidden_act\": \"swish\", \"sinusoidal_pos_embds\": true}");
    assert_true(config.layer_norm_epsilon == 1e-12f);
    assert_int_equal(config.type_vocab_size, 0);
    assert_int_equal(config.intermediate_size, 64);
    assert_int_equal(config.activation, DS__ACTIVATION_RELU);
}

static void activations(void **state) {
    (void)state;
    must_read(BERT ", \"hidden_act\": \"gelu_pytorch_tanh\"}");
    assert_int_equal(config.activation, DS__ACTIVATION_GELU_TANH);
    must_refuse(BERT ", \"hidden_act\": \"gelu_fast\"}", DS_UNSUPPORTED, "gelu_fast");
}

/* A configuration older than model_type is known by its class. */
static void without_model_type(void **state) {
    (void)state;
    must_read("{\"architectures\": [\"BertForMaskedLM\"], " SIZES "}");
    assert_ptr_equal(architecture, &ds__architecture_bert);
    assert_string_equal(config.model_type, "bert");
    must_read("{\"architectures\": [\"RobertaModel\"], " SIZES "}");
    assert_ptr_equal(architecture, &ds__architecture_roberta);
    must_refuse("{\"architectures\": [\"BertGenerationEncoder\"], " SIZES "}", DS_UNSUPPORTED, "BertGenerationEncoder");
    must_refuse("{\"architectures\": [\"XLMRobertaModel\"], " SIZES "}", DS_UNSUPPORTED, "XLMRobertaModel");
    must_refuse("{" SIZES "}", DS_BAD_FORMAT, "neither model_type nor architectures");
}

static void heads(void **state) {
    (void)state;
    must_read(CLASSIFIER "}");
    assert_int_equal(config.head, DS_HEAD_SEQUENCE);
    must_read(BERT ", \"architectures\": [\"BertForTokenClassification\", \"BertModel\"]}");
    assert_int_equal(config.head, DS_HEAD_TOKEN);
    /* Of a head that is not run, not even the labels are looked at. */
    must_read(BERT
              ", \"architectures\": [\"BertForQuestionAnswering\"], \"id2label\": {\"x\": []}, \"num_labels\": 0}");
    assert_int_equal(config.head, DS_HEAD_NONE);
    assert_int_equal(config.labels, 0);
}

static void labels(void **state) {
    (void)state;
    must_read(CLASSIFIER "}");
    assert_int_equal(config.labels, 2);
    assert_string_equal(config.label_names[1], "LABEL_1");
    must_read(CLASSIFIER ", \"num_labels\": 3, \"id2label\": null}");
    assert_int_equal(config.labels, 3);
    assert_string_equal(config.label_names[2], "LABEL_2");
    /* Any order; numbers and truth values stand for themselves; id2label counts, not a stale num_labels. */
    must_read(CLASSIFIER ", \"num_labels\": 7, \"id2label\": {\"2\": \"a\\u00e9\", \"0\": 5, \"1\": true}}");
    assert_int_equal(config.labels, 3);
    assert_string_equal(config.label_names[0], "5");
    assert_string_equal(config.label_names[1], "true");
    assert_string_equal(config.label_names[2], "aé");
    must_refuse(CLASSIFIER ", \"id2label\": {\"0\": \"a\", \"01\": \"b\"}}", DS_BAD_FORMAT, "\"01\"");
    must_refuse(CLASSIFIER ", \"id2label\": {\"0\": \"a\", \"-1\": \"b\"}}", DS_BAD_FORMAT, "\"-1\"");
    must_refuse(CLASSIFIER ", \"id2label\": {\"0\": \"a\", \"1\": null}}", DS_BAD_FORMAT, "id2label[\"1\"]");
    must_refuse(CLASSIFIER ", \"id2label\": {\"0\": \"a\", \"99999999999999999999\": \"b\"}}", DS_BAD_FORMAT,
                "2 entries");
}

static void problems(void **state) {
    (void)state;
    must_read(CLASSIFIER ", \"problem_type\": null}");
    assert_int_equal(config.problem, DS_PROBLEM_SINGLE_LABEL);
    must_read(CLASSIFIER ", \"num_labels\": 1}");
    assert_int_equal(config.problem, DS_PROBLEM_REGRESSION);
    must_read(CLASSIFIER ", \"num_labels\": 1, \"problem_type\": \"multi_label_classification\"}");
    assert_int_equal(config.problem, DS_PROBLEM_MULTI_LABEL);
    must_read(CLASSIFIER ", \"num_labels\": 4, \"problem_type\": \"regression\"}");
    assert_int_equal(config.problem, DS_PROBLEM_REGRESSION);
    must_read(BERT ", \"architectures\": [\"BertForTokenClassification\"], \"num_labels\": 1}");
    assert_int_equal(config.problem, DS_PROBLEM_SINGLE_LABEL);
    must_refuse(CLASSIFIER ", \"num_labels\": 1, \"problem_type\": \"single_label_classification\"}", DS_BAD_FORMAT,
                "1 label");
}

/* What is wrong is said with the field's name, also where the value is no JSON at all. */
static void mistakes_name_the_field(void **state) {
    (void)state;
    must_refuse("{\"hidden_size\": NaN, \"model_type\": \"bert\"}", DS_BAD_FORMAT, "hidden_size is NaN");
    must_refuse("{\"hidden_size\": 07, \"model_type\": \"bert\"}", DS_BAD_FORMAT, "line 1");
    must_refuse("{\"architectures\": {}, \"model_type\": \"bert\"}", DS_BAD_FORMAT, "architectures");
    must_refuse(BERT ", \"max_position_embeddings\": 2147483648}", DS_BAD_FORMAT, "2147483648");
    must_refuse(BERT ", \"num_attention_heads\": 64}", DS_BAD_FORMAT, "num_attention_heads, which is 64");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tiny_models, begin, end),
        cmocka_unit_test_setup_teardown(defaults, begin, end),
        cmocka_unit_test_setup_teardown(activations, begin, end),
        cmocka_unit_test_setup_teardown(without_model_type, begin, end),
        cmocka_unit_test_setup_teardown(heads, begin, end),
        cmocka_unit_test_setup_teardown(labels, begin, end),
        cmocka_unit_test_setup_teardown(problems, begin, end),
        cmocka_unit_test_setup_teardown(mistakes_name_the_field, begin, end),
    };
    return cmocka_run_group_tests_name("config.json", tests, NULL, NULL);
}
