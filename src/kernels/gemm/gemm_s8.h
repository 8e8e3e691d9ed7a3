/* How the operands of gemm_s8 lie in memory, for its variants.  K4 = ceil(k / 4).
 *
 * A panel of W: [K4][nr][4] codes (four inputs of one output side by side, zeros behind the last input), then nr scales
 * (f32), then nr sums of an output's codes (i32).  So a panel is whole in itself.
 * A row of A: [4 * K4] codes (zeros behind the last), then its scale (f32) and zero point (i32). */
#ifndef DS_KERNELS_GEMM_S8_H
#define DS_KERNELS_GEMM_S8_H

#include <string.h>

#include "kernels/gemm/gemm_micro.h"
#include "tensor/quantize.h"

static inline size_t ds__s8_steps(size_t k) { return k / 4 + (k % 4 != 0); }

static inline bool ds__s8_panel_bytes(size_t nr, size_t k, size_t *bytes) {
    return ds__gemm_panel(nr, ds__s8_steps(k), 8 * nr, bytes);
}

typedef struct ds__s8_panel {
    const float *scales;      /* [nr] */
    const int32_t *code_sums; /* [nr] */
} ds__s8_panel;

/* What stands behind the codes of the panel that `column` begins. */
static inline ds__s8_panel ds__s8_panel_at(size_t nr, const void *w, size_t k, size_t column) {
    const size_t steps = ds__s8_steps(k);
    const float *end = (const float *)w + column / nr * ds__gemm_panel_words(nr, steps, 8 * nr) + steps * nr;
    return (ds__s8_panel){end, (const int32_t *)(const void *)(end + nr)};
}

/* Bytes from row to row, where ds__s8_row_bytes did not overflow. */
static inline size_t ds__s8_row_stride(size_t k) { return (4 * ds__s8_steps(k) + 8 + 63) / 64 * 64; }

static inline bool ds__s8_row_bytes(size_t k, size_t *bytes) {
    *bytes = ds__s8_row_stride(k);
    return k <= SIZE_MAX - 128;
}

static inline uint8_t *ds__s8_row_at(void *prepared, size_t k, size_t i) {
    return (uint8_t *)prepared + i * ds__s8_row_stride(k);
}

/* Zeros behind the last code, the scale and the zero point. */
static inline void ds__s8_end_row(uint8_t *codes, size_t k, const ds__row_codes *row) {
    const size_t end = 4 * ds__s8_steps(k);
    for (size_t p = k; p < end; p++) codes[p] = 0;
    memcpy(codes + end, &row->scale, sizeof row->scale);
    memcpy(codes + end + sizeof row->scale, &row->zero, sizeof row->zero);
}

typedef struct ds__s8_row {
    float scale;
    int32_t zero;
} ds__s8_row;

static inline ds__s8_row ds__s8_row_about(const void *prepared, size_t k, size_t i) {
    const uint8_t *end = (const uint8_t *)prepared + i * ds__s8_row_stride(k) + 4 * ds__s8_steps(k);
    ds__s8_row row;
    memcpy(&row.scale, end, sizeof row.scale);
    memcpy(&row.zero, end + sizeof row.scale, sizeof row.zero);
    return row;
}

static inline ds__gemm_words ds__s8_words(size_t nr, const ds__gemm_args *args) {
    const size_t steps = ds__s8_steps(args->k), row = ds__s8_row_stride(args->k) / 4;
    return (ds__gemm_words){args->prepared, row, args->w, steps, ds__gemm_panel_words(nr, steps, 8 * nr)};
}

/* Places `count` codes of output `column` from input `from` on, and adds them to its sum. */
static inline void ds__s8_put_part(size_t nr, const int8_t *codes, size_t from, size_t count, size_t k, size_t column,
                                   void *packed) {
    const size_t steps = ds__s8_steps(k), lane = column % nr;
    char *panel = (char *)packed + 4 * (column / nr) * ds__gemm_panel_words(nr, steps, 8 * nr);
    char *sum_at = panel + 4 * (steps * nr + nr + lane);
    int32_t sum;
    memcpy(&sum, sum_at, sizeof sum);
    for (size_t i = 0; i < count; i++) {
        size_t p = from + i;
        panel[4 * (p / 4 * nr + lane) + p % 4] = (char)codes[i];
        sum += codes[i];
    }
    memcpy(sum_at, &sum, sizeof sum);
}

static inline void ds__s8_put_scale(size_t nr, float scale, size_t k, size_t column, void *packed) {
    const size_t steps = ds__s8_steps(k);
    float *panel = (float *)packed + column / nr * ds__gemm_panel_words(nr, steps, 8 * nr);
    panel[steps * nr + column % nr] = scale;
}

/* A whole output. */
static inline void ds__s8_put_row(size_t nr, const int8_t *codes, float scale, size_t k, size_t column, void *packed) {
    ds__s8_put_part(nr, codes, 0, k, k, column, packed);
    ds__s8_put_scale(nr, scale, k, column, packed);
}

/* Weights to be packed: floats, or codes with scales (dense). */
typedef struct ds__s8_source {
    const float *w; /* NULL: codes */
    size_t ldw;
    const int8_t *codes;
    const float *scales;
} ds__s8_source;

/* What packing needs of an instruction set. */
typedef struct ds__s8_packer {
    size_t nr, lanes; /* of a panel; outputs that fill registers of their own, at most 16 */
    ds__weight_range (*range)(const float *w, size_t k);
    /* The codes of `count` (1..64) weights. */
    void (*encode)(const float *w, size_t count, float factor, int8_t *codes);
    /* `lanes` outputs from row `row` on, their first word at `to`, and the sums of their codes. factors: of floats. */
    void (*block)(const ds__s8_source *from, size_t row, const float *factors, size_t k, int32_t *sums, float *to);
} ds__s8_packer;

/* `lanes` outputs at a time; those at the edge of another source's, which share registers with it, one by one. */
static inline void ds__s8_pack_rows(const ds__s8_packer *packer, const ds__s8_source *from, size_t rows, size_t k,
                                    size_t first, void *packed) {
    enum { PART = 64, MOST_LANES = 16 };
    const size_t nr = packer->nr, steps = ds__s8_steps(k), panel = ds__gemm_panel_words(nr, steps, 8 * nr);
    for (size_t r = 0; r < rows;) {
        const size_t column = first + r, lane = column % nr;
        const bool whole = lane % packer->lanes == 0 && rows - r >= packer->lanes;
        const size_t count = whole ? packer->lanes : 1;
        float scales[MOST_LANES], factors[MOST_LANES];
        for (size_t i = 0; i < count; i++) {
            scales[i] =
                from->w ? ds__weight_scale(packer->range(from->w + (r + i) * from->ldw, k)) : from->scales[r + i];
            factors[i] = ds__weight_factor(scales[i]);
        }
        if (whole) {
            float *to = (float *)packed + column / nr * panel + lane;
            int32_t sums[MOST_LANES];
            packer->block(from, r, factors, k, sums, to);
            memcpy(to + steps * nr, scales, count * sizeof *scales);
            memcpy(to + steps * nr + nr, sums, count * sizeof *sums);
        } else {
            for (size_t p = 0; p < k; p += PART) {
                const size_t part = k - p < PART ? k - p : PART;
                int8_t codes[PART];
                if (from->w) packer->encode(from->w + r * from->ldw + p, part, factors[0], codes);
                ds__s8_put_part(nr, from->w ? codes : from->codes + r * k + p, p, part, k, column, packed);
            }
            ds__s8_put_scale(nr, scales[0], k, column, packed);
        }
        r += count;
    }
}

#endif
