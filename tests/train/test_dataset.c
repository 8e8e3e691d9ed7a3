/* Labelled rows: the formats, the columns, what the labels say about the task, reading in any order, the shuffle. */
#include "dataset_case.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"

static void csv_is_read(void **state) {
    CSV("text,label\na,x\nb,y\n", "class 2+0 [x:1 y:1] a=0; b=1;");
    CSV("text,label\r\na,x\r\nb,y\r\n", "class 2+0 [x:1 y:1] a=0; b=1;");
    CSV("\xEF\xBB\xBFtext,label\na,x\nb,y", "class 2+0 [x:1 y:1] a=0; b=1;");
    CSV("\n\r\ntext,label\n\na,x\n\n\nb,y\n\n", "class 2+0 [x:1 y:1] a=0; b=1;");
    CSV("text,label\n\"a, \"\"b\"\"\nc\r\nd\",x\n\"\n\",y\ne,\"y\"\n", "class 2+1 [x:1 y:1] a, \"b\"\nc\r\nd=0; e=1;");
    CSV("id,label,text\n1,x,a\n2,y,b\n", "class 2+0 [x:1 y:1] a=0; b=1;");
    CSV("text,category\na,x\nb,y\n", "class 2+0 [x:1 y:1] a=0; b=1;");
    CSV("text,label\na,x,\nb,y,,\n", "class 2+0 [x:1 y:1] a=0; b=1;");    /* empty cells at the end are no columns */
    CSV("text,label\n a ,x\nb, x\n", "class 2+0 [ x:1 x:1]  a =1; b=0;"); /* spaces are kept */
    CSV("text,label\na,b10\nb,b9\nc,B\nd,b\ne,\xC3\xA9\nf,b9\n",
        "class 6+0 [B:1 b:1 b10:1 b9:2 \xC3\xA9:1] a=2; b=3; c=0; d=1; e=4; f=3;");
}

static void tsv_is_read(void **state) {
    TSV("sentence\tlabel\nhide new secretions \t0\ncontains \"no wit , \t1\n",
        "class 2+0 [0:1 1:1] hide new secretions =0; contains \"no wit , =1;");
    TSV("index\tsentence1\tsentence2\tlabel\r\n0\ta\tb\tno\r\n1\tc\td\tyes\r\n",
        "class pairs 2+0 [no:1 yes:1] a|b=0; c|d=1;");
    TSV("sentence1\tsentence2\tscore\na\tb\t5.000\nc\td\t3.8\n", "embed pairs 2+0 [] a|b=5; c|d=3.8;");
}

static void json_is_read(void **state) {
    JSONL("{\"text\": \"a\", \"label\": \"x\"}\n{\"label\": \"y\", \"text\": \"b\"}\n",
          "class 2+0 [x:1 y:1] a=0; b=1;");
    JSONL("\xEF\xBB\xBF{\"text\":\"a\",\"label\":1}\r\n\r\n  \n{\"text\":\"b\",\"label\":0}",
          "class 2+0 [0:1 1:1] a=1; b=0;");
    JSONL("{\"text\":\"\\u00e9\\n\\uD83D\\uDE00\\\"\",\"label\":true}\n{\"text\":\"b\",\"label\":false}\n",
          "class 2+0 [false:1 true:1] \xC3\xA9\n\xF0\x9F\x98\x80\"=1; b=0;");
    JSONL("{\"te\\u0078t\":\"a\",\"label\":\"x\\u0079\",\"n\":[{\"text\":1},null]}\n{\"text\":\"b\",\"label\":\"xy "
          "z\"}\n",
          "class 2+0 [xy:1 xy z:1] a=0; b=1;");
    JSONL("{\"text\":\"a\",\"label\":0.5}\n{\"text\":\"b\",\"label\":-1.25e1}\n", "value 2+0 [] a=0.5; b=-12.5;");
    JSONL("{\"text\":\"a\",\"label\":[\"x|1\",\"y\"]}\n{\"text\":\"b\",\"label\":[\"y\"]}\n{\"text\":\"c\",\"label\":[]"
          "}\n",
          "multi 3+0 [x|1:1 y:2] a=11; b=01; c=00;");
    JSONL("{\"text\":\"a\",\"text\":\"b\",\"label\":\"x\",\"label\":\"y\"}\n{\"text\":\"c\",\"label\":\"z\"}\n",
          "class 2+0 [y:1 z:1] b=0; c=1;"); /* the last one counts */
    JSONL("{\"sentence1\":\"a\",\"sentence2\":\"b\",\"score\":NaN,\"label\":1.5}\n"
          "{\"sentence1\":\"c\",\"sentence2\":\"d\",\"label\":2.5}\n",
          "embed pairs 2+0 [] a|b=1.5; c|d=2.5;"); /* what Python writes for nothing, in a column that is not read */
    check_dataset("t.json", LABELLED, DS_STR("{\"a\":\"a\",\"b\":\"x\"}\n{\"a\":\"b\",\"b\":\"y\"}\n"),
                  "class 2+0 [x:1 y:1] a=0; b=1;");
}

