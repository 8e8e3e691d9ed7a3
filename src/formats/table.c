/* The streaming reader of texts; see the header. */
#include "formats/table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"

/* FIRST_BYTES: what is read first behind a jump, since records read at random are short. */
enum { CHUNK_BYTES = 64 * 1024, FIRST_BYTES = 4 * 1024 };

/* A field of the current record: a piece of `record`. */
typedef struct field {
    size_t first, size;
    size_t quoted; /* how many of its bytes stood in quotes */
    bool has_quotes;
} field;

struct ds__table {
    ds__heap *heap;
    ds__table_format format;
    ds__buffer path;
    int fd;
    char *chunk;                   /* [CHUNK_BYTES] */
    size_t at, filled, read_bytes; /* read_bytes: how much is asked for next */
    uint64_t chunk_offset;         /* where the chunk begins in the file */
    bool at_end;
    ds__buffer record; /* the fields' bytes, unquoted */
    field *fields;
    size_t field_count, field_capacity;
    size_t line, record_line;
    uint64_t record_offset;
    size_t text_column, pair_column; /* from 0; pair: SIZE_MAX for none */
};

size_t ds__table_line(const ds__table *table) { return table->record_line; }
uint64_t ds__table_offset(const ds__table *table) { return table->record_offset; }
size_t ds__table_field_count(const ds__table *table) { return table->field_count; }

void ds__table_close(ds__table *table) {
    if (!table) return;
    if (table->fd > STDIN_FILENO) close(table->fd);
    ds__buffer_deinit(&table->path);
    ds__buffer_deinit(&table->record);
    ds__free(table->heap, table->fields, table->field_capacity * sizeof *table->fields);
    ds__free(table->heap, table->chunk, CHUNK_BYTES);
    ds__free(table->heap, table, sizeof *table);
}

static const char *name_of(const ds__table *table) { return table->path.data; }

static ds_status read_failed(ds__table *table, ds_error *error) {
    int code = errno; /* before anything else may change it */
    char reason[128];
    return ds__fail(error, DS_IO, "%s: cannot read: %s", name_of(table), strerror_r(code, reason, sizeof reason));
}

/* Makes sure that a byte is there, unless the file is at its end. */
static ds_status fill(ds__table *table, ds_error *error) {
    if (table->at < table->filled || table->at_end) return DS_OK;
    long got = ds__file_read_some(table->fd, table->chunk, table->read_bytes);
    if (got < 0) return read_failed(table, error);
    if (table->read_bytes < CHUNK_BYTES) table->read_bytes *= 2;
    table->chunk_offset += table->filled;
    table->at = 0;
    table->filled = (size_t)got;
    table->at_end = got == 0;
    return DS_OK;
}

static ds_status add_bytes(ds__table *table, const char *bytes, size_t size, ds_error *error) {
    if (table->record.size + size > DS__TABLE_MAX_RECORD)
        return ds__fail(error, DS_BAD_FORMAT,
                        "%s, line %zu: a record of more than %d bytes; close the quote if one is open, and "
                        "check that this is a text file",
                        name_of(table), table->record_line, DS__TABLE_MAX_RECORD);
    ds__buffer_append(&table->record, bytes, size);
    if (table->record.failed) return ds__alloc_failed(table->heap, table->record.size + size, "a record", error);
    return DS_OK;
}

static ds_status open_field(ds__table *table, ds_error *error) {
    if (table->field_count == DS__TABLE_MAX_COLUMNS)
        return ds__fail(error, DS_BAD_FORMAT, "%s, line %zu: more than %d columns", name_of(table), table->record_line,
                        DS__TABLE_MAX_COLUMNS);
    if (!ds__grow(table->heap, (void **)&table->fields, &table->field_capacity, table->field_count + 1,
                  sizeof *table->fields))
        return ds__alloc_failed(table->heap, sizeof *table->fields, "a record's columns", error);
    table->fields[table->field_count++] = (field){.first = table->record.size};
    return DS_OK;
}

