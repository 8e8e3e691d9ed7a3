/* Model folders that are wrong, each in one way: what is in them, config.json, the modules of sentence-transformers,
 * the tokenizer.  Every one is refused with one sentence that names the file, the field and the values that disagree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>

#include "support/hostile_case.h"

/* ---- what only one case does ---- */

static void empty_folder(const scratch_folder *folder, const hostile_case *row) {
    (void)row;
    DIR *entries = opendir(folder->path);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries));)
        if (entry->d_name[0] != '.') scratch_delete(folder, entry->d_name);
    closedir(entries);
}

static void grow_to_17_mib(const scratch_folder *folder, const hostile_case *row) {
    scratch_resize(folder, row->file, 17 << 20);
}

/* old_text gets the name new_text. */
static void rename_file(const scratch_folder *folder, const hostile_case *row) {
    assert_int_equal(rename(scratch_path(folder, row->old_text), scratch_path(folder, row->new_text)), 0);
}

/* A line more in vocab.txt than the embedding table has rows. */
static void add_a_token(const scratch_folder *folder, const hostile_case *row) {
    size_t size;
    char *text = scratch_read(folder, row->file, &size), *more = malloc(size + 4);
    assert_non_null(more);
    memcpy(more, text, size);
    memcpy(more + size, "zzz\n", 4);
    scratch_write(folder, row->file, more, size + 4);
    free(text);
    free(more);
}

/* The folder asks for lower case, its tokenizer keeps the case. */
static void ask_for_lower_case(const scratch_folder *folder, const hostile_case *row) {
    (void)row;
    scratch_replace(folder, "sentence_bert_config.json", "\"do_lower_case\": false", "\"do_lower_case\": true");
    scratch_replace(folder, "tokenizer_config.json", "\"do_lower_case\": true", "\"do_lower_case\": false");
}

/* ---- the cases ---- */

/* clang-format off */
#define CONFIG(title, old, new, status, ...)                                                                           \
    {title, "bert_seq", "config.json", damage_edit, old, new, status, {"/config.json", __VA_ARGS__}}
/* What config.json says is not what the weights are. */
#define SHAPES(title, old, new, status, ...)                                                                           \
    {title, "bert_seq", "config.json", damage_edit, old, new, status, {"/model.safetensors", __VA_ARGS__}}
#define MODULES(title, old, new, status, ...)                                                                          \
    {title, "st_mean", "modules.json", damage_edit, old, new, status, {"/modules.json", __VA_ARGS__}}
#define POOLING(title, old, new, status, ...)                                                                          \
    {title, "st_mean", "1_Pooling/config.json", damage_edit, old, new, status, {"/1_Pooling/config.json", __VA_ARGS__}}