static void columns_are_found(void **state) {
    CSV("sentence,text,label\ns,t,x\ns,u,y\n", "class 2+0 [x:1 y:1] t=0; u=1;");
    CSV("id,sentence,category\n1,s,x\n2,t,y\n", "class 2+0 [x:1 y:1] s=0; t=1;");
    CSV("sentence1,other,label\ns,t,x\nu,v,y\n", "class 2+0 [x:1 y:1] s=0; u=1;");
    CSV("review,year,stars\ns,1,x\nt,2,y\n", "class 2+0 [x:1 y:1] s=0; t=1;");
    ds__dataset_options o = {.text_column = "b", .pair_column = "c", .label_column = "a", .needs_labels = true};
    check_dataset("t.csv", o, DS_STR("a,b,c,label\nx,t,u,1\ny,v,w,2\n"), "class pairs 2+0 [x:1 y:1] t|u=0; v|w=1;");
    check_dataset("t.jsonl", o,
                  DS_STR("{\"a\":\"x\",\"b\":\"t\",\"c\":\"u\"}\n{\"c\":\"w\",\"b\":\"v\",\"a\":\"y\"}\n"),
                  "class pairs 2+0 [x:1 y:1] t|u=0; v|w=1;");
    o = (ds__dataset_options){.pair_column = "c", .needs_labels = true};
    check_dataset("t.csv", o, DS_STR("a,c,label\nt,u,1.0\nv,w,2.0\n"), "embed pairs 2+0 [] t|u=1; v|w=2;");
    o = (ds__dataset_options){.text_column = "sentence1", .needs_labels = true};
    check_dataset("t.csv", o, DS_STR("sentence1,sentence2,label\nt,u,1.0\nv,w,2.0\n"), "value 2+0 [] t=1; v=2;");
}

static void columns_may_have_no_names(void **state) {
    ds__dataset_options o = {.no_header = true, .needs_labels = true};
    check_dataset("t.csv", o, DS_STR("a,x\nb,y\n"), "class 2+0 [x:1 y:1] a=0; b=1;");
    check_dataset("t.csv", o, DS_STR("\xEF\xBB\xBF\r\n\"a\nb\",x\nb,y\n"), "class 2+0 [x:1 y:1] a\nb=0; b=1;");
    check_dataset("t.tsv", o, DS_STR("text\tlabel\na\tx\n"), "class 2+0 [label:1 x:1] text=0; a=1;"); /* are a row */
    check_dataset("t.csv", o, DS_STR("a,,1.5\nb,y,2.5\n"), "value 2+0 [] a=1.5; b=2.5;");
    check_dataset("t.csv", o, DS_STR("a,x\nb\nc,y,z\nd,y\n"), "class 2+2 [x:1 y:1] a=0; d=1;");
    assert_non_null(strstr(warned(), "line 2: has 1 of the first line's 2 columns, and \"2\" is number 2"));
    assert_non_null(strstr(warned(), "line 3: has 3 columns, and the first line has 2"));
    o = (ds__dataset_options){
        .no_header = true, .text_column = "3", .pair_column = "1", .label_column = "2", .needs_labels = true};
    check_dataset("t.csv", o, DS_STR("t,x,a\nu,y,b\n"), "class pairs 2+0 [x:1 y:1] a|t=0; b|u=1;");
    o.pair_column = "4";
    check_dataset("t.csv", o, DS_STR("t,x,a\nu,y,b\n"), "!has no column \"4\"; its columns are: 1, 2, 3");
    o.pair_column = "01";
    check_dataset("t.csv", o, DS_STR("t,x,a\nu,y,b\n"), "!has no column \"01\"");
    check_dataset("t.csv", o, DS_STR(""), "!is empty, expected rows of a text and its label");
    check_dataset("t.jsonl", o, DS_STR("{\"text\":\"a\",\"label\":\"x\"}\n"), "!no_header is for .csv and .tsv");
}