static void close_field(ds__table *table) {
    field *last = &table->fields[table->field_count - 1];
    last->size = table->record.size - last->first;
}

/* Appends bytes up to the first of the stop bytes (or the end of the chunk); *stop gets it, -1 at the end of the file.
 */
static ds_status take_until(ds__table *table, char stop_a, char stop_b, int *stop, ds_error *error) {
    for (;;) {
        DS_TRY(fill(table, error));
        if (table->at_end) {
            *stop = -1;
            return DS_OK;
        }
        const char *start = table->chunk + table->at, *end = table->chunk + table->filled, *c = start;
        while (c < end && *c != stop_a && *c != stop_b) c++;
        DS_TRY(add_bytes(table, start, (size_t)(c - start), error));
        table->at += (size_t)(c - start);
        if (c == end) continue;
        table->at++;
        *stop = (unsigned char)*c;
        table->line += *c == '\n';
        return DS_OK;
    }
}

/* The content of a quoted field behind its opening quote, up to the closing one. */
static ds_status take_quoted(ds__table *table, ds_error *error) {
    for (;;) {
        int stop;
        DS_TRY(take_until(table, '"', '\n', &stop, error));
        if (stop < 0)
            return ds__fail(error, DS_BAD_FORMAT,
                            "%s, line %zu: a quote is opened in this record and never closed; close it, or "
                            "double the quotes that belong to the text",
                            name_of(table), table->record_line);
        if (stop == '\n') {
            DS_TRY(add_bytes(table, "\n", 1, error));
            continue;
        }
        DS_TRY(fill(table, error));
        if (table->at_end || table->chunk[table->at] != '"') return DS_OK;
        table->at++; /* a doubled quote is one */
        DS_TRY(add_bytes(table, "\"", 1, error));
    }
}

/* Forgets the last record; *end: no other is left. */
static ds_status begin_record(ds__table *table, bool *end, ds_error *error) {
    table->record_line = table->line;
    table->field_count = 0;
    ds__buffer_clear(&table->record);
    DS_TRY(fill(table, error));
    table->record_offset = table->chunk_offset + table->at;
    *end = table->at_end;
    return DS_OK;
}

/* Reads one record into the fields. *end: nothing was left. */
static ds_status read_record(ds__table *table, bool *end, ds_error *error) {
    char separator = table->format == DS__TABLE_COMMA ? ',' : table->format == DS__TABLE_TAB ? '\t' : '\n';
    DS_TRY(begin_record(table, end, error));
    if (*end) return DS_OK;
    for (int stop = separator; stop == separator && stop != '\n';) {
        DS_TRY(open_field(table, error));
        DS_TRY(fill(table, error));
        if (table->format == DS__TABLE_COMMA && !table->at_end && table->chunk[table->at] == '"') {
            table->at++;
            DS_TRY(take_quoted(table, error));
            field *last = &table->fields[table->field_count - 1];
            last->quoted = table->record.size - last->first;
            last->has_quotes = true;
        }
        DS_TRY(take_until(table, separator, '\n', &stop, error));
        close_field(table);
    }
    return DS_OK;
}

/* One line without separators. */
static ds_status read_line(ds__table *table, bool *end, ds_error *error) {
    int stop;
    DS_TRY(begin_record(table, end, error));
    if (*end) return DS_OK;
    DS_TRY(open_field(table, error));
    DS_TRY(take_until(table, '\n', '\n', &stop, error));
    close_field(table);
    return DS_OK;
}

ds_status ds__table_next_record(ds__table *table, bool *end, ds_error *error) {
    if (table->format == DS__TABLE_LINES) return read_line(table, end, error);
    for (;;) {
        DS_TRY(read_record(table, end, error));
        if (*end) return DS_OK;
        field *last = &table->fields[table->field_count - 1];
        if (last->size > last->quoted && table->record.data[last->first + last->size - 1] == '\r') last->size--;
        if (table->field_count > 1 || last->size || last->has_quotes) return DS_OK;
    }
}

