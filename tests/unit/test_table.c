/* Texts from lines, CSV and TSV: fields, quotes, columns, line numbers, and the sentences of what is refused. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/random.h"
#include "formats/table.h"
#include "support/scratch_folder.h"

static scratch_folder folder;
static ds__heap heap;

static int open_folder(void **state) {
    scratch_create(&folder);
    ds__heap_init(&heap, NULL, 0);
    return 0;
}

static int close_folder(void **state) {
    ds__file_inject_read_fault(0, DS__READ_SHORT);
    scratch_destroy(&folder);
    return heap.bytes == 0 ? 0 : -1;
}

/* Everything the table gives as "text|pair<line>;", and the error's sentence behind a '!'.  out must be freed. */
static char *read_all(const ds__table_options *options) {
    ds__buffer out;
    ds__table *table;
    ds_error error = {DS_OK, ""};
    ds__buffer_init(&out, &heap);
    ds_status status = ds__table_open(&heap, options, &table, &error);
    if (status == DS_OK) {
        for (;;) {
            ds__str text, pair;
            bool end;
            status = ds__table_next(table, &text, &pair, &end, &error);
            if (status != DS_OK || end) break;
            ds__buffer_append(&out, text.data, text.size);
            if (pair.data) ds__buffer_put(&out, '|');
            ds__buffer_append(&out, pair.data, pair.size);
            ds__buffer_printf(&out, "<%d>;", (int)ds__table_line(table));
        }
        ds__table_close(table);
    }
    assert_int_equal(status, error.status);
    if (status != DS_OK) ds__buffer_printf(&out, "!%s %s", ds_status_name(status), error.message);
    char *copy = calloc(out.size + 1, 1);
    if (out.size) memcpy(copy, out.data, out.size);
    ds__buffer_deinit(&out);
    return copy;
}

static void check_text(ds__table_format format, bool has_header, const char *column, const char *pair, ds__str content,
                       const char *want) {
    scratch_write(&folder, "t", content.size ? content.data : "", content.size);
    ds__table_options options = {scratch_path(&folder, "t"), format, has_header, column, pair};
    char *got = read_all(&options);
    /* An error is compared by its end, behind the file's name. */
    const char *error = strchr(want, '!'), *tail = strchr(got, '!');
    bool same = error ? tail && tail - got == error - want && strncmp(got, want, (size_t)(error - want)) == 0 &&
                            strstr(tail, error + 1) && strstr(tail, scratch_path(&folder, "t"))
                      : strcmp(got, want) == 0;
    if (!same) fail_msg("%.60s: got \"%s\", expected \"%s\"", content.data, got, want);
    free(got);
    assert_int_equal(heap.bytes, 0);
}

#define LINES(content, want) check_text(DS__TABLE_LINES, false, NULL, NULL, DS_STR(content), want)
#define CSV(content, want) check_text(DS__TABLE_COMMA, false, NULL, NULL, DS_STR(content), want)
#define CSV_2(content, want) check_text(DS__TABLE_COMMA, false, "1", "2", DS_STR(content), want)
#define TSV_2(content, want) check_text(DS__TABLE_TAB, false, "1", "2", DS_STR(content), want)

static void lines_are_kept_as_they_are(void **state) {
    LINES("", "");
    LINES("\n", "<1>;");
    LINES("a", "a<1>;");
    LINES("a\n", "a<1>;");
    LINES("a\n\nb", "a<1>;<2>;b<3>;");
    LINES("a\r\n", "a\r<1>;");
    LINES("a,\"b\tc\n", "a,\"b\tc<1>;");
    LINES("\xEF\xBB\xBF"
          "a\n",
          "\xEF\xBB\xBF"
          "a<1>;");
    LINES("\xEF\xBB\xBF", "\xEF\xBB\xBF<1>;");
    LINES("\xEF\xBB", "\xEF\xBB<1>;");
    LINES("a\n\xEF\xBB\xBF"
          "b\n",
          "a<1>;\xEF\xBB\xBF"
          "b<2>;");
    LINES("\xFF\xC3\n", "\xFF\xC3<1>;");
}