static const hostile_case file_cases[] = {
    {"empty folder", "bert_seq", "", empty_folder, 0, 0, DS_NOT_FOUND, {"config.json"}},
    {"no config.json", "bert_seq", "config.json", damage_delete, 0, 0, DS_NOT_FOUND, {"has no config.json"}},
    {"config.json is a folder", "bert_seq", "config.json", damage_folder_instead, 0, 0, DS_IO, {"/config.json",
     "folder"}},
    {"config.json is a FIFO", "bert_seq", "config.json", damage_fifo_instead, 0, 0, DS_IO, {"/config.json",
     "regular file"}},
    {"config.json is empty", "bert_seq", "config.json", damage_overwrite, 0, "", DS_BAD_FORMAT, {"/config.json",
     "empty"}},
    {"config.json is unreadable", "bert_seq", "config.json", damage_unreadable, 0, 0, DS_IO, {"/config.json",
     "denied"}},
    {"config.json is a word", "bert_seq", "config.json", damage_overwrite, 0, "hello", DS_BAD_FORMAT,
     {"/config.json"}},
    {"config.json is a list", "bert_seq", "config.json", damage_overwrite, 0, "[]", DS_BAD_FORMAT, {"/config.json"}},
    {"config.json is cut", "bert_seq", "config.json", damage_cut_in_half, 0, 0, DS_BAD_FORMAT, {"/config.json"}},
    {"config.json has zeros behind it", "bert_seq", "config.json", damage_add_zero_byte, 0, 0, DS_BAD_FORMAT,
     {"/config.json"}},
    {"config.json is huge", "bert_seq", "config.json", grow_to_17_mib, 0, 0, DS_BAD_FORMAT, {"/config.json",
     "17825792", "16777216"}},
    {"config.json nests lists", "bert_seq", "config.json", damage_nest, "[", 0, DS_BAD_FORMAT, {"/config.json"}},
    {"config.json nests objects", "bert_seq", "config.json", damage_nest, "{\"a\":", 0, DS_BAD_FORMAT,
     {"/config.json"}},
    {"no weights", "bert_seq", "model.safetensors", damage_delete, 0, 0, DS_NOT_FOUND, {"model.safetensors"}},
    {"only a pickle", "bert_seq", "", rename_file, "model.safetensors", "pytorch_model.bin", DS_UNSUPPORTED,
     {"pytorch_model.bin", "safetensors"}},
    {"weights are a folder", "bert_seq", "model.safetensors", damage_folder_instead, 0, 0, DS_IO,
     {"/model.safetensors", "folder"}},
    {"weights are unreadable", "bert_seq", "model.safetensors", damage_unreadable, 0, 0, DS_IO, {"/model.safetensors",
     "denied"}},
};