ds__str ds__table_field(const ds__table *table, size_t index) {
    if (!table->fields[index].size) return DS_STR(""); /* the record may have no memory yet */
    return (ds__str){table->record.data + table->fields[index].first, table->fields[index].size};
}

static size_t find_name(const ds__table *table, const char *name) {
    for (size_t i = 0; i < table->field_count; i++)
        if (ds__str_is(ds__table_field(table, i), name)) return i;
    return SIZE_MAX;
}

/* The header names no such column: list those that there are. */
static ds_status no_such_column(ds__table *table, const char *name, ds_error *error) {
    ds__buffer names;
    ds__buffer_init(&names, table->heap);
    for (size_t i = 0; i < table->field_count && names.size < 300; i++) {
        ds__str text = ds__table_field(table, i);
        ds__buffer_printf(&names, "%s%.*s", i ? ", " : "", text.size > 60 ? 60 : (int)text.size, text.data);
    }
    const char *list = ds__buffer_cstr(&names);
    ds_status status = ds__fail(error, DS_NOT_FOUND, "%s: has no column \"%s\"; its columns are: %s", name_of(table),
                                name, list ? list : "?");
    ds__buffer_deinit(&names);
    return status;
}

static ds_status named_column(ds__table *table, const char *name, size_t *column, ds_error *error) {
    *column = find_name(table, name);
    return *column == SIZE_MAX ? no_such_column(table, name, error) : DS_OK;
}

/* A column's number from 1, written in digits. */
static ds_status numbered_column(ds__table *table, const char *digits, size_t *column, ds_error *error) {
    size_t number = 0;
    const char *c = digits;
    while (*c >= '0' && *c <= '9' && number <= DS__TABLE_MAX_COLUMNS) number = number * 10 + (size_t)(*c++ - '0');
    if (*c || number < 1 || number > DS__TABLE_MAX_COLUMNS)
        return ds__fail(error, DS_INVALID_ARGUMENT,
                        "%s: the column is \"%s\", but without a header columns are numbers from 1 "
                        "to %d",
                        name_of(table), digits, DS__TABLE_MAX_COLUMNS);
    *column = number - 1;
    return DS_OK;
}

static ds_status choose_columns(ds__table *table, const ds__table_options *options, ds_error *error) {
    table->pair_column = SIZE_MAX;
    if (table->format == DS__TABLE_LINES) return DS_OK;
    if (!options->has_header) {
        if (options->text_column) DS_TRY(numbered_column(table, options->text_column, &table->text_column, error));
        return options->pair_column ? numbered_column(table, options->pair_column, &table->pair_column, error) : DS_OK;
    }
    bool end;
    DS_TRY(ds__table_next_record(table, &end, error));
    if (end) return ds__fail(error, DS_BAD_FORMAT, "%s: is empty, expected a header line", name_of(table));
    if (options->text_column) {
        DS_TRY(named_column(table, options->text_column, &table->text_column, error));
    } else {
        table->text_column = find_name(table, "text");
        if (table->text_column == SIZE_MAX) table->text_column = find_name(table, "sentence");
        if (table->text_column == SIZE_MAX) table->text_column = 0;
    }
    return options->pair_column ? named_column(table, options->pair_column, &table->pair_column, error) : DS_OK;
}

/* Passes over a byte order mark. A pipe may hand its bytes out one by one: read on while they may still become one. */
static ds_status skip_mark(ds__table *table, ds_error *error) {
    static const char mark[] = {'\xEF', '\xBB', '\xBF'};
    size_t seen = 0;
    DS_TRY(fill(table, error));
    while (table->filled > seen && table->filled < sizeof mark && memcmp(table->chunk, mark, table->filled) == 0) {
        seen = table->filled;
        long got = ds__file_read_some(table->fd, table->chunk + seen, CHUNK_BYTES - seen);
        if (got < 0) return read_failed(table, error);
        table->filled += (size_t)got;
    }
    if (table->filled >= sizeof mark && memcmp(table->chunk, mark, sizeof mark) == 0) table->at = sizeof mark;
    return DS_OK;
}

