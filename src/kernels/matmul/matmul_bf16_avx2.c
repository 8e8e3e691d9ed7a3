/* matmul_bf16 with 256-bit registers: the operands are rounded while they are packed, and multiplied as floats, which
 * is exact. */
#include "kernels/matmul/matmul_micro_avx2.h"

enum { MR = DS__MATMUL_MR_AVX2, NR = DS__MATMUL_NR_AVX2, ROWS = DS__MATMUL_ROWS_AVX2, DEPTH = DS__MATMUL_DEPTH_AVX2 };

#define TILE(rows_)                                                                                                    \
    static void tile_##rows_(const ds__tile *tile) {                                                                   \
        ds__tile_avx2((ds__tile_kind){.rows = rows_, .vectors = 2, .fetches = true}, tile);                            \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

static ds__tile_run *const tiles[MR + 1] = {NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};

static void pack_a(const ds__matmul_part *part, float *to, size_t ld) { ds__matmul_pack_a_avx2(true, part, to, ld); }
static void pack_b(const ds__matmul_part *part, float *to) { ds__matmul_pack_b_avx2(true, part, to); }

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
                                           .finish = ds__matmul_finish_avx2};
    ds__matmul_run(&loops, args);
}

const ds__matmul ds__matmul_bf16_avx2 = {
    .kernel = DS_KERNEL_HEAD(matmul, matmul_bf16, avx2, "tiles of 6x16, 256-bit registers, floats rounded"),
    .mr = MR,
    .nr = NR,
    .scratch_floats = DS__MATMUL_SCRATCH(MR, NR, ROWS, DEPTH),
    .run = run,
};