static void csv_knows_quotes(void **state) {
    CSV("a,b\nc,d\n", "a<1>;c<2>;");
    CSV("a", "a<1>;");
    CSV("\"a,b\",c\n", "a,b<1>;");
    CSV("\"a \"\"q\"\"\",c\n", "a \"q\"<1>;");
    CSV("\"\"\"\"\n", "\"<1>;");
    CSV("\"two\nlines\",x\nnext\n", "two\nlines<1>;next<3>;");
    CSV("a\"b\"\n", "a\"b\"<1>;");
    CSV(" \"a\"\n", " \"a\"<1>;");
    CSV("\"a\"b\n", "ab<1>;");
    CSV("\"a\"b\"c\n", "ab\"c<1>;");
    CSV("a\r\nb\r\n", "a<1>;b<2>;");
    CSV("\n\r\n\na\n\n", "a<4>;");
    CSV("\"\"\na\n", "<1>;a<2>;"); /* an empty text in quotes is no empty line */
    CSV("\"a\r\"\n", "a\r<1>;");   /* what stands in quotes is kept */
    CSV("\"a\"\r\n", "a<1>;");
    CSV(",\n", "<1>;");
    CSV("\xEF\xBB\xBF\"a\"\n", "a<1>;");
    CSV("\"a\n\nb", "!line 1: a quote is opened in this record and never closed");
    CSV("x\n\"", "x<1>;!line 2: a quote is opened");
    CSV_2("a,b\n\"c\",\"d,\"\"e\"\n,\n", "a|b<1>;c|d,\"e<2>;|<3>;");
    CSV_2("a,b\r\nc\r\n", "a|b<1>;!DS_BAD_FORMAT");
    CSV_2("a,b\nc\n", "a|b<1>;!line 2: has 1 columns, but column 2 is asked for");
    CSV_2("a,\r\n", "a|<1>;");
}

static void tsv_knows_no_quotes(void **state) {
    TSV_2("\"a\tb\"\r\nc\td\te\n", "\"a|b\"<1>;c|d<2>;");
    TSV_2("a,b\tc\n", "a,b|c<1>;");
    TSV_2("\t\n\n\tx", "|<1>;|x<3>;");
    TSV_2("a\n", "!has 1 columns, but column 2");
}

static void columns_are_chosen(void **state) {
    const ds__str table = DS_STR("id,sentence,te\"xt\n1,s1,t1\n2,\"s2\",t2\n"), text = DS_STR("sentence,text\ns,t\n");
    check_text(DS__TABLE_COMMA, true, NULL, NULL, text, "t<2>;");
    check_text(DS__TABLE_COMMA, true, NULL, NULL, table, "s1<2>;s2<3>;");
    check_text(DS__TABLE_COMMA, true, NULL, "id", table, "s1|1<2>;s2|2<3>;");
    check_text(DS__TABLE_COMMA, true, "te\"xt", NULL, table, "t1<2>;t2<3>;");
    check_text(DS__TABLE_COMMA, true, NULL, NULL, DS_STR("a,b\n1,2\n"), "1<2>;");
    check_text(DS__TABLE_COMMA, true, "b\nc", NULL, DS_STR("\xEF\xBB\xBF\"a\",\"b\nc\"\r\n1,2\r\n"), "2<3>;");
    check_text(DS__TABLE_TAB, true, "b", "a", DS_STR("a\tb\n1\t2\n"), "2|1<2>;");
    check_text(DS__TABLE_COMMA, true, "none", NULL, table,
               "!has no column \"none\"; its columns are: id, sentence, te\"xt");
    check_text(DS__TABLE_COMMA, true, NULL, "none", table, "!DS_NOT_FOUND");
    check_text(DS__TABLE_COMMA, true, NULL, NULL, DS_STR(""), "!is empty, expected a header line");
    check_text(DS__TABLE_COMMA, true, NULL, NULL, DS_STR("\r\n\n"), "!is empty");
    check_text(DS__TABLE_COMMA, true, NULL, NULL, DS_STR("\"a"), "!never closed");
    check_text(DS__TABLE_COMMA, true, NULL, NULL, DS_STR("text\n"), "");
    check_text(DS__TABLE_COMMA, true, "2", NULL, DS_STR("1,2\na,b\n"), "b<2>;"); /* with a header a number is a name */
    check_text(DS__TABLE_TAB, false, "3", NULL, DS_STR("a\tb\tc\n"), "c<1>;");
    static const char *const wrong[] = {"0", "-1", "", "x", "1x", " 1", "4097", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        check_text(DS__TABLE_COMMA, false, wrong[i], NULL, DS_STR("a,b\n"), "!numbers from 1 to 4096");
        check_text(DS__TABLE_COMMA, false, NULL, wrong[i], DS_STR("a,b\n"), "!DS_INVALID_ARGUMENT");
    }
    check_text(DS__TABLE_LINES, false, "text", "pair", DS_STR("a,b\n"), "a,b<1>;"); /* lines have no columns */
}