static ds_status open_file(ds__table *table, const char *path, ds_error *error) {
    struct stat info;
    char reason[128];
    bool standard = strcmp(path, "-") == 0;
    ds__buffer_text(&table->path, standard ? "standard input" : path);
    if (!ds__buffer_cstr(&table->path)) return ds__alloc_failed(table->heap, strlen(path) + 1, "a file's name", error);
    table->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (table->fd < 0)
        return ds__fail(error, errno == ENOENT ? DS_NOT_FOUND : DS_IO, "%s: cannot open: %s", path,
                        strerror_r(errno, reason, sizeof reason));
    if (fstat(table->fd, &info) == 0 && S_ISDIR(info.st_mode))
        return ds__fail(error, DS_IO, "%s: is a folder, expected a file of texts", path);
    table->chunk = ds__alloc(table->heap, CHUNK_BYTES);
    if (!table->chunk) return ds__alloc_failed(table->heap, CHUNK_BYTES, "reading texts", error);
    /* Plain lines are handed on byte by byte; of a table the mark would become part of the first column's name. */
    return table->format == DS__TABLE_LINES ? DS_OK : skip_mark(table, error);
}

ds_status ds__table_open(ds__heap *heap, const ds__table_options *options, ds__table **out, ds_error *error) {
    ds__table *table = ds__alloc_zeroed(heap, sizeof *table);
    if (!table) return ds__alloc_failed(heap, sizeof *table, "a table", error);
    table->heap = heap;
    table->format = options->format;
    table->fd = -1;
    table->read_bytes = CHUNK_BYTES;
    table->line = 1;
    ds__buffer_init(&table->path, heap);
    ds__buffer_init(&table->record, heap);
    ds_status status = open_file(table, options->path, error);
    if (status == DS_OK) status = choose_columns(table, options, error);
    if (status != DS_OK) {
        ds__table_close(table);
        return status;
    }
    *out = table;
    return DS_OK;
}

static ds_status take_column(ds__table *table, size_t column, ds__str *out, ds_error *error) {
    if (column >= table->field_count)
        return ds__fail(error, DS_BAD_FORMAT, "%s, line %zu: has %zu columns, but column %zu is asked for",
                        name_of(table), table->record_line, table->field_count, column + 1);
    *out = ds__table_field(table, column);
    return DS_OK;
}

ds_status ds__table_next(ds__table *table, ds__str *text, ds__str *pair, bool *end, ds_error *error) {
    *pair = (ds__str){NULL, 0};
    DS_TRY(ds__table_next_record(table, end, error));
    if (*end) return DS_OK;
    DS_TRY(take_column(table, table->text_column, text, error));
    return table->pair_column == SIZE_MAX ? DS_OK : take_column(table, table->pair_column, pair, error);
}

ds_status ds__table_seek(ds__table *table, uint64_t offset, size_t line, ds_error *error) {
    table->line = line;
    table->at_end = false;
    if (offset >= table->chunk_offset && offset - table->chunk_offset <= table->filled) {
        table->at = (size_t)(offset - table->chunk_offset);
        return DS_OK;
    }
    /* Whatever becomes of the jump, what is in the chunk is no longer what stands before the next byte read. */
    table->at = table->filled = 0;
    table->chunk_offset = offset;
    table->read_bytes = FIRST_BYTES;
    return lseek(table->fd, (off_t)offset, SEEK_SET) < 0 ? read_failed(table, error) : DS_OK;
}

ds_status ds__table_look(ds__table *table, ds__table_stamp *out, ds_error *error) {
    struct stat info;
    if (fstat(table->fd, &info) != 0) return read_failed(table, error);
    *out = (ds__table_stamp){(uint64_t)info.st_size, (int64_t)info.st_mtim.tv_sec, (int64_t)info.st_mtim.tv_nsec};
    return DS_OK;
}
