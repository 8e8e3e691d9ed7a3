/* Labelled rows that cannot be used: which files are refused and which rows are skipped, each by its sentence; memory
 * that runs out and reads that fail. */
#include "dataset_case.h"

#include <sys/stat.h>

/* The warnings, without the files' folder in front of their names. */
static void check_warnings(const char *want) {
    ds__buffer got;
    ds__buffer_init(&got, &heap);
    for (const char *line = warned(), *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        const char *name = strstr(line, "/t.");
        assert_true(name && name < end);
        ds__buffer_append(&got, name + 1, (size_t)(end - name));
    }
    const char *text = ds__buffer_cstr(&got);
    if (strcmp(text, want) != 0) fail_msg("got: %s\nwant: %s", text, want);
    ds__buffer_deinit(&got);
}

static void missing_columns_are_named(void **state) {
    ds__dataset_options o = {.text_column = "body", .needs_labels = true};
    check_dataset("t.csv", o, DS_STR("text,\"la\nbel\",\n"),
                  "!line 1: has no column \"body\"; its columns are: text, la?bel, ; name one of them");
    o = (ds__dataset_options){.pair_column = "b", .needs_labels = true};
    check_dataset("t.tsv", o, DS_STR("\ntext\tlabel\n"),
                  "!line 2: has no column \"b\"; its columns are: text, label; name one of them");
    o = (ds__dataset_options){.label_column = "b", .needs_labels = true};
    check_dataset("t.csv", o, DS_STR("a\tb\n"),
                  "!has no column \"b\"; its columns are: a?b; name one of them; it seems to be separated by tabs: "
                  "rename it to .tsv");
    check_dataset("t.tsv", o, DS_STR("a,b\n"), "!it seems to be separated by commas: rename it to .csv");
    check_dataset("t.jsonl", o, DS_STR("{}\n{\"text\":1,\"c\":[NaN]}\n{\"text\":1,\"c\":NaN}\n"),
                  "!line 3: has no column \"b\"; its columns are: text, c; name one of them");
    check_dataset("t.csv", o, DS_STR("caf\xE9,text\n"), "!its columns are: caf\xEF\xBF\xBD, text;");
    CSV("text\na\n", "!line 1: no column is left for the label besides the text's; its columns are: text; add one, or "
                     "name the columns");
    CSV("label,a\nx,b\n", "!no column is left for the text besides the label's; its columns are: label, a;");
    CSV("sentence1,sentence2\na,b\n", "!no column is left for the label besides the texts'");
    CSV("main\t2012\t5.000\tA plane\n", "!it seems to be separated by tabs: rename it to .tsv");
    JSONL("{\"text\":\"a\"}\n", "!no column is left for the label");
    CSV_AS(DS_TRAIN_EMBEDDING, "text,label\na,1.0\n",
           "!no column is left for the second text of the pairs that a score is of; its columns are: text, label");
    ds__buffer wide;
    ds__buffer_init(&wide, &heap);
    for (int i = 0; i < 200; i++) ds__buffer_printf(&wide, "%scolumn_%d", i ? "," : "", i);
    check_dataset("t.csv", o, ds__buffer_str(&wide), "!column_27, column_28, ...; name one of them");
    ds__buffer_deinit(&wide);
}

static void useless_files_are_refused(void **state) {
    CSV("", "!is empty, expected a header line with the columns' names");
    CSV("\r\n\n", "!is empty");
    CSV("text,label\n", "!has no rows behind its header; write labelled texts into it");
    JSONL("", "!has no rows; write");
    JSONL("\n \r\n", "!has no rows; write");
    CSV("text,label\n,x\nb\n", "!none of 2 rows can be used; correct them, beginning with: ");
    CSV("text,label\n,x\nb\n", "!line 2: \"text\" is empty");
    JSONL("[\n1\n]\n", "!none of 3 rows can be used; correct them, beginning with: ");
    CSV("text,label\na,x\nb,x\n", "!\"label\" is \"x\" in all of its 2 rows, expected two labels at least; add rows of "
                                  "another label, or name the label's column");
    CSV_AS(DS_TRAIN_MULTI_LABEL, "text,label\na,\nb,|\n",
           "!\"label\" is empty in all of its 2 rows, expected a label in one at least; write labels");
    CSV("text,label\na,x\n\"b,y\nc,z\n", "!line 3: a quote is opened in this record and never closed; close it");
    CSV("\"text,label\na,x\n", "!line 1: a quote is opened in this record and never closed; close it");
}