static void sizes_are_capped(void **state) {
    size_t size = (size_t)DS__TABLE_MAX_RECORD + 2;
    char *big = malloc(size);
    memset(big, 'x', size);
    big[size - 1] = '\n';
    check_text(DS__TABLE_LINES, false, NULL, NULL, (ds__str){big, size}, "!a record of more than 16777216 bytes");
    big[0] = '"';
    check_text(DS__TABLE_COMMA, false, NULL, NULL, (ds__str){big, size}, "!line 1: a record of more than");
    memset(big, ',', DS__TABLE_MAX_COLUMNS);
    check_text(DS__TABLE_COMMA, false, NULL, NULL, (ds__str){big, DS__TABLE_MAX_COLUMNS}, "!more than 4096 columns");
    check_text(DS__TABLE_COMMA, false, "4096", NULL, (ds__str){big, DS__TABLE_MAX_COLUMNS - 1}, "<1>;");
    free(big);
}

static void what_is_no_file_is_refused(void **state) {
    ds__table *table;
    ds_error error;
    ds__table_options options = {.path = scratch_path(&folder, "none")};
    assert_int_equal(ds__table_open(&heap, &options, &table, &error), DS_NOT_FOUND);
    assert_non_null(strstr(error.message, "none: cannot open"));
    options.path = folder.path;
    assert_int_equal(ds__table_open(&heap, &options, &table, &error), DS_IO);
    assert_non_null(strstr(error.message, "is a folder"));
}

/* A record's content, random but from the bytes that matter. */
static size_t random_field(ds__random *random, char out[64]) {
    static const char bytes[] = "ab,\"\n\r\t\xC3\xA9";
    size_t size = ds__random_below(random, 8);
    for (size_t i = 0; i < size; i++) out[i] = bytes[ds__random_below(random, sizeof bytes - 1)];
    return size;
}

/* Any two texts written in quotes come back, whatever they hold, also across the reader's chunks and with short reads.
 */
static void quoted_texts_come_back(void **state) {
    enum { RECORDS = 20000 };
    ds__buffer csv, want;
    ds__random random = {5};
    ds__buffer_init(&csv, &heap);
    ds__buffer_init(&want, &heap);
    for (int i = 0; i < RECORDS; i++) {
        for (int column = 0; column < 2; column++) {
            char field[64];
            size_t size = random_field(&random, field);
            ds__buffer_put(&csv, '"');
            for (size_t b = 0; b < size; b++) {
                if (field[b] == '"') ds__buffer_put(&csv, '"');
                ds__buffer_put(&csv, field[b]);
            }
            ds__buffer_text(&csv, column == 0 ? "\"," : i % 2 ? "\"\n" : "\"\r\n");
            ds__buffer_append(&want, field, size);
            ds__buffer_put(&want, '\x01');
        }
    }
    scratch_write(&folder, "csv", csv.data, csv.size);
    for (uint64_t nth = 0; nth < 6; nth++) {
        ds__table_options options = {scratch_path(&folder, "csv"), DS__TABLE_COMMA, false, "1", "2"};
        ds__table *table;
        ds__str text, pair;
        bool end;
        size_t at = 0;
        int records = 0;
        ds__file_inject_read_fault(nth, DS__READ_SHORT);
        assert_int_equal(ds__table_open(&heap, &options, &table, NULL), DS_OK);
        for (;; records++) {
            assert_int_equal(ds__table_next(table, &text, &pair, &end, NULL), DS_OK);
            if (end) break;
            assert_true(at + text.size + pair.size + 2 <= want.size);
            assert_memory_equal(want.data + at, text.data, text.size);
            assert_memory_equal(want.data + at + text.size + 1, pair.data, pair.size);
            at += text.size + pair.size + 2;
            assert_int_equal(want.data[at - 1], '\x01');
        }
        assert_int_equal(records, RECORDS);
        assert_int_equal(at, want.size);
        ds__table_close(table);
    }
    ds__buffer_deinit(&csv);
    ds__buffer_deinit(&want);
}

