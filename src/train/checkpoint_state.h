/* trainer_state.json of a checkpoint: one line of JSON that begins with its version and ends with a checksum of itself.
 *
 *   {"version":1,"fingerprint":"bert 6x384 ...","kernels":"avx512bf16","step":313,"state":"...","files":{
 *    "model.safetensors":{"bytes":90864192,"checksum":"0123456789abcdef"},"optimizer.safetensors":{...}},"checksum":"..."}
 */
#ifndef DS_TRAIN_CHECKPOINT_STATE_H
#define DS_TRAIN_CHECKPOINT_STATE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "deepseek/status.h"

/* A file of the checkpoint as it was written. */
typedef struct ds__file_sum {
    uint64_t bytes, checksum;
} ds__file_sum;

enum { DS__CHECKPOINT_WEIGHTS, DS__CHECKPOINT_MOMENTS, DS__CHECKPOINT_FILES };

typedef struct ds__checkpoint_state {
    const char *fingerprint, *kernels, *state; /* never NULL */
    int64_t step;
    ds__file_sum files[DS__CHECKPOINT_FILES];
} ds__checkpoint_state;

extern const char *const ds__checkpoint_file_names[DS__CHECKPOINT_FILES];

/* Appends to `out`. Texts that are not UTF-8 are refused: they would not come back as they were. */
ds_status ds__checkpoint_state_write(const ds__checkpoint_state *state, ds__buffer *out, ds_error *error) DS_MUST_CHECK;
/* path: for messages.  Texts go into the arena.  DS_UNSUPPORTED: of another version; DS_BAD_FORMAT: damaged, or not of
 * this library. */
ds_status ds__checkpoint_state_read(ds__arena *arena, const char *path, ds__str text, ds__checkpoint_state *out,
                                    ds_error *error) DS_MUST_CHECK;

#endif