static void numbers_must_be_finite(void **state) {
    CSV("text,label\na,1.0\nb,nan\nc,NaN\nd,2.0\n",
        "!line 3: \"label\" is nan, which is not a number, expected a finite number; correct it or remove the row");
    CSV("text,label\na,1\nb,nan\nc,0.5\n", "!line 3: \"label\" is nan, which is not a number");
    CSV("text,label\na,-Infinity\nb,1.0\n", "!line 2: \"label\" is -Infinity, which is infinite as a float");
    CSV("text,label\na,1.0\nb,1e39\n", "!line 3: \"label\" is 1e39, which is infinite as a float");
    CSV_AS(DS_TRAIN_REGRESSION, "text,label\na,+inf\n", "!line 2: \"label\" is +inf, which is infinite");
    CSV_AS(DS_TRAIN_REGRESSION, "text,label\na,-nan\n", "!line 2: \"label\" is -nan, which is not a number");
    CSV_AS(DS_TRAIN_EMBEDDING, "sentence1,sentence2,label\na,b,1.5e999\n",
           "!line 2: \"label\" is 1.5e999, which is inf");
    JSONL("{\"text\":\"a\",\"label\":1.5}\n{\"text\":\"b\",\"label\":NaN}\n",
          "!line 2: \"label\" is NaN, which is not");
    JSONL_AS(DS_TRAIN_REGRESSION, "{\"label\":-Infinity,\"text\":\"b\"}\n", "!line 1: \"label\" is -Infinity, which");
}

static void encodings_are_told(void **state) {
    CSV("\xFF\xFEt\0e\0x\0t\0,\0",
        "!is UTF-16 (its first bytes are FF FE), expected UTF-8; convert it: iconv -f UTF-16 "
        "-t UTF-8");
    TSV("\xFE\xFF\0t\0e", "!is UTF-16 (its first bytes are FE FF)");
    JSONL("\xFF\xFE{\0\"\0", "!is UTF-16 (its first bytes are FF FE)");
    JSONL("\xFE\xFF", "!is UTF-16");
    CSV("text,label\ncaf\xE9,x\nna\xEFve,y\nc,x\n",
        "!2 of 3 rows have bytes that are not UTF-8; the file is in another encoding: convert it (iconv -f ENCODING");
    CSV("text,label\ncaf\xE9,x\nb,y\nc,x\nd\xE9,y\n", "class 2+2 [x:1 y:1] b=1; c=0;");
    check_warnings("t.csv, line 2: the line has bytes that are not UTF-8; the row is skipped: save the file as UTF-8\n"
                   "t.csv, line 5: the line has bytes that are not UTF-8; the row is skipped: save the file as UTF-8\n"
                   "t.csv: 2 of 4 rows are skipped; correct them to use them\n");
    CSV("text,label,note\na,x,\xE9\nb,y,\xE9\n", "class 2+0 [x:1 y:1] a=0; b=1;"); /* of a column that is not read */
    JSONL("{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"\xE9\",\"label\":\"y\"}\n{\"text\":\"b\",\"label\":\"y\"}\n",
          "class 2+1 [x:1 y:1] a=0; b=1;");
    check_warnings(
        "t.jsonl, line 2: the line has bytes that are not UTF-8; the row is skipped: save the file as UTF-8\n"
        "t.jsonl: 1 of 3 rows are skipped; correct them to use them\n");
}