static void failing_reads_and_allocations_are_reported(void **state) {
    static char content[200000];
    for (size_t i = 0; i < sizeof content; i++) content[i] = i % 100 == 99 ? '\n' : i % 10 == 9 ? ',' : 'x';
    scratch_write(&folder, "t", content, sizeof content);
    ds__table_options options = {scratch_path(&folder, "t"), DS__TABLE_COMMA, false, NULL, "3"};
    for (uint64_t nth = 1; nth < 10; nth++) {
        ds__file_inject_read_fault(nth, DS__READ_FAIL);
        char *got = read_all(&options);
        if (nth <= 5) assert_non_null(strstr(got, "!DS_IO")); /* four chunks and the end */
        if (nth > 5) assert_null(strchr(got, '!'));
        free(got);
    }
    ds__file_inject_read_fault(0, DS__READ_FAIL);
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        ds__table *table;
        ds_error error = {DS_OK, ""};
        ds__heap_init(&heap, NULL, 0);
        heap.fail_at = n;
        ds_status status = ds__table_open(&heap, &options, &table, &error);
        if (status == DS_OK) {
            ds__str text, pair;
            done = false;
            while (status == DS_OK && !done) status = ds__table_next(table, &text, &pair, &done, &error);
            ds__table_close(table);
        }
        if (status != DS_OK) assert_int_equal(status, DS_OUT_OF_MEMORY);
        assert_int_equal(heap.bytes, 0);
    }
}

/* Records by their offsets, in any order, with all of their fields. */
static void records_are_found_again(void **state) {
    enum { RECORDS = 20000 };
    static uint64_t offsets[RECORDS];
    ds__buffer csv;
    ds__table *table;
    ds__table_stamp stamp;
    bool end;
    ds__buffer_init(&csv, &heap);
    ds__buffer_text(&csv, "\xEF\xBB\xBF");
    for (int i = 0; i < RECORDS; i++) ds__buffer_printf(&csv, "%d,\"a\n%d\",x\r\n\n", i, i);
    scratch_write(&folder, "csv", csv.data, csv.size);
    ds__table_options options = {.path = scratch_path(&folder, "csv"), .format = DS__TABLE_COMMA};
    assert_int_equal(ds__table_open(&heap, &options, &table, NULL), DS_OK);
    assert_int_equal(ds__table_look(table, &stamp, NULL), DS_OK);
    assert_int_equal(stamp.bytes, csv.size);
    for (int i = 0; i < RECORDS; i++) {
        assert_int_equal(ds__table_next_record(table, &end, NULL), DS_OK);
        assert_int_equal(ds__table_line(table), 3 * i + 1);
        offsets[i] = ds__table_offset(table);
    }
    assert_int_equal(offsets[0], 3);
    assert_int_equal(ds__table_next_record(table, &end, NULL), DS_OK);
    assert_true(end);
    for (size_t i = 0, at = 0; i < RECORDS; i++, at = (at + 7919) % RECORDS) {
        char want[32];
        snprintf(want, sizeof want, "a\n%d", (int)at);
        assert_int_equal(ds__table_seek(table, offsets[at], 3 * at + 1, NULL), DS_OK);
        assert_int_equal(ds__table_next_record(table, &end, NULL), DS_OK);
        assert_int_equal(ds__table_line(table), 3 * at + 1);
        assert_int_equal(ds__table_offset(table), offsets[at]);
        assert_int_equal(ds__table_field_count(table), 3);
        assert_true(ds__str_is(ds__table_field(table, 1), want) && ds__str_is(ds__table_field(table, 2), "x"));
    }
    ds__table_close(table);
    ds__buffer_deinit(&csv);
}

/* A pipe hands its bytes out in whatever pieces they were written: the byte order mark as well. */
static void *write_slowly(void *argument) {
    static const char text[] = "\xEF\xBB\xBF"
                               "a\nb";
    int fd = open(argument, O_WRONLY);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        if (write(fd, text + i, 1) != 1) break;
        usleep(3000);
    }
    close(fd);
    return NULL;
}

static void pipes_are_read(void **state) {
    pthread_t writer;
    char path[300];
    snprintf(path, sizeof path, "%s", scratch_path(&folder, "fifo"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_slowly, path), 0);
    ds__table_options options = {.path = path, .format = DS__TABLE_COMMA};
    char *got = read_all(&options);
    pthread_join(writer, NULL);
    assert_string_equal(got, "a<1>;b<2>;");
    free(got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)
        TEST(lines_are_kept_as_they_are), TEST(csv_knows_quotes),
        TEST(tsv_knows_no_quotes),        TEST(columns_are_chosen),
        TEST(sizes_are_capped),           TEST(what_is_no_file_is_refused),
        TEST(quoted_texts_come_back),     TEST(failing_reads_and_allocations_are_reported),
        TEST(records_are_found_again),    TEST(pipes_are_read),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