static const hostile_case config_cases[] = {
    CONFIG("hidden_size is NaN", "\"hidden_size\": 32", "\"hidden_size\": NaN", DS_BAD_FORMAT, "hidden_size", "NaN"),
    CONFIG("hidden_size is negative", "\"hidden_size\": 32", "\"hidden_size\": -32", DS_BAD_FORMAT, "hidden_size",
           "-32"),
    CONFIG("hidden_size is 0", "\"hidden_size\": 32", "\"hidden_size\": 0", DS_BAD_FORMAT, "hidden_size", "0", "1"),
    CONFIG("hidden_size is huge", "\"hidden_size\": 32", "\"hidden_size\": 4000000000", DS_BAD_FORMAT, "hidden_size",
           "4000000000", "65536"),
    CONFIG("hidden_size is 10^30", "\"hidden_size\": 32", "\"hidden_size\": 1000000000000000000000000000000",
           DS_BAD_FORMAT, "hidden_size", "1000000000000000000000000000000", "65536"),
    CONFIG("hidden_size is text", "\"hidden_size\": 32", "\"hidden_size\": \"32\"", DS_BAD_FORMAT, "hidden_size",
           "\"32\""),
    CONFIG("hidden_size is a fraction", "\"hidden_size\": 32", "\"hidden_size\": 32.5", DS_BAD_FORMAT, "hidden_size",
           "32.5"),
    CONFIG("hidden_size is null", "\"hidden_size\": 32", "\"hidden_size\": null", DS_BAD_FORMAT, "hidden_size",
           "null"),
    CONFIG("hidden_size is a list", "\"hidden_size\": 32", "\"hidden_size\": [32]", DS_BAD_FORMAT, "hidden_size"),
    CONFIG("hidden_size is true", "\"hidden_size\": 32", "\"hidden_size\": true", DS_BAD_FORMAT, "hidden_size",
           "is true,"),
    CONFIG("hidden_size is missing", "\"hidden_size\": 32,", "", DS_BAD_FORMAT, "has no hidden_size"),
    SHAPES("hidden_size is not the weights'", "\"hidden_size\": 32", "\"hidden_size\": 34", DS_SHAPE_MISMATCH,
           "[260, 32]", "[260, 34]"),
    CONFIG("heads do not divide", "\"num_attention_heads\": 2", "\"num_attention_heads\": 3", DS_BAD_FORMAT,
           "num_attention_heads, which is 3", "hidden_size is 32"),
    CONFIG("no heads", "\"num_attention_heads\": 2", "\"num_attention_heads\": 0", DS_BAD_FORMAT,
           "num_attention_heads"),
    CONFIG("negative layers", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": -1", DS_BAD_FORMAT,
           "num_hidden_layers", "-1"),
    CONFIG("a million layers", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1000000", DS_BAD_FORMAT,
           "num_hidden_layers", "1000000", "1024"),
    SHAPES("a layer too many", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", DS_NOT_FOUND,
           "encoder.layer.2.attention.self.query.weight"),
    SHAPES("vocab_size too large", "\"vocab_size\": 260", "\"vocab_size\": 261", DS_SHAPE_MISMATCH,
           "word_embeddings.weight", "[260, 32]", "[261, 32]"),
    CONFIG("vocab_size is infinite", "\"vocab_size\": 260", "\"vocab_size\": Infinity", DS_BAD_FORMAT, "vocab_size",
           "Infinity"),
    CONFIG("vocab_size is 1e400", "\"vocab_size\": 260", "\"vocab_size\": 1e400", DS_BAD_FORMAT, "vocab_size",
           "1e400"),
    SHAPES("more positions than rows", "\"max_position_embeddings\": 64", "\"max_position_embeddings\": 512",
           DS_SHAPE_MISMATCH, "position_embeddings.weight", "[64, 32]", "[512, 32]"),
    SHAPES("another intermediate_size", "\"intermediate_size\": 52", "\"intermediate_size\": 128", DS_SHAPE_MISMATCH,
           "intermediate.dense.weight", "[52, 32]", "[128, 32]"),
    SHAPES("more token types than rows", "\"type_vocab_size\": 2", "\"type_vocab_size\": 3", DS_SHAPE_MISMATCH,
           "token_type_embeddings.weight", "[2, 32]", "[3, 32]"),
    CONFIG("no token types", "\"type_vocab_size\": 2", "\"type_vocab_size\": 0", DS_BAD_FORMAT, "type_vocab_size",
           "0"),
    CONFIG("layer_norm_eps is text", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": \"1e-12\"", DS_BAD_FORMAT,
           "layer_norm_eps", "\"1e-12\""),
    CONFIG("layer_norm_eps is negative", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": -1.0", DS_BAD_FORMAT,
           "layer_norm_eps", "-1"),
    CONFIG("layer_norm_eps is NaN", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": NaN", DS_BAD_FORMAT,
           "layer_norm_eps", "NaN"),
    CONFIG("another activation", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"swish\"", DS_UNSUPPORTED,
           "hidden_act", "swish", "gelu_new"),
    CONFIG("activation is a number", "\"hidden_act\": \"gelu\"", "\"hidden_act\": 7", DS_BAD_FORMAT,
           "hidden_act is 7,", "a text"),
    CONFIG("relative positions", "\"use_cache\": true", "\"position_embedding_type\": \"relative_key\"",
           DS_UNSUPPORTED, "position_embedding_type", "relative_key", "absolute"),
    CONFIG("a decoder", "\"is_decoder\": false", "\"is_decoder\": true", DS_UNSUPPORTED, "is_decoder", "true",
           "false"),
    CONFIG("cross attention", "\"add_cross_attention\": false", "\"add_cross_attention\": true", DS_UNSUPPORTED,
           "add_cross_attention"),
    CONFIG("another architecture", "\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"", DS_UNSUPPORTED,
           "model_type", "gpt2", "bert, roberta, distilbert"),
    CONFIG("model_type is a number", "\"model_type\": \"bert\"", "\"model_type\": 1", DS_BAD_FORMAT, "model_type"),
    SHAPES("model_type of another family", "\"model_type\": \"bert\"", "\"model_type\": \"roberta\"", DS_NOT_FOUND,
           "roberta.embeddings.word_embeddings.weight"),
    CONFIG("architectures is text", "[\n    \"BertForSequenceClassification\"\n  ]", "\"BertModel\"", DS_BAD_FORMAT,
           "architectures"),
    CONFIG("architectures holds a number", "[\n    \"BertForSequenceClassification\"\n  ]", "[5]", DS_BAD_FORMAT,
           "architectures[0] is", "a text"),
    {"config.json says nothing", "bert_seq", "config.json", damage_overwrite, 0, "{}", DS_BAD_FORMAT, {"/config.json",
     "model_type", "architectures", "bert, roberta, distilbert"}},
    {"an old config.json of another model", "bert_seq", "config.json", damage_overwrite, 0,
     "{\"architectures\": [\"GPT2Model\"]}", DS_UNSUPPORTED, {"/config.json", "model_type", "GPT2Model",
     "bert, roberta, distilbert"}},
    CONFIG("unknown problem_type", "single_label_classification", "ranking", DS_UNSUPPORTED, "problem_type",
           "ranking"),
    CONFIG("a hole in id2label", "\"4\": \"transfer_fee_charged\"", "\"5\": \"transfer_fee_charged\"", DS_BAD_FORMAT,
           "id2label", "5 entries", "\"5\""),
    CONFIG("a key of id2label twice", "\"4\": \"transfer_fee_charged\"", "\"3\": \"transfer_fee_charged\"",
           DS_BAD_FORMAT, "id2label", "\"3\" twice", "transfer_fee_charged"),
    CONFIG("a key of id2label is a word", "\"4\": \"transfer_fee_charged\"", "\"four\": \"transfer_fee_charged\"",
           DS_BAD_FORMAT, "id2label", "\"four\""),
    CONFIG("a name in id2label is a list", "\"4\": \"transfer_fee_charged\"", "\"4\": []", DS_BAD_FORMAT,
           "id2label[\"4\"]"),
    SHAPES("fewer names than the classifier has rows", ",\n    \"4\": \"transfer_fee_charged\"\n", "",
           DS_SHAPE_MISMATCH, "classifier.weight", "[5, 32]", "[4, 32]"),
    CONFIG("id2label is a list", "\"id2label\": {", "\"id2label\": [], \"old\": {", DS_BAD_FORMAT, "id2label"),
    CONFIG("id2label is empty", "\"id2label\": {", "\"id2label\": {}, \"old\": {", DS_BAD_FORMAT, "id2label"),
    CONFIG("one label of several", "\"id2label\": {", "\"id2label\": {\"0\": \"a\"}, \"old\": {", DS_BAD_FORMAT,
           "problem_type", "single_label_classification", "1 label"),
    SHAPES("num_labels is not the classifier's", "\"id2label\": {", "\"num_labels\": 7, \"old\": {",
           DS_SHAPE_MISMATCH, "classifier.weight", "[5, 32]", "[7, 32]"),
    CONFIG("num_labels is negative", "\"id2label\": {", "\"num_labels\": -7, \"old\": {", DS_BAD_FORMAT, "num_labels",
           "-7"),
    CONFIG("invalid UTF-8 in a name", "transfer_fee_charged\"\n  }", "\xff\xfe\"\n  }", DS_BAD_FORMAT, "line 19",
           "UTF-8"),
    {"DistilBERT without dim", "distilbert_seq", "config.json", damage_edit, "\"dim\"", "\"hidden_size\"",
     DS_BAD_FORMAT, {"/config.json", "has no dim"}},
    {"DistilBERT's heads do not divide", "distilbert_seq", "config.json", damage_edit, "\"n_heads\": 2",
     "\"n_heads\": 3", DS_BAD_FORMAT, {"/config.json", "n_heads, which is 3", "dim is 28"}},
    {"RoBERTa pads behind its positions", "roberta_seq", "config.json", damage_edit, "\"pad_token_id\": 1",
     "\"pad_token_id\": 65", DS_BAD_FORMAT, {"/config.json", "pad_token_id, which is 65",
     "max_position_embeddings is 66"}},
};