static void labels_tell_the_task(void **state) {
    CSV("text,label\na,1.0\nb,-.5\nc,+2.e1\nd, 3.25 \n", "value 4+0 [] a=1; b=-0.5; c=20; d=3.25;");
    CSV("text,label\na,1.0\nb,2\n", "value 2+0 [] a=1; b=2;");
    CSV("text,label\na,1\nb,2\nc,0.5\n", "value 3+0 [] a=1; b=2; c=0.5;");
    CSV("text,label\na,1\nb,2\nc,0.5\nd,x\n", "class 4+0 [0.5:1 1:1 2:1 x:1] a=1; b=2; c=0; d=3;");
    CSV("text,label\na,1\nb,-2\nc,1\n", "class 3+0 [-2:1 1:2] a=1; b=0; c=1;");
    CSV("text,label\na,1\nb,2\nc,x\n", "class 3+0 [1:1 2:1 x:1] a=0; b=1; c=2;");
    CSV("text,label\na,1\nb,nan\nc,x\n", "class 3+0 [1:1 nan:1 x:1] a=0; b=1; c=2;");
    CSV("text,label\na,1\nb,nan\nc,2\n", "class 3+0 [1:1 2:1 nan:1] a=0; b=2; c=1;");
    JSONL("{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":NaN}\n{\"text\":\"c\",\"label\":0}\n",
          "class 2+1 [0:1 1:1] a=1; c=0;");
    CSV("text,label\na,1.0\n,9.0\nb,2.0\nc,x\nd,1.0\n", "class 4+1 [1.0:2 2.0:1 x:1] a=0; b=1; c=2; d=0;");
    CSV("text,label\na,1.0\nb,x\nc,x|1.0\n", "multi 3+0 [1.0:2 x:2] a=10; b=01; c=11;");
    CSV("text,label\na,1.0\nb,x|y|x\n", "multi 2+0 [1.0:1 x:1 y:1] a=100; b=011;");
    CSV("text,label\na,x|\nb,||y\nc,|\n", "multi 2+1 [x:1 y:1] a=10; b=01;");
    CSV("text,label\na,nan\nb,x\n", "class 2+0 [nan:1 x:1] a=0; b=1;"); /* a name like another */
    CSV("text,label\na,nan\nb,inf\n", "class 2+0 [inf:1 nan:1] a=1; b=0;");
    CSV("text,label\na,1e5\nb,2e5\n", "class 2+0 [1e5:1 2e5:1] a=0; b=1;");
    CSV("text,label\na,1.2.3\nb,1.2.4\n", "class 2+0 [1.2.3:1 1.2.4:1] a=0; b=1;");
    CSV("sentence1,sentence2,label\na,b,1\nc,d,0.0\n", "embed pairs 2+0 [] a|b=1; c|d=0;");
    JSONL("{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\",\"label\":[\"y\"]}\n", "multi 2+0 [x:1 y:1] a=10; b=01;");
    JSONL("{\"text\":\"a\",\"label\":\"0.5\"}\n{\"text\":\"b\",\"label\":2.0}\n", "value 2+0 [] a=0.5; b=2;");
}

