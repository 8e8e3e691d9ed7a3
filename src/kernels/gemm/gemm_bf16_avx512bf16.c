/* gemm_bf16 with the CPU's own products of bfloat16 pairs: tiles of 8 rows and 32 columns, as gemm_f32_avx512 has them.
 *
 * vdpbf16ps adds the two products of a pair to a float, rounds to the nearest after each, and takes denormals for zero,
 * A's and W's as well as sums. */
#include "kernels/gemm/gemm_bf16_avx512.h"
#include "kernels/gemm/gemm_finish_avx512.h"

enum { MR = DS__BF16_MR_AVX512, NR = DS__BF16_NR_AVX512 };

DS__VEC_INLINE __m512i add(__m512i sums, __m512i left, __m512i right) {
    return _mm512_castps_si512(_mm512_dpbf16_ps(_mm512_castsi512_ps(sums), (__m512bh)left, (__m512bh)right));
}

#define TILE(rows)                                                                                                     \
    static void tile_##rows(const ds__tile *tile) { ds__word_tile_avx512(rows, add, tile); }
DS__TILES_8(TILE)

static ds__tile_run *const tiles[] = DS__TILE_TABLE_8(tile_);

/* Rows of whole cache lines. */
static bool row_bytes(size_t k, size_t *bytes) {
    if (k > SIZE_MAX / 4) return false;
    *bytes = (4 * ds__bf16_steps(k) + 63) / 64 * 64;
    return true;
}

/* To the nearest even; the conversion takes denormals for zero, as the products would. A row's last, partial group of
 * 32 gets zeros up to its end, so an odd last input has its zero. */
static void prepare(const float *a, size_t lda, size_t rows, size_t k, void *prepared) {
    size_t bytes = 0;
    if (!row_bytes(k, &bytes)) return; /* the caller has asked before */
    for (size_t i = 0; i < rows; i++) {
        const float *from = a + i * lda;
        char *to = (char *)prepared + i * bytes;
        size_t p = 0;
        for (; p + 32 <= k; p += 32)
            _mm512_store_si512(to + 2 * p,
                               (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + p + 16), _mm512_loadu_ps(from + p)));
        if (p == k) continue;
        const size_t left = k - p;
        __m512 low = _mm512_maskz_loadu_ps(ds__tail_avx512(left < 16 ? left : 16), from + p),
               high = _mm512_setzero_ps();
        if (left > 16) high = _mm512_maskz_loadu_ps(ds__tail_avx512(left - 16), from + p + 16);
        _mm512_store_si512(to + 2 * p, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

static void run(const ds__gemm_args *args) {
    static const ds__gemm_loops loops = {MR, NR, tiles, ds__gemm_finish_avx512};
    const size_t steps = ds__bf16_steps(args->k);
    size_t row = 0;
    if (!row_bytes(args->k, &row)) return;
    const ds__gemm_words words = {args->prepared, row / 4, args->w, steps, ds__gemm_panel_words(NR, steps, 0)};
    _Alignas(64) float tile[MR * NR];
    ds__gemm_run(&loops, &words, args, tile);
}

const ds__gemm ds__gemm_bf16_avx512bf16 = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_bf16, avx512bf16, "tiles of 8x32, bfloat16 products in pairs"),
    .mr = MR,
    .nr = NR,
    .panel_bytes = ds__bf16_panel_bytes_avx512,
    .pack = ds__bf16_pack_avx512,
    .row_bytes = row_bytes,
    .prepare = prepare,
    .run = run,
};