static const hostile_case module_cases[] = {
    MODULES("a Dense module", "models.Normalize", "models.Dense", DS_UNSUPPORTED, "models.Dense", "Pooling"),
    MODULES("a module of somebody else", "sentence_transformers.models.Normalize", "custom.Normalize", DS_UNSUPPORTED,
            "custom.Normalize"),
    MODULES("two Poolings", "models.Normalize", "models.Pooling", DS_UNSUPPORTED, "module 2", "order"),
    MODULES("Normalize in front of Pooling", "models.Pooling", "models.Normalize", DS_UNSUPPORTED, "module 1",
            "order"),
    MODULES("no Transformer", "models.Transformer", "models.Pooling", DS_UNSUPPORTED, "module 0", "order"),
    MODULES("the path of a module leaves the folder", "\"1_Pooling\"", "\"../1_Pooling\"", DS_BAD_FORMAT, "module 1",
            "../1_Pooling"),
    MODULES("the path of a module leaves it later", "\"1_Pooling\"", "\"a/b/../../../x\"", DS_BAD_FORMAT, "module 1",
            "a/b/../../../x"),
    MODULES("the path of a module is absolute", "\"1_Pooling\"", "\"/etc\"", DS_BAD_FORMAT, "module 1", "/etc"),
    MODULES("the path of a module is a number", "\"1_Pooling\"", "1", DS_BAD_FORMAT, "path"),
    MODULES("Transformer in a folder of its own", "\"path\": \"\"", "\"path\": \"0_Transformer\"", DS_UNSUPPORTED,
            "module 0", "0_Transformer"),
    MODULES("a module without type", "\"type\"", "\"kind\"", DS_BAD_FORMAT, "module 0", "type"),
    {"modules.json is an object", "st_mean", "modules.json", damage_overwrite, 0, "{}", DS_BAD_FORMAT,
     {"/modules.json", "list"}},
    {"modules.json is an empty list", "st_mean", "modules.json", damage_overwrite, 0, "[]", DS_BAD_FORMAT,
     {"/modules.json"}},
    {"modules.json is deep", "st_mean", "modules.json", damage_nest, "[", 0, DS_BAD_FORMAT, {"/modules.json"}},
    {"no Pooling configuration", "st_mean", "1_Pooling", damage_delete, 0, 0, DS_NOT_FOUND,
     {"/1_Pooling/config.json"}},
    POOLING("another dimension", "\"word_embedding_dimension\": 32", "\"word_embedding_dimension\": 384",
            DS_SHAPE_MISMATCH, "word_embedding_dimension is 384", "32"),
    POOLING("a dimension of text", "\"word_embedding_dimension\": 32", "\"word_embedding_dimension\": \"32\"",
            DS_BAD_FORMAT, "word_embedding_dimension", "\"32\""),
    POOLING("two kinds of pooling", "\"pooling_mode_max_tokens\": false", "\"pooling_mode_max_tokens\": true",
            DS_UNSUPPORTED, "mean and max"),
    POOLING("no kind of pooling", "\"pooling_mode_mean_tokens\": true", "\"pooling_mode_mean_tokens\": false",
            DS_BAD_FORMAT, "mean, cls, max"),
    POOLING("a kind that is not supported", "\"pooling_mode_mean_tokens\": true",
            "\"pooling_mode_mean_tokens\": false, \"pooling_mode_weightedmean_tokens\": true", DS_UNSUPPORTED,
            "weightedmean"),
    POOLING("pooling by text", "\"pooling_mode_mean_tokens\": true", "\"pooling_mode_mean_tokens\": \"yes\"",
            DS_BAD_FORMAT, "pooling_mode_mean_tokens", "\"yes\""),
    {"a newer kind that is not supported", "st_cls", "1_Pooling/config.json", damage_edit, "\"cls\"", "\"lasttoken\"",
     DS_UNSUPPORTED, {"/1_Pooling/config.json", "lasttoken", "mean, cls, max"}},
    {"an unknown newer kind", "st_cls", "1_Pooling/config.json", damage_edit, "\"cls\"", "\"median\"", DS_UNSUPPORTED,
     {"/1_Pooling/config.json", "median", "mean, cls, max"}},
    {"a default prompt", "st_cls", "config_sentence_transformers.json", damage_overwrite, 0,
     "{\"prompts\": {\"p\": \"ask: \"}, \"default_prompt_name\": \"p\"}", DS_UNSUPPORTED,
     {"/config_sentence_transformers.json", "default_prompt_name", "ask: "}},
    {"max_seq_length is 0", "st_mean", "sentence_bert_config.json", damage_edit, "20", "0", DS_BAD_FORMAT,
     {"/sentence_bert_config.json", "max_seq_length", "0"}},
    {"max_seq_length is text", "st_mean", "sentence_bert_config.json", damage_edit, "20", "\"20\"", DS_BAD_FORMAT,
     {"/sentence_bert_config.json", "max_seq_length", "\"20\""}},
    {"lower case that the tokenizer does not make", "st_mean", "", ask_for_lower_case, 0, 0, DS_UNSUPPORTED,
     {"/sentence_bert_config.json", "do_lower_case"}},
    {"model_max_length is text", "st_cls", "tokenizer_config.json", damage_edit, "\"model_max_length\": 24",
     "\"model_max_length\": \"24\"", DS_BAD_FORMAT, {"/tokenizer_config.json", "model_max_length", "\"24\""}},
    {"model_max_length is negative", "st_cls", "tokenizer_config.json", damage_edit, "\"model_max_length\": 24",
     "\"model_max_length\": -1", DS_BAD_FORMAT, {"/tokenizer_config.json", "model_max_length", "-1"}},
};