static void a_task_is_taken_at_its_word(void **state) {
    CSV_AS(DS_TRAIN_CLASSIFICATION, "text,label\na,1.0\nb,x|y\n", "class 2+0 [1.0:1 x|y:1] a=0; b=1;");
    CSV_AS(DS_TRAIN_MULTI_LABEL, "text,label\na,x\nb,\nc,y\nd,|\n", "multi 4+0 [x:1 y:1] a=10; b=00; c=01; d=00;");
    CSV_AS(DS_TRAIN_MULTI_LABEL, "text,label\na,x\n", "multi 1+0 [x:1] a=1;");
    CSV_AS(DS_TRAIN_REGRESSION, "text,label\na,1\nb,-2e-1\n", "value 2+0 [] a=1; b=-0.2;");
    CSV_AS(DS_TRAIN_REGRESSION, "sentence1,sentence2,label\na,b,1\n", "value pairs 1+0 [] a|b=1;");
    CSV_AS(DS_TRAIN_EMBEDDING, "sentence1,sentence2,label\na,b,1\n", "embed pairs 1+0 [] a|b=1;");
    JSONL_AS(DS_TRAIN_CLASSIFICATION, "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":2}\n",
             "class 2+0 [1:1 2:1] a=0; b=1;");
}

static void known_labels_keep_their_order(void **state) {
    static const char *const names[] = {"z", "a", "m"};
    ds__dataset_options o = {.label_names = names, .labels = 3, .needs_labels = true};
    check_dataset("t.csv", o, DS_STR("text,label\na,m\nb,z\nc,m\n"), "class 3+0 [z:1 a:0 m:2] a=2; b=0; c=2;");
    check_dataset("t.csv", o, DS_STR("text,label\na,m\nb,n\n"), "class 1+1 [z:0 a:0 m:1] a=2;");
    check_dataset("t.csv", o, DS_STR("text,label\na,m|z\nb,m|n\nc,n|z\n"), "multi 1+2 [z:1 a:0 m:1] a=101;");
    check_dataset("t.csv", o, DS_STR("text,label\na,1\nb,0.5\n"), "value 2+0 [] a=1; b=0.5;");
    o.task = DS_TRAIN_REGRESSION; /* which has no names */
    check_dataset("t.csv", o, DS_STR("text,label\na,1\n"), "value 1+0 [] a=1;");
    static const char *const twice[] = {"z", "a", "z"};
    o = (ds__dataset_options){.label_names = twice, .labels = 3, .needs_labels = true};
    ds__dataset *dataset;
    ds_error error;
    o.path = scratch_path(&folder, "t.csv");
    assert_int_equal(ds__dataset_open(&heap, &o, &dataset, &error), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "the known label 2 is \"z\", and so is label 0"));
    o.labels = 0;
    assert_int_equal(ds__dataset_open(&heap, &o, &dataset, &error), DS_INVALID_ARGUMENT);
}

static void labels_may_be_unneeded(void **state) {
    ds__dataset_options o = {.needs_labels = false};
    check_dataset("t.csv", o, DS_STR("text\na\nb\n"), "class 2+0 [] a=-1; b=-1;");
    check_dataset("t.csv", o, DS_STR("text,source\na,web\nb,news\n"), "class 2+0 [] a=-1; b=-1;");
    check_dataset("t.csv", o, DS_STR("text,label\na,\nb\nc,x\n"), "class 3+0 [x:1] a=-1; b=-1; c=0;");
    check_dataset("t.jsonl", o,
                  DS_STR("{\"text\":\"a\"}\n{\"text\":\"b\",\"label\":\"x\"}\n{\"text\":\"c\",\"label\":null}\n"),
                  "class 3+0 [x:1] a=-1; b=0; c=-1;");
    o.task = DS_TRAIN_EMBEDDING;
    check_dataset("t.csv", o, DS_STR("text\na\nb\n"), "embed 2+0 [] a=nan; b=nan;");
    check_dataset("t.csv", o, DS_STR("text,label\na,\nb,2\n"), "embed 2+0 [] a=nan; b=2;");
    o.task = DS_TRAIN_MULTI_LABEL;
    check_dataset("t.csv", o, DS_STR("text,label\na,\nb,x\n"), "multi 2+0 [x:1] a=0; b=1;");
    check_dataset("t.csv", o, DS_STR("text\na\n"), "multi 1+0 [] a=;");
}

