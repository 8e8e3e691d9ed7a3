/* matmul_bf16 on machines with AVX-512 and no products of bfloat16: the operands are rounded while they are packed, and
 * multiplied as floats, which is exact. */
#include "kernels/matmul/matmul_micro_avx512.h"

enum { MR = DS__MATMUL_MR_AVX512, NR = DS__MATMUL_NR_AVX512, ROWS = DS__MATMUL_ROWS_AVX512, DEPTH = 512 };

#define TILE(rows_)                                                                                                    \
    static void tile_##rows_(const ds__tile *tile) {                                                                   \
        ds__tile_avx512((ds__tile_kind){.rows = rows_, .vectors = 2, .fetches = true}, tile);                          \
    }
DS__TILES_8(TILE)

static ds__tile_run *const tiles[] = DS__TILE_TABLE_8(tile_);

static void pack_a(const ds__matmul_part *part, float *to, size_t ld) { ds__matmul_pack_a_avx512(true, part, to, ld); }
static void pack_b(const ds__matmul_part *part, float *to) { ds__matmul_pack_b_avx512(true, part, to); }

static void run(const ds__matmul_args *args) {
    static const ds__matmul_loops loops = {.mr = MR,
                                           .nr = NR,
                                           .rows = ROWS,
                                           .depth = DEPTH,
                                           .inputs = 1,
                                           .in_place = false,
                                           .tiles = tiles,
                                           .pack_a = pack_a,
                                           .pack_b = pack_b,
                                           .finish = ds__matmul_finish_avx512};
    ds__matmul_run(&loops, args);
}

const ds__matmul ds__matmul_bf16_avx512 = {
    .kernel = DS_KERNEL_HEAD(matmul, matmul_bf16, avx512, "tiles of 8x32, 512-bit registers, floats rounded"),
    .mr = MR,
    .nr = NR,
    .scratch_floats = DS__MATMUL_SCRATCH(MR, NR, ROWS, DEPTH),
    .run = run,
};
