/* Arbitrary bytes as a tensor in raw form, with a datatype and a shape that the first bytes choose: what is accepted is
 * written back to the same bytes. */
#include "fuzz.h"
#include "serve/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    ds__heap heap;
    ds__arena arena;
    ds__heap_init(&heap, NULL, 64 << 20);
    ds__arena_init(&arena, &heap, 0);
    ds__serve_tensor tensor = {.name = DS_STR("x"),
                               .datatype = (ds__serve_datatype)(data[0] % DS__SERVE_DATATYPE_COUNT)};
    tensor.rank = data[1] % (DS__SERVE_MAX_RANK + 2);
    size_t at = 2;
    for (int i = 0; i < tensor.rank && i < DS__SERVE_MAX_RANK; i++) {
        int64_t extent = 1;
        if (at < size && data[at] < 200) /* mostly small */
            extent = data[at++] % 9;
        else if (size - at >= 9 && at < size) {
            memcpy(&extent, data + at + 1, sizeof extent);
            at += 9;
        }
        tensor.shape[i] = extent;
    }
    ds_error error = {DS_OK, ""};
    ds__str raw = {(const char *)data + at, size - at};
    ds__serve_code code = ds__serve_tensor_from_raw(&tensor, raw, &arena, &error);
    FUZZ_CHECK(code == DS__SERVE_OK || error.message[0]);
    if (code == DS__SERVE_OK) {
        FUZZ_CHECK(ds__serve_tensor_raw_size(&tensor) == raw.size);
        char *back = ds__arena_alloc(&arena, raw.size);
        FUZZ_CHECK(back);
        ds__serve_tensor_to_raw(&tensor, back);
        FUZZ_CHECK(raw.size == 0 || memcmp(back, raw.data, raw.size) == 0);
    }
    ds__arena_deinit(&arena);
    FUZZ_CHECK(heap.bytes == 0);
    return 0;
}