/* A text that is random but from the bytes that matter to the formats. */
static size_t random_text(ds__random *random, char out[64]) {
    static const char *const pieces[] = {"a",  "b",        ",", "\"", "\n", "\r\n",
                                         "\t", "\xC3\xA9", " ", "x",  "\\", "\xF0\x9F\x98\x80"};
    size_t size = 0, count = ds__random_below(random, 12);
    for (size_t i = 0; i < count; i++) {
        const char *piece = pieces[ds__random_below(random, sizeof pieces / sizeof *pieces)];
        memcpy(out + size, piece, strlen(piece));
        size += strlen(piece);
    }
    out[size++] = 'e';
    return size;
}

static void put_csv(ds__buffer *out, const char *text, size_t size) {
    ds__buffer_put(out, '"');
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"') ds__buffer_put(out, '"');
        ds__buffer_put(out, text[i]);
    }
    ds__buffer_put(out, '"');
}

static void put_json(ds__buffer *out, const char *text, size_t size) {
    ds__buffer_put(out, '"');
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == '"' || text[i] == '\\')
            ds__buffer_printf(out, "\\u%04x", (unsigned)text[i]);
        else
            ds__buffer_put(out, text[i]);
    }
    ds__buffer_put(out, '"');
}

/* Every row comes back in any order, whatever stands in its texts and where the reader's pieces end. */
static void rows_come_back_in_any_order(void **state) {
    enum { ROWS = 20000 };
    static const char *const labels[] = {"no", "yes", "maybe"}, *const sorted[] = {"maybe", "no", "yes"};
    static uint32_t order[ROWS];
    static size_t ends[ROWS + 1];
    for (int json = 0; json < 2; json++) {
        ds__buffer file, want;
        ds__random random = {7};
        ds__buffer_init(&file, &heap);
        ds__buffer_init(&want, &heap);
        if (!json) ds__buffer_text(&file, "text,label\r\n");
        for (int i = 0; i < ROWS; i++) {
            char text[64];
            size_t size = random_text(&random, text);
            ds__buffer_append(&want, text, size);
            ends[i + 1] = want.size;
            if (json) ds__buffer_text(&file, "{\"text\": ");
            (json ? put_json : put_csv)(&file, text, size);
            ds__buffer_printf(&file, json ? ", \"label\": \"%s\"}\n" : ",%s\n", labels[i % 3]);
            if (i % 7 == 0) ds__buffer_text(&file, "\r\n");
        }
        const char *name = json ? "t.jsonl" : "t.csv";
        scratch_write(&folder, name, file.data, file.size);
        ds__dataset_options options = {.path = scratch_path(&folder, name), .needs_labels = true};
        ds__dataset *dataset;
        for (uint64_t nth = 0; nth < 5; nth++) {
            ds__file_inject_read_fault(nth, DS__READ_SHORT);
            assert_int_equal(ds__dataset_open(&heap, &options, &dataset, NULL), DS_OK);
            assert_int_equal(ds__dataset_describe(dataset)->rows, ROWS);
            ds__shuffle(3, nth, order, ROWS);
            ds__file_inject_read_fault(nth * 100, DS__READ_SHORT);
            for (size_t i = 0; i < ROWS; i++) {
                ds__data_row row;
                size_t at = nth ? order[i] : i;
                assert_int_equal(ds__dataset_read(dataset, at, &row, NULL), DS_OK);
                assert_int_equal(row.text.size, ends[at + 1] - ends[at]);
                assert_memory_equal(row.text.data, want.data + ends[at], row.text.size);
                assert_string_equal(sorted[row.label], labels[at % 3]);
                assert_null(row.pair.data);
                assert_null(row.targets);
            }
            ds__dataset_close(dataset);
        }
        ds__buffer_deinit(&file);
        ds__buffer_deinit(&want);
    }
}

