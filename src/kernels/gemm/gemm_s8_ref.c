/* gemm_s8 in portable C: tiles of 4 rows and 8 columns; what the other variants must equal bit by bit. */
#include <string.h>

#include "kernels/gemm/gemm_finish_ref.h"
#include "kernels/gemm/gemm_micro.h"
#include "kernels/gemm/gemm_s8.h"

enum { MR = 4, NR = 8 };

/* `rows` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void tile_of(const int rows, const ds__tile *tile) {
    int32_t sums[MR][NR] = {{0}};
    for (size_t p = 0; p < tile->k; p++) {
        const int8_t *right = (const int8_t *)tile->b + 4 * NR * p;
        for (int i = 0; i < rows; i++) {
            const uint8_t *left = (const uint8_t *)tile->a + 4 * ((size_t)i * tile->a_row + p);
            for (int j = 0; j < NR; j++)
                sums[i][j] += left[0] * right[4 * j] + left[1] * right[4 * j + 1] + left[2] * right[4 * j + 2] +
                              left[3] * right[4 * j + 3];
        }
    }
    memcpy(tile->c, sums, (size_t)rows * NR * sizeof(int32_t));
}

static void tile_1(const ds__tile *tile) { tile_of(1, tile); }
static void tile_2(const ds__tile *tile) { tile_of(2, tile); }
static void tile_3(const ds__tile *tile) { tile_of(3, tile); }
static void tile_4(const ds__tile *tile) { tile_of(4, tile); }

static ds__tile_run *const tiles[MR + 1] = {NULL, tile_1, tile_2, tile_3, tile_4};

static void finish(const ds__gemm_args *args, const void *tile, size_t row, size_t rows, size_t column) {
    const int32_t *sums = tile;
    const ds__s8_panel panel = ds__s8_panel_at(NR, args->w, args->k, column);
    for (size_t i = 0; i < rows; i++) {
        const ds__s8_row about = ds__s8_row_about(args->prepared, args->k, row + i);
        for (size_t j = 0; j < NR && column + j < args->n1; j++) {
            float sum = (float)(sums[i * NR + j] - about.zero * panel.code_sums[j]);
            float x = fmaf(sum, about.scale * panel.scales[j], args->bias ? args->bias[column + j] : 0.0f);
            ds__gemm_finish_ref(args, x, row + i, column + j);
        }
    }
}

static bool panel_bytes(size_t k, size_t *bytes) { return ds__s8_panel_bytes(NR, k, bytes); }

static void pack_codes(const int8_t *codes, const float *scales, size_t rows, size_t k, size_t first, void *packed) {
    for (size_t r = 0; r < rows; r++) ds__s8_put_row(NR, codes + r * k, scales[r], k, first + r, packed);
}

static void pack(const float *w, size_t ldw, size_t rows, size_t k, size_t first, void *packed) {
    for (size_t r = 0; r < rows; r++) {
        const float *row = w + r * ldw;
        const float scale = ds__weight_scale(ds__weight_range_of(row, k)), factor = ds__weight_factor(scale);
        int8_t codes[256]; /* a part of the row at a time */
        for (size_t p = 0; p < k; p += sizeof codes) {
            size_t count = k - p < sizeof codes ? k - p : sizeof codes;
            for (size_t i = 0; i < count; i++) codes[i] = ds__weight_code(row[p + i], factor);
            ds__s8_put_part(NR, codes, p, count, k, first + r, packed);
        }
        ds__s8_put_scale(NR, scale, k, first + r, packed);
    }
}

static void prepare(const float *a, size_t lda, size_t rows, size_t k, void *prepared) {
    for (size_t i = 0; i < rows; i++) {
        const float *x = a + i * lda;
        float low = 0, high = 0, check = 0; /* NaN if anything in the row is not finite */
        for (size_t p = 0; p < k; p++) {
            low = x[p] < low ? x[p] : low;
            high = x[p] > high ? x[p] : high;
            check += x[p] * 0.0f;
        }
        const ds__row_codes row = ds__row_codes_for(low, high, check == 0);
        uint8_t *codes = ds__s8_row_at(prepared, k, i);
        for (size_t p = 0; p < k; p++) codes[p] = row.factor > 0 ? ds__row_code(x[p], &row) : 0;
        ds__s8_end_row(codes, k, &row);
    }
}

static void run(const ds__gemm_args *args) {
    static const ds__gemm_loops loops = {MR, NR, tiles, finish};
    const ds__gemm_words words = ds__s8_words(NR, args);
    int32_t tile[MR * NR];
    ds__gemm_run(&loops, &words, args, tile);
}

const ds__gemm ds__gemm_s8_ref = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_s8, ref, "tiles of 4x8 in portable C"),
    .mr = MR,
    .nr = NR,
    .panel_bytes = panel_bytes,
    .pack = pack,
    .pack_codes = pack_codes,
    .row_bytes = ds__s8_row_bytes,
    .prepare = prepare,
    .run = run,
};
