/* gemm_s8 with the CPU's own sums of four products (vpdpbusd): tiles of 8 rows and 32 columns. */
#include "kernels/gemm/gemm_s8_avx512.h"

DS__VEC_INLINE __m512i add(__m512i sums, __m512i left, __m512i right) { return _mm512_dpbusd_epi32(sums, left, right); }

#define TILE(rows)                                                                                                     \
    static void tile_##rows(const ds__tile *tile) { ds__word_tile_avx512(rows, add, tile); }
DS__TILES_8(TILE)

static ds__tile_run *const tiles[] = DS__TILE_TABLE_8(tile_);

static void run(const ds__gemm_args *args) { ds__s8_run_avx512(tiles, args); }

const ds__gemm ds__gemm_s8_avx512vnni = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_s8, avx512vnni, "tiles of 8x32, sums of four 8-bit products"),
    DS__S8_COMMON_AVX512,
    .run = run,
};
