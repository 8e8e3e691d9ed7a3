/* Checkpoints of a training run: everything that the next step depends on, in a folder that appears whole or not at
 * all.
 *
 * A checkpoint holds model.safetensors (the weights, F32, under their own names), optimizer.safetensors (what the
 * optimiser keeps), and trainer_state.json: the format's version, what the run is (fingerprint), the step, which
 * kernels computed it, the host's text, and size and checksum of both files.  Checkpoints of a run lie side by side in
 * one folder as checkpoint-STEP; the best one is named in the file `best` beside them. */
#ifndef DS_TRAIN_CHECKPOINT_H
#define DS_TRAIN_CHECKPOINT_H

#include "base/buffer.h"
#include "deepseek/tensor.h"
#include "formats/safetensors.h"

typedef struct ds__kept_tensor {
    const char *name;
    int rank;
    int64_t shape[DS_MAX_RANK];
    float *data;                  /* dense */
    const ds__safetensor *stored; /* not NULL: these bytes in place of data, as they are */
} ds__kept_tensor;

typedef struct ds__checkpoint {
    const char *fingerprint; /* of model and options: one line of readable text, "bert 6x384 labels=77 adamw ..." */
    const char *kernels;     /* of the instruction set, "avx512bf16" */
    int64_t step;
    const char *state; /* the host's */
    ds__kept_tensor *weights, *moments;
    size_t weight_count, moment_count;
} ds__checkpoint;

/* path: does not exist. On failure (a full disk) nothing is left. */
ds_status ds__checkpoint_write(ds__heap *heap, const char *path, const ds__checkpoint *checkpoint,
                               ds_error *error) DS_MUST_CHECK;
/* Fills the tensors' memory, which must agree with the file in names and shapes, and checkpoint->step; everything is
 * checked (fingerprint, sizes, checksums) before the first byte is written there.  kernels and state get texts in
 * `texts`. Another fingerprint is refused with both.
 * DS_NOT_FOUND, DS_BAD_FORMAT: not whole, an older one may be; DS_INVALID_ARGUMENT (fingerprint), DS_SHAPE_MISMATCH:
 * of another run; DS_UNSUPPORTED: of another version of the format. */
ds_status ds__checkpoint_read(ds__heap *heap, const char *path, ds__checkpoint *checkpoint, ds__buffer *texts,
                              ds_error *error) DS_MUST_CHECK;

/* Steps of the checkpoints in a folder, newest first, at most `most`; 0 when the folder does not exist. Temporary
 * folders that a killed process left behind are removed. */
ds_status ds__checkpoint_list(ds__heap *heap, const char *folder, int64_t *steps, size_t most, size_t *count,
                              ds_error *error) DS_MUST_CHECK;
/* "FOLDER/checkpoint-STEP" into `out`. NULL: out of memory. */
const char *ds__checkpoint_path(ds__buffer *out, const char *folder, int64_t step);
/* Marks `step` as the best one (atomically); -1 when none is marked. */
ds_status ds__checkpoint_mark_best(ds__heap *heap, const char *folder, int64_t step, ds_error *error) DS_MUST_CHECK;
ds_status ds__checkpoint_best(ds__heap *heap, const char *folder, int64_t *step, ds_error *error) DS_MUST_CHECK;
/* Removes all but the newest `keep` and the best one. */
ds_status ds__checkpoint_prune(ds__heap *heap, const char *folder, size_t keep, ds_error *error) DS_MUST_CHECK;

#endif