static const hostile_case tokenizer_cases[] = {
    {"no tokenizer", "bert_seq", "tokenizer.json", damage_delete, 0, 0, DS_NOT_FOUND, {"tokenizer.json",
     "vocab.txt"}},
    {"tokenizer.json is a folder", "bert_seq", "tokenizer.json", damage_folder_instead, 0, 0, DS_IO,
     {"/tokenizer.json", "folder"}},
    {"tokenizer.json is empty", "bert_seq", "tokenizer.json", damage_overwrite, 0, "", DS_BAD_FORMAT,
     {"/tokenizer.json"}},
    {"tokenizer.json is cut", "bert_seq", "tokenizer.json", damage_cut_in_half, 0, 0, DS_BAD_FORMAT,
     {"/tokenizer.json"}},
    {"tokenizer.json is deep", "bert_seq", "tokenizer.json", damage_nest, "{\"model\":", 0, DS_BAD_FORMAT,
     {"/tokenizer.json"}},
    {"tokenizer.json has no model", "bert_seq", "tokenizer.json", damage_overwrite, 0, "{}", DS_BAD_FORMAT,
     {"/tokenizer.json", "model"}},
    {"a Unigram model", "bert_seq", "tokenizer.json", damage_edit, "\"WordPiece\",\n    \"unk_token\"",
     "\"Unigram\",\n    \"unk_token\"", DS_UNSUPPORTED, {"/tokenizer.json", "Unigram", "WordPiece"}},
    {"a vocabulary without [CLS]", "bert_seq", "tokenizer.json", damage_edit, "\"[CLS]\": 2,", "", DS_BAD_FORMAT,
     {"/tokenizer.json", "[CLS]", "2"}},
    {"a vocabulary without [UNK]", "bert_seq", "tokenizer.json", damage_edit, "\"[UNK]\": 1", "\"[ABC]\": 1",
     DS_BAD_FORMAT, {"/tokenizer.json", "[UNK]"}},
    {"an id of text", "bert_seq", "tokenizer.json", damage_edit, "\"##e\": 5", "\"##e\": \"5\"", DS_BAD_FORMAT,
     {"/tokenizer.json", "\"5\""}},
    {"an id twice", "bert_seq", "tokenizer.json", damage_edit, "\"##e\": 5", "\"##e\": 6", DS_BAD_FORMAT,
     {"/tokenizer.json", "6"}},
    {"a negative id", "bert_seq", "tokenizer.json", damage_edit, "\"##e\": 5", "\"##e\": -5", DS_BAD_FORMAT,
     {"/tokenizer.json", "-5"}},
    {"an id of 10^12", "bert_seq", "tokenizer.json", damage_edit, "\"##e\": 5", "\"##e\": 1000000000000",
     DS_BAD_FORMAT, {"/tokenizer.json", "1000000000000"}},
    {"more ids than rows", "bert_seq", "tokenizer.json", damage_edit, "\"##e\": 5", "\"##e\": 5, \"zzz\": 260",
     DS_SHAPE_MISMATCH, {"261", "260", "vocab_size"}},
    {"an unknown normalizer", "bert_seq", "tokenizer.json", damage_edit, "\"BertNormalizer\"", "\"Nmt\"",
     DS_UNSUPPORTED, {"/tokenizer.json", "Nmt"}},
    {"an unknown splitter", "bert_seq", "tokenizer.json", damage_edit, "\"BertPreTokenizer\"", "\"Metaspace\"",
     DS_UNSUPPORTED, {"/tokenizer.json", "Metaspace"}},
    {"vocab.txt is empty", "bert_vocab_only", "vocab.txt", damage_overwrite, 0, "", DS_BAD_FORMAT, {"/vocab.txt"}},
    {"vocab.txt without special tokens", "bert_vocab_only", "vocab.txt", damage_overwrite, 0, "a\nb\nc\n",
     DS_BAD_FORMAT, {"/vocab.txt", "["}},
    {"vocab.txt without [CLS]", "bert_vocab_only", "vocab.txt", damage_edit, "[CLS]", "[KLS]", DS_BAD_FORMAT,
     {"/vocab.txt", "[CLS]"}},
    {"vocab.txt is longer than the table", "bert_vocab_only", "vocab.txt", add_a_token, 0, 0,
     DS_SHAPE_MISMATCH, {"261", "260", "vocab_size"}},
    {"merges without their tokens", "roberta_seq", "tokenizer.json", damage_edit, "\"merges\": [",
     "\"merges\": [[\"zq\", \"qz\"],", DS_BAD_FORMAT, {"/tokenizer.json", "zq"}},
};
/* clang-format on */