static void rows_of_tables_are_skipped(void **state) {
    CSV("text,label\n,x\n\" \n\",y\nb\nc,\nd,x\ne,y\nHello, world,x\n", "class 2+5 [x:1 y:1] d=0; e=1;");
    check_warnings(
        "t.csv, line 2: \"text\" is empty, expected a text; the row is skipped: write one or remove the row\n"
        "t.csv, line 3: \"text\" is empty, expected a text; the row is skipped: write one or remove the row\n"
        "t.csv, line 5: has 1 of the header's 2 columns, and \"label\" is number 2; the row is skipped: complete it, "
        "and check its quotes\n"
        "t.csv, line 6: \"label\" is empty, expected a label; the row is skipped: write one or remove the row\n"
        "t.csv, line 9: has 3 columns, and the header has 2; the row is skipped: put texts that hold the separator in "
        "quotes, or name the column in the header\n"
        "t.csv: 5 of 7 rows are skipped; correct them to use them\n");
    CSV("sentence1,sentence2,label\na,,1.0\nb,c,2.0\n", "embed pairs 1+1 [] b|c=2;");
    check_warnings(
        "t.csv, line 2: \"sentence2\" is empty, expected a text; the row is skipped: write one or remove the "
        "row\nt.csv: 1 of 2 rows are skipped; correct them to use them\n");
    CSV_AS(DS_TRAIN_REGRESSION, "text,label\na,1\nb,x\nc,\nd,0x10\ne,1,\nf,\"1,5\"\ng,+-1\nh,--1\ni,.\nj,1e\n",
           "value 2+8 [] a=1; e=1;");
    assert_non_null(strstr(warned(),
                           "line 3: \"label\" is \"x\", expected a number for regression; the row is skipped: "
                           "correct it or remove the row\n"));
    assert_non_null(strstr(warned(), "line 7: \"label\" is \"1,5\", expected a number for regression"));
    /* What was skipped before another task was guessed is told once. */
    CSV("text,label\na,1.0\n,9.0\nb,x\n,y\nc,y|x\n", "multi 3+2 [1.0:1 x:2 y:1] a=100; b=010; c=011;");
    check_warnings(
        "t.csv, line 3: \"text\" is empty, expected a text; the row is skipped: write one or remove the row\n"
        "t.csv, line 5: \"text\" is empty, expected a text; the row is skipped: write one or remove the row\n"
        "t.csv: 2 of 5 rows are skipped; correct them to use them\n");
}

static void labels_are_skipped(void **state) {
    static const char *const names[] = {"x", "y"};
    ds__dataset_options o = {.label_names = names, .labels = 2, .needs_labels = true};
    check_dataset("t.csv", o, DS_STR("text,label\na,x\nb,z\n"), "class 1+1 [x:1 y:0] a=0;");
    check_warnings(
        "t.csv, line 3: \"label\" is \"z\", which is none of the 2 known labels (the first is \"x\"); the row is "
        "skipped: correct it or remove the row\nt.csv: 1 of 2 rows are skipped; correct them to use them\n");
    CSV("text,label\na,x\0y\nb,x\nc,y\n", "class 2+1 [x:1 y:1] b=0; c=1;");
    assert_non_null(strstr(warned(), "line 2: \"label\" has a zero byte in it, expected a label's name"));
    ds__buffer file;
    ds__buffer_init(&file, &heap);
    ds__buffer_text(&file, "text,label\na,x\nb,y\nc,");
    for (int i = 0; i < (1 << 16) + 1; i++) ds__buffer_put(&file, 'z');
    check_dataset("t.csv", LABELLED, ds__buffer_str(&file), "class 2+1 [x:1 y:1] a=0; b=1;");
    assert_non_null(
        strstr(warned(), "line 4: \"label\" has 65537 bytes, expected a label of at most 65536; the row is"));
    ds__buffer_deinit(&file);
}

