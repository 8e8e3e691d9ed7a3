/* Texts from a file, one record at a time: plain lines, CSV (RFC 4180) or TSV (tabs, no quoting).
 *
 * Lines end at '\n' only and keep everything else, so that what is read is what stands in the file.  CSV knows quotes,
 * doubled quotes and line breaks inside of them; a quote inside an unquoted field is a character (as Python's csv reads
 * it); CSV and TSV drop a '\r' before the '\n' and pass over empty lines.  CSV and TSV also pass over a byte
 * order mark at the start; lines keep it.  Bytes that are not UTF-8 are handed on as they are: the tokenizer says what becomes of them. */
#ifndef DS_FORMATS_TABLE_H
#define DS_FORMATS_TABLE_H

#include "base/alloc.h"
#include "base/str.h"

enum { DS__TABLE_MAX_RECORD = 16 << 20, DS__TABLE_MAX_COLUMNS = 4096 };

typedef enum ds__table_format { DS__TABLE_LINES, DS__TABLE_COMMA, DS__TABLE_TAB } ds__table_format;

typedef struct ds__table_options {
    const char *path; /* "-": standard input */
    ds__table_format format;
    bool has_header; /* of comma and tab */
    /* A name of the header, or a number from 1 without one. text NULL: "text", else "sentence", else the first column.
     * pair NULL: no second text. */
    const char *text_column, *pair_column;
} ds__table_options;

typedef struct ds__table ds__table;

/* Opens the file and reads its header. */
ds_status ds__table_open(ds__heap *heap, const ds__table_options *options, ds__table **out,
                         ds_error *error) DS_MUST_CHECK;
void ds__table_close(ds__table *table); /* NULL is allowed */
/* The next record's texts, borrowed until the next call; *end: there is none. A record over DS__TABLE_MAX_RECORD bytes,
 * with too few columns, or with a quote that is never closed is refused with its line. */
ds_status ds__table_next(ds__table *table, ds__str *text, ds__str *pair, bool *end, ds_error *error) DS_MUST_CHECK;
/* The line on which the last record began, counted from 1. */
size_t ds__table_line(const ds__table *table);

/* The same record by record, with all of its fields; columns are the caller's matter, and so is a header: open without
 * one.  Of lines, a record has one field. */
ds_status ds__table_next_record(ds__table *table, bool *end, ds_error *error) DS_MUST_CHECK;
size_t ds__table_field_count(const ds__table *table);
/* index: below the count. Borrowed until the next record. */
ds__str ds__table_field(const ds__table *table, size_t index);
/* Where the last record began, in bytes from the start of the file. */
uint64_t ds__table_offset(const ds__table *table);
/* The next record is the one that begins there; line: its number, for messages. Files only, not pipes. */
ds_status ds__table_seek(ds__table *table, uint64_t offset, size_t line, ds_error *error) DS_MUST_CHECK;

/* What tells whether the open file is still the one that was read. */
typedef struct ds__table_stamp {
    uint64_t bytes;
    int64_t seconds, nanoseconds; /* of its last change */
} ds__table_stamp;
ds_status ds__table_look(ds__table *table, ds__table_stamp *out, ds_error *error) DS_MUST_CHECK;

#endif
