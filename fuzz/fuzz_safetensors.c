/* Arbitrary bytes as a safetensors file: refused with a sentence, or every byte of every tensor can be read. */
#include "formats/safetensors.h"
#include "fuzz.h"

static void touch(const ds__safetensors *file) {
    const ds__file_map *map = ds__safetensors_map(file);
    size_t total = 0;
    unsigned sum = 0;
    for (size_t i = 0; i < ds__safetensors_count(file); i++) {
        const ds__safetensor *tensor = ds__safetensors_at(file, i);
        FUZZ_CHECK(tensor->data >= map->data && tensor->bytes <= map->size);
        FUZZ_CHECK((size_t)(tensor->data - map->data) <= map->size - tensor->bytes);
        FUZZ_CHECK(tensor->rank >= 0 && tensor->rank <= DS_MAX_RANK);
        FUZZ_CHECK(tensor->name.data[tensor->name.size] == '\0' &&
                   tensor->dtype_name.data[tensor->dtype_name.size] == '\0');
        FUZZ_CHECK(ds__safetensors_find(file, tensor->name) == tensor);
        size_t elements = 1;
        for (int d = 0; d < tensor->rank; d++) elements *= (size_t)tensor->shape[d];
        FUZZ_CHECK(!tensor->known_dtype || elements * ds_dtype_size(tensor->dtype) == tensor->bytes);
        for (size_t b = 0; b < tensor->bytes; b++) sum += tensor->data[b];
        total += tensor->bytes;
    }
    FUZZ_CHECK(total < map->size);
    volatile unsigned keep = sum; /* or the loop over the bytes would be optimised away */
    (void)keep;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    int fd = fuzz_file(data, size, path);
    ds__heap heap;
    ds__heap_init(&heap, NULL, 64 << 20);
    ds__safetensors *file;
    ds_error error = {DS_OK, ""};
    if (ds__safetensors_open(&heap, path, &file, &error) == DS_OK) {
        touch(file);
        ds__safetensors_close(file);
    } else {
        FUZZ_CHECK(error.status != DS_INTERNAL && error.message[0]);
    }
    FUZZ_CHECK(heap.bytes == 0);
    close(fd);
    return 0;
}