static void folders_that_are_none(void **state) {
    (void)state;
    ds_context *context;
    ds_model *model;
    ds_error error;
    assert_int_equal(ds_context_create(NULL, &context, &error), DS_OK);
    assert_int_equal(ds_model_open(context, "/nonexistent/folder", NULL, &model, &error), DS_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/folder"));
    assert_int_equal(ds_model_open(context, "", NULL, &model, &error), DS_NOT_FOUND);
    assert_int_equal(ds_model_open(context, DS_TEST_DATA "/models/bert_seq/config.json", NULL, &model, &error),
                     DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "is a file"));
    ds_context_destroy(context);
}

#define RUN(cases)                                                                                                     \
    static void cases##_open_undamaged(void **state) {                                                                 \
        (void)state;                                                                                                   \
        hostile_run_undamaged(DS_TEST_DATA "/models", cases, sizeof cases / sizeof *cases);                            \
    }                                                                                                                  \
    static void cases##_are_refused(void **state) {                                                                    \
        (void)state;                                                                                                   \
        hostile_run(DS_TEST_DATA "/models", cases, sizeof cases / sizeof *cases);                                      \
    }
RUN(file_cases)
RUN(config_cases)
RUN(module_cases)
RUN(tokenizer_cases)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_that_are_none),       cmocka_unit_test(file_cases_open_undamaged),
        cmocka_unit_test(file_cases_are_refused),      cmocka_unit_test(config_cases_open_undamaged),
        cmocka_unit_test(config_cases_are_refused),    cmocka_unit_test(module_cases_open_undamaged),
        cmocka_unit_test(module_cases_are_refused),    cmocka_unit_test(tokenizer_cases_open_undamaged),
        cmocka_unit_test(tokenizer_cases_are_refused),
    };
    return cmocka_run_group_tests_name("hostile folders", tests, NULL, NULL);
}
