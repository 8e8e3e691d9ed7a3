/* gemm_s8 with 512-bit registers and no sums of four products: two products are added in 16 bits, which the scheme
 * keeps from saturating, and two of those in 32.  Tiles of 8 rows and 32 columns. */
#include "kernels/gemm/gemm_s8_avx512.h"

enum { MR = DS__S8_MR_AVX512, NR = DS__S8_NR_AVX512, VECTORS = DS__TILE_VECTORS_AVX512 };

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* As gemm_s8_avx512vnni's. */
DS__VEC_INLINE void tile_of(const int rows, const ds__tile *tile) {
    const int32_t *a = tile->a, *b = tile->b;
    const float *soon = tile->soon;
    const size_t a_row = tile->a_row, k = tile->k, soon_step = tile->soon_step;
    const __m512i ones = _mm512_set1_epi16(1);
    int32_t *c = tile->c;
    __m512i sums[MR][VECTORS];
    DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] =
        _mm512_setzero_si512();
    for (size_t p = 0; p < k; p++) {
        __m512i right[VECTORS];
        _mm_prefetch((const char *)(soon + p * soon_step), _MM_HINT_T1);
        DS__UNROLL for (int v = 0; v < VECTORS; v++) right[v] = _mm512_load_si512(b + p * NR + 16 * v);
        DS__UNROLL for (int i = 0; i < rows; i++) {
            const __m512i left = _mm512_set1_epi32(a[(size_t)i * a_row + p]);
            DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] =
                _mm512_add_epi32(sums[i][v], _mm512_madd_epi16(_mm512_maddubs_epi16(left, right[v]), ones));
        }
    }
    DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++)
        _mm512_store_si512(c + i * NR + 16 * v, sums[i][v]);
}

/* clang-format on */

#define TILE(rows)                                                                                                     \
    static void tile_##rows(const ds__tile *tile) { tile_of(rows, tile); }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)

static ds__tile_run *const tiles[MR + 1] = {NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8};

static void run(const ds__gemm_args *args) {
    static const ds__gemm_loops loops = {MR, NR, tiles, ds__s8_finish_avx512};
    const ds__gemm_words words = ds__s8_words(NR, args);
    _Alignas(64) int32_t tile[MR * NR];
    ds__gemm_run(&loops, &words, args, tile);
}

const ds__gemm ds__gemm_s8_avx512 = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_s8, avx512, "tiles of 8x32, 8-bit products in pairs, 512-bit registers"),
    .mr = MR,
    .nr = NR,
    .panel_bytes = ds__s8_panel_bytes_avx512,
    .pack = ds__s8_pack_avx512,
    .pack_codes = ds__s8_pack_codes_avx512,
    .row_bytes = ds__s8_row_bytes,
    .prepare = ds__s8_prepare_avx512,
    .run = run,
};