static void json_rows_are_skipped(void **state) {
    JSONL("{\"text\":\"a\",\"label\":\"x\"}\n"
          "{\"text\":\"a\",\"label\":\"x\"\n"
          "{\"text\":\"b\"}\n"
          "{\"label\":\"x\"}\n"
          "{\"text\":null,\"label\":\"x\"}\n"
          "{\"text\":1,\"label\":\"x\"}\n"
          "{\"text\":\"b\",\"label\":{\"x\":1}}\n"
          "{\"text\":\"b\",\"label\":null}\n"
          "{\"text\":\"b\",\"label\":NaN}\n"
          "{\"text\":\"\\uD800\",\"label\":\"x\"}\n"
          "[1]\n"
          "{\"text\":\"b\",\"label\":\"y\"} {}\n"
          "{\"text\":\"b\",\"label\":\"y\"}\n",
          "class 2+11 [x:1 y:1] a=0; b=1;");
#define EACH                                                                                                           \
    "; the row is skipped: each line must hold one JSON object, such as {\"text\": \"...\", \"label\": \"...\"}\n"
    check_warnings(
        "t.jsonl, line 2: the text ends where ',' or '}' is expected" EACH
        "t.jsonl, line 3: the object has no \"label\"; the row is skipped: add it or remove the row\n"
        "t.jsonl, line 4: the object has no \"text\"; the row is skipped: add it or remove the row\n"
        "t.jsonl, line 5: \"text\" is empty, expected a text; the row is skipped: write one or remove the row\n"
        "t.jsonl, line 6: text is 1, expected a text" EACH "t.jsonl, line 7: label is an object, expected a text" EACH
        "t.jsonl, line 8: \"label\" is empty, expected a label; the row is skipped: write one or remove the row\n"
        "t.jsonl, line 9: \"label\" is NaN, expected a label for classification; the row is skipped: write one or "
        "remove "
        "the row\n"
        "t.jsonl, line 10: a string has half of a surrogate pair: \\uD800" EACH
        "t.jsonl, line 11: '[' where an object is expected" EACH
        "t.jsonl, line 12: there is more text behind the JSON value" EACH
        "t.jsonl: 11 of 13 rows are skipped; correct them to use them\n");
    JSONL_AS(DS_TRAIN_CLASSIFICATION,
             "{\"text\":\"a\",\"label\":[\"x\"]}\n{\"text\":\"a\",\"label\":\"x\"}\n"
             "{\"text\":\"b\",\"label\":\"y\"}\n",
             "class 2+1 [x:1 y:1] a=0; b=1;");
    assert_non_null(
        strstr(warned(), "line 1: \"label\" is a list, expected one label for classification; the row is "));
    JSONL_AS(DS_TRAIN_REGRESSION,
             "{\"text\":\"a\",\"label\":[\"1\"]}\n{\"text\":\"b\",\"label\":true}\n"
             "{\"text\":\"c\",\"label\":3}\n",
             "value 1+2 [] c=3;");
    assert_non_null(strstr(warned(), "line 1: \"label\" is a list, expected a number for regression"));
    assert_non_null(strstr(warned(), "line 2: \"label\" is \"true\", expected a number for regression"));
    JSONL("{\"text\":\"a\",\"label\":[1]}\n{\"text\":\"b\",\"label\":[\"y\\u0000\"]}\n{\"text\":\"c\",\"label\":[\"y\"]"
          "}\n",
          "multi 1+2 [y:1] c=1;");
    assert_non_null(strstr(warned(), "line 1: label is 1, expected a text;"));
    assert_non_null(strstr(warned(), "line 2: a label has a zero byte in it;"));
    JSONL("{}\n{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\",\"label\":\"y\"}\n", "class 2+1 [x:1 y:1] a=0; b=1;");
    assert_non_null(strstr(warned(), "line 1: the object is empty, expected a text and a label"));
}

static void at_most_twenty_rows_are_named(void **state) {
    ds__buffer file;
    ds__buffer_init(&file, &heap);
    ds__buffer_text(&file, "text,label\na,x\nb,y\n");
    for (int i = 0; i < 50; i++) ds__buffer_text(&file, ",x\n");
    check_dataset("t.csv", LABELLED, ds__buffer_str(&file), "class 2+50 [x:1 y:1] a=0; b=1;");
    int lines = 0;
    for (const char *c = warned(); *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 21);
    assert_non_null(strstr(warned(), "line 23: \"text\" is empty"));
    assert_null(strstr(warned(), "line 24: "));
    assert_non_null(strstr(warned(), "t.csv: 50 of 52 rows are skipped; correct them to use them\n"));
    ds__buffer_deinit(&file);
}

/* 1 GiB without a newline: refused after 16 MiB, with little more than that in memory. */
static void endless_lines_are_refused(void **state) {
    static const char *const names[] = {"t.csv", "t.tsv", "t.jsonl"};
    for (int i = 0; i < 3; i++) {
        ds__dataset *dataset;
        ds_error error;
        ds__dataset_options options = {.path = scratch_path(&folder, names[i]), .needs_labels = true};
        scratch_write_text(&folder, names[i], i == 0 ? "text,label\n\"" : i == 1 ? "text\tlabel\n" : "");
        scratch_resize(&folder, names[i], (size_t)1 << 30);
        ds__heap_init(&heap, NULL, 0);
        assert_int_equal(ds__dataset_open(&heap, &options, &dataset, &error), DS_BAD_FORMAT);
        assert_non_null(strstr(error.message, i < 2 ? "line 2: a record of more than 16777216 bytes; close the quote"
                                                    : "line 1: a record of more than 16777216 bytes"));
        assert_true(heap.peak_bytes < (64 << 20));
    }
}