static void a_changed_file_is_refused(void **state) {
    ds__dataset_options options = {.path = scratch_path(&folder, "t.csv"), .needs_labels = true};
    ds__dataset *dataset;
    ds__data_row row;
    ds_error error;
    scratch_write_text(&folder, "t.csv", "text,label\na,x\nb,y\n");
    assert_int_equal(ds__dataset_open(&heap, &options, &dataset, &error), DS_OK);
    assert_int_equal(ds__dataset_read(dataset, 2, &row, &error), DS_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "row 2 is asked for, and it has 2"));
    assert_int_equal(ds__dataset_read(dataset, 1, &row, &error), DS_OK);
    scratch_write_text(&folder, "t.csv", "text,label\na,x\nb,y\nc,z\n");
    assert_int_equal(ds__dataset_read(dataset, 0, &row, &error), DS_IO);
    assert_non_null(
        strstr(error.message, "has changed since it was opened: it had 19 bytes and has 23; leave it alone"));
    ds__dataset_close(dataset);

    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000}};
    assert_int_equal(ds__dataset_open(&heap, &options, &dataset, &error), DS_OK);
    assert_int_equal(utimensat(AT_FDCWD, options.path, times, 0), 0);
    assert_int_equal(ds__dataset_read(dataset, 0, &row, &error), DS_IO);
    assert_non_null(strstr(error.message, "and 1000 s now; leave it alone"));
    ds__dataset_close(dataset);

    /* The same size and the same time: what is no such row any more is seen. */
    static const char *const others[] = {"b\ny\n", "b,q\n", "b,\"\n", " ,y\n", "\xFF,y\n"};
    enum { ROWS = 40000 }; /* more than the reader keeps */
    ds__buffer file;
    ds__buffer_init(&file, &heap);
    ds__buffer_text(&file, "text,label\n");
    for (int i = 0; i < ROWS; i++) ds__buffer_text(&file, "a,x\n");
    ds__buffer_text(&file, "b,y\n");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        memcpy(file.data + file.size - 4, "b,y\n", 4);
        scratch_write(&folder, "t.csv", file.data, file.size);
        assert_int_equal(utimensat(AT_FDCWD, options.path, times, 0), 0);
        assert_int_equal(ds__dataset_open(&heap, &options, &dataset, &error), DS_OK);
        assert_int_equal(ds__dataset_read(dataset, ROWS, &row, &error), DS_OK);
        assert_int_equal(ds__dataset_read(dataset, 0, &row, &error), DS_OK);
        memcpy(file.data + file.size - 4, others[i], 4);
        scratch_write(&folder, "t.csv", file.data, file.size);
        assert_int_equal(utimensat(AT_FDCWD, options.path, times, 0), 0);
        assert_int_equal(ds__dataset_read(dataset, ROWS, &row, &error), DS_IO);
        assert_non_null(strstr(error.message, "row 40000, counted from 0, was usable then and is not now"));
        ds__dataset_close(dataset);
    }
    ds__buffer_deinit(&file);
}

/* Known orders, so that a run can be repeated by another version; each is a permutation, and epochs differ. */
static void the_shuffle_is_fixed(void **state) {
    static const uint32_t want[2][8] = {{1, 3, 4, 5, 0, 7, 6, 2}, {0, 6, 2, 3, 1, 4, 5, 7}};
    uint32_t order[1000], small[8];
    bool seen[1000] = {false};
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        ds__shuffle(42, epoch, small, 8);
        assert_memory_equal(small, want[epoch], sizeof small);
    }
    ds__shuffle(1, 0, order, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_true(order[i] < 1000 && !seen[order[i]]);
        seen[order[i]] = true;
    }
    ds__shuffle(1, 0, order, 0);
    ds__shuffle(1, 0, order, 1);
    assert_int_equal(order[0], 0);
    /* Each item comes to each place about as often. */
    int counts[8][8] = {{0}};
    for (uint64_t epoch = 0; epoch < 8000; epoch++) {
        ds__shuffle(9, epoch, small, 8);
        for (int i = 0; i < 8; i++) counts[i][small[i]]++;
    }
    for (int i = 0; i < 64; i++) assert_in_range(counts[i / 8][i % 8], 850, 1150);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)
        TEST(csv_is_read),
        TEST(tsv_is_read),
        TEST(json_is_read),
        TEST(columns_are_found),
        TEST(columns_may_have_no_names),
        TEST(labels_tell_the_task),
        TEST(a_task_is_taken_at_its_word),
        TEST(known_labels_keep_their_order),
        TEST(labels_may_be_unneeded),
        TEST(rows_come_back_in_any_order),
        TEST(a_changed_file_is_refused),
        TEST(the_shuffle_is_fixed),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
