/* matmul_bf16 in portable C: the operands are rounded while they are packed. */
#include "kernels/matmul/matmul_ref.h"

enum { MR = DS__MATMUL_MR_REF, NR = DS__MATMUL_NR_REF, ROWS = DS__MATMUL_ROWS_REF, DEPTH = DS__MATMUL_DEPTH_REF };

static void tile_1(const ds__tile *tile) { ds__matmul_tile_ref(1, tile); }
static void tile_2(const ds__tile *tile) { ds__matmul_tile_ref(2, tile); }
static void tile_3(const ds__tile *tile) { ds__matmul_tile_ref(3, tile); }
static void tile_4(const ds__tile *tile) { ds__matmul_tile_ref(4, tile); }

static ds__tile_run *const tiles[MR + 1] = {NULL, tile_1, tile_2, tile_3, tile_4};

static void pack_a(const ds__matmul_part *part, float *to, size_t ld) { ds__matmul_pack_a_ref(true, part, to, ld); }
static void pack_b(const ds__matmul_part *part, float *to) { ds__matmul_pack_b_ref(true, part, to); }

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
                                           .finish = ds__matmul_finish_ref};
    ds__matmul_run(&loops, args);
}

const ds__matmul ds__matmul_bf16_ref = {
    .kernel = DS_KERNEL_HEAD(matmul, matmul_bf16, ref, "tiles of 4x8 in portable C, floats rounded"),
    .mr = MR,
    .nr = NR,
    .scratch_floats = DS__MATMUL_SCRATCH(MR, NR, ROWS, DEPTH),
    .run = run,
};