static void what_is_no_file_of_rows_is_refused(void **state) {
    ds__dataset *dataset;
    ds_error error;
    ds__dataset_options options = {.path = scratch_path(&folder, "none.csv"), .needs_labels = true};
    assert_int_equal(ds__dataset_open(&heap, &options, &dataset, &error), DS_NOT_FOUND);
    assert_non_null(strstr(error.message, "none.csv: cannot open"));
    scratch_make_folder(&folder, "folder.csv");
    options.path = scratch_path(&folder, "folder.csv");
    assert_int_equal(ds__dataset_open(&heap, &options, &dataset, &error), DS_IO);
    assert_non_null(strstr(error.message, "is a folder"));
    options.path = scratch_path(&folder, "fifo.csv");
    assert_int_equal(mkfifo(options.path, 0600), 0);
    assert_int_equal(ds__dataset_open(&heap, &options, &dataset, &error), DS_IO);
    assert_non_null(
        strstr(error.message, "is not a regular file, and rows are read more than once; write it to a file"));
    check_dataset("t.txt", LABELLED, DS_STR("text,label\n"),
                  "!the name ends in none of .csv, .tsv, .jsonl and .json, which say how");
    CSV_AS(DS_TRAIN_TAGGING, "text,label\n", "!tagging needs a label for each token");
}

/* Of each format, with a restart, a skipped row, and values. */
static const struct {
    const char *name, *content;
} faulty[] = {
    {"t.csv", "text,label\na,1.0\n,x\nb,x|y\nc,z\n"},
    {"t.tsv", "sentence1\tsentence2\tlabel\na\tb\t1.0\nc\td\t2.0\n"},
    {"t.jsonl", "{\"text\":\"\\u00e9\",\"label\":[\"x\",\"y\\n\"]}\n{\"text\":\n{\"label\":[],\"text\":\"b\"}\n"},
    {"t.json", "{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\",\"label\":\"\\u0020y\"}\n"},
};
enum { FAULTY = sizeof faulty / sizeof *faulty };

static ds_status open_and_read(const ds__dataset_options *options, ds_error *error) {
    ds__dataset *dataset;
    ds_status status = ds__dataset_open(&heap, options, &dataset, error);
    if (status != DS_OK) return status;
    for (size_t i = 0; i < ds__dataset_describe(dataset)->rows && status == DS_OK; i++) {
        ds__data_row row;
        status = ds__dataset_read(dataset, i, &row, error);
    }
    ds__dataset_close(dataset);
    return status;
}

static void every_allocation_may_fail(void **state) {
    for (size_t k = 0; k < FAULTY; k++) {
        ds__dataset_options options = {.path = scratch_path(&folder, faulty[k].name), .needs_labels = true};
        scratch_write_text(&folder, faulty[k].name, faulty[k].content);
        uint64_t n = 1, refused = 0;
        for (;; n++) {
            ds_error error = {DS_OK, ""};
            ds__heap_init(&heap, NULL, 0);
            heap.fail_at = n;
            ds_status status = open_and_read(&options, &error);
            assert_int_equal(heap.bytes, 0);
            refused += status != DS_OK;
            if (heap.allocations < n) {
                assert_int_equal(status, DS_OK);
                break;
            }
            if (status != DS_OUT_OF_MEMORY || error.status != status || !*error.message)
                fail_msg("%s: allocation %d failed and the status was %s: %s", faulty[k].name, (int)n,
                         ds_status_name(status), error.message);
        }
        assert_true(n > 10 && refused + 1 == n);
    }
}

static void every_read_may_be_short_or_fail(void **state) {
    for (size_t k = 0; k < FAULTY; k++) {
        ds__dataset_options options = {.path = scratch_path(&folder, faulty[k].name), .needs_labels = true};
        scratch_write_text(&folder, faulty[k].name, faulty[k].content);
        int failures = 0;
        for (uint64_t n = 1; n <= 12; n++) {
            ds_error error = {DS_OK, ""};
            ds__file_inject_read_fault(n, DS__READ_SHORT);
            if (open_and_read(&options, &error) != DS_OK) fail_msg("%s: %s", faulty[k].name, error.message);
            ds__file_inject_read_fault(n, DS__READ_FAIL);
            ds_status status = open_and_read(&options, &error);
            failures += status == DS_IO;
            if (status != DS_OK && status != DS_IO) fail_msg("%s: %s", faulty[k].name, error.message);
            assert_int_equal(heap.bytes, warnings.capacity);
        }
        assert_true(failures >= 2); /* the content and the end */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)
        TEST(missing_columns_are_named),  TEST(useless_files_are_refused),
        TEST(numbers_must_be_finite),     TEST(encodings_are_told),
        TEST(rows_of_tables_are_skipped), TEST(labels_are_skipped),
        TEST(json_rows_are_skipped),      TEST(at_most_twenty_rows_are_named),
        TEST(endless_lines_are_refused),  TEST(what_is_no_file_of_rows_is_refused),
        TEST(every_allocation_may_fail),  TEST(every_read_may_be_short_or_fail),
    };
    return cmocka_run_group_tests_name("datasets that cannot be used", tests, NULL, NULL);
}
