/* Arbitrary bytes as lines, CSV and TSV.  The first byte chooses the options; the rest is the file. */
#include "formats/table.h"
#include "fuzz.h"

static const char *const columns[] = {NULL, "text", "1", "2", "a", "4097", "0"};

static void read_all(ds__heap *heap, const ds__table_options *options, size_t size) {
    ds__table *table;
    ds_error error = {DS_OK, ""};
    if (ds__table_open(heap, options, &table, &error) != DS_OK) {
        FUZZ_CHECK(error.status != DS_INTERNAL && error.message[0]);
        return;
    }
    size_t total = 0, line = 0;
    unsigned sum = 0;
    for (;;) {
        ds__str text, pair;
        bool end = false;
        if (ds__table_next(table, &text, &pair, &end, &error) != DS_OK) {
            FUZZ_CHECK(error.status != DS_INTERNAL && error.message[0]);
            break;
        }
        if (end) break;
        for (size_t i = 0; i < text.size; i++) sum += (unsigned char)text.data[i];
        for (size_t i = 0; i < pair.size; i++) sum += (unsigned char)pair.data[i];
        total += text.size;
        FUZZ_CHECK(total <= size);
        FUZZ_CHECK(ds__table_line(table) > line && ds__table_line(table) <= size + 1);
        line = ds__table_line(table);
    }
    volatile unsigned keep = sum; /* or the loops over the bytes would be optimised away */
    (void)keep;
    ds__table_close(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    enum { CHOICES = sizeof columns / sizeof *columns };
    char path[64];
    int fd = fuzz_file(data + 1, size - 1, path);
    ds__heap heap;
    ds__heap_init(&heap, NULL, 64 << 20);
    ds__table_options options = {.path = path,
                                 .format = (ds__table_format)(data[0] % 3),
                                 .has_header = data[0] / 3 % 2 == 1,
                                 .text_column = columns[data[0] / 6 % CHOICES],
                                 .pair_column = columns[data[0] / 6 / CHOICES % CHOICES]};
    read_all(&heap, &options, size - 1);
    FUZZ_CHECK(heap.bytes == 0);
    close(fd);
    return 0;
}
