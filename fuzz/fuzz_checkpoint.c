/* Arbitrary bytes as the trainer_state.json of a checkpoint: refused with a sentence, or written again as they were.
 *
 * The checksum at a text's end would keep nearly every input from being taken, so each is also tried with one that is
 * right: the input up to its last 32 bytes, and behind it the end that the writer would give it. */
#include <inttypes.h>
#include <string.h>

#include "base/checksum.h"
#include "fuzz.h"
#include "train/checkpoint_state.h"

enum { TAIL = 32 };

static void check(ds__heap *heap, ds__str text) {
    ds__arena arena;
    ds__buffer again;
    ds__checkpoint_state state, second;
    ds_error error = {DS_OK, ""};
    ds__arena_init(&arena, heap, 0);
    ds__buffer_init(&again, heap);
    if (ds__checkpoint_state_read(&arena, "trainer_state.json", text, &state, &error) == DS_OK) {
        FUZZ_CHECK(state.fingerprint && state.kernels && state.state && state.step >= 0);
        FUZZ_CHECK(state.files[0].bytes && state.files[1].bytes);
        FUZZ_CHECK(ds__checkpoint_state_write(&state, &again, &error) == DS_OK);
        FUZZ_CHECK(ds__checkpoint_state_read(&arena, "again", ds__buffer_str(&again), &second, &error) == DS_OK);
        FUZZ_CHECK(strcmp(state.fingerprint, second.fingerprint) == 0 && strcmp(state.kernels, second.kernels) == 0);
        FUZZ_CHECK(strcmp(state.state, second.state) == 0 && state.step == second.step);
        FUZZ_CHECK(memcmp(state.files, second.files, sizeof state.files) == 0);
    } else {
        FUZZ_CHECK(error.status != DS_OK && error.status != DS_INTERNAL && error.message[0]);
    }
    ds__buffer_deinit(&again);
    ds__arena_deinit(&arena);
    FUZZ_CHECK(heap->bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ds__heap heap;
    ds__heap_init(&heap, NULL, 64 << 20);
    check(&heap, (ds__str){(const char *)data, size});
    if (size < TAIL) return 0;
    ds__checksum sum;
    char *mended = malloc(size + 1);
    FUZZ_CHECK(mended);
    ds__checksum_init(&sum);
    ds__checksum_add(&sum, data, size - TAIL);
    memcpy(mended, data, size - TAIL);
    snprintf(mended + size - TAIL, TAIL + 1, ",\"checksum\":\"%016" PRIx64 "\"}\n", ds__checksum_value(&sum));
    check(&heap, (ds__str){mended, size});
    free(mended);
    return 0;
}
