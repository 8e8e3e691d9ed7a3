/* gemm_s8 with 256-bit registers: two products are added in 16 bits, which the scheme keeps from saturating, and two of
 * those in 32.  Tiles of 5 rows and 16 columns. */
#include "kernels/elementwise/vec_quantize_avx2.h"
#include "kernels/gemm/gemm_micro_avx2.h"
#include "kernels/gemm/gemm_s8.h"

enum { MR = 5, NR = 8 * DS__TILE_VECTORS_AVX2, VECTORS = DS__TILE_VECTORS_AVX2 };

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* rows * 2 accumulators, four inputs of 16 columns in two registers, four codes of A, a product, the ones. */
DS__VEC_INLINE void tile_of(const int rows, const ds__tile *tile) {
    const int32_t *a = tile->a, *b = tile->b;
    const float *soon = tile->soon;
    const size_t a_row = tile->a_row, k = tile->k, soon_step = tile->soon_step;
    const __m256i ones = _mm256_set1_epi16(1);
    int32_t *c = tile->c;
    __m256i sums[MR][VECTORS];
    DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] =
        _mm256_setzero_si256();
    for (size_t p = 0; p < k; p++) {
        __m256i right[VECTORS];
        _mm_prefetch((const char *)(soon + p * soon_step), _MM_HINT_T1);
        DS__UNROLL for (int v = 0; v < VECTORS; v++) right[v] =
            _mm256_load_si256((const __m256i *)(const void *)(b + p * NR + 8 * v));
        DS__UNROLL for (int i = 0; i < rows; i++) {
            const __m256i left = _mm256_set1_epi32(a[(size_t)i * a_row + p]);
            DS__UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] =
                _mm256_add_epi32(sums[i][v], _mm256_madd_epi16(_mm256_maddubs_epi16(left, right[v]), ones));
        }
    }
    DS__UNROLL for (int i = 0; i < rows; i++) DS__UNROLL for (int v = 0; v < VECTORS; v++)
        _mm256_store_si256((__m256i *)(void *)(c + i * NR + 8 * v), sums[i][v]);
}

/* 8 outputs that fill registers of their own: from floats with `factors`, or from codes; `to`: their first word. */
DS__VEC_INLINE void pack_8(const float *w, size_t ldw, const float *factors, const int8_t *stored, size_t k,
                           int32_t *sums, float *to) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i totals[8];
    DS__UNROLL for (int i = 0; i < 8; i++) totals[i] = _mm256_setzero_si256();
    for (size_t p = 0; p < k; p += 32) {
        const size_t count = k - p < 32 ? k - p : 32;
        __m256 x[8];
        DS__UNROLL for (int i = 0; i < 8; i++) {
            __m256i codes;
            if (!stored) {
                codes = ds__weight_codes_avx2(w + (size_t)i * ldw + p, count, _mm256_set1_ps(factors[i]));
            } else {
                int8_t some[32] = {0};
                memcpy(some, stored + (size_t)i * k + p, count);
                codes = _mm256_loadu_si256((const __m256i *)(const void *)some);
            }
            const __m256i low = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(codes));
            const __m256i high = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(codes, 1));
            totals[i] = _mm256_add_epi32(totals[i], _mm256_madd_epi16(_mm256_add_epi16(low, high), ones));
            x[i] = _mm256_castsi256_ps(codes);
        }
        ds__transpose_words_avx2(x);
        DS__UNROLL for (int q = 0; q < 8; q++) if (4 * (size_t)q < count)
            _mm256_storeu_ps(to + (p / 4 + (size_t)q) * NR, x[q]);
    }
    for (int i = 0; i < 8; i++) {
        int32_t lanes[8];
        _mm256_storeu_si256((__m256i *)(void *)lanes, totals[i]);
        sums[i] = 0;
        for (int j = 0; j < 8; j++) sums[i] += lanes[j];
    }
}

/* clang-format on */

#define TILE(rows)                                                                                                     \
    static void tile_##rows(const ds__tile *tile) { tile_of(rows, tile); }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)

static ds__tile_run *const tiles[MR + 1] = {NULL, tile_1, tile_2, tile_3, tile_4, tile_5};

static void encode(const float *w, size_t count, float factor, int8_t *codes) {
    for (size_t p = 0; p < count; p += 32)
        ds__store_bytes_avx2(codes + p, ds__weight_codes_avx2(w + p, count - p, _mm256_set1_ps(factor)), count - p);
}

static void block(const ds__s8_source *from, size_t row, const float *factors, size_t k, int32_t *sums, float *to) {
    if (from->w) /* apart, so that each is a loop without the question */
        pack_8(from->w + row * from->ldw, from->ldw, factors, NULL, k, sums, to);
    else
        pack_8(NULL, 0, factors, from->codes + row * k, k, sums, to);
}

static const ds__s8_packer packer = {NR, 8, ds__weight_range_avx2, encode, block};

static void pack(const float *w, size_t ldw, size_t rows, size_t k, size_t first, void *packed) {
    ds__s8_pack_rows(&packer, &(ds__s8_source){.w = w, .ldw = ldw}, rows, k, first, packed);
}

static void pack_codes(const int8_t *codes, const float *scales, size_t rows, size_t k, size_t first, void *packed) {
    ds__s8_pack_rows(&packer, &(ds__s8_source){.codes = codes, .scales = scales}, rows, k, first, packed);
}

static void prepare(const float *a, size_t lda, size_t rows, size_t k, void *prepared) {
    for (size_t i = 0; i < rows; i++) {
        uint8_t *codes = ds__s8_row_at(prepared, k, i);
        const ds__row_codes row = ds__quantize_row_avx2(a + i * lda, k, codes);
        ds__s8_end_row(codes, k, &row);
    }
}

/* As ds__gemm_finish_as_avx2, from exact sums. */
DS__VEC_INLINE void finish_as(ds__activation activation, const ds__gemm_args *args, const int32_t *tile, size_t row,
                              size_t rows, size_t column) {
    const ds__s8_panel panel = ds__s8_panel_at(NR, args->w, args->k, column);
    ds__s8_row about[MR];
    for (size_t i = 0; i < rows; i++) about[i] = ds__s8_row_about(args->prepared, args->k, row + i);
    for (size_t from = column; from < column + NR && from < args->n1; from += 8) {
        const bool whole = args->n1 - from >= 8;
        const __m256i mask = ds__tail_avx2(whole ? 8 : args->n1 - from);
        const __m256 bias = args->bias ? _mm256_maskload_ps(args->bias + from, mask) : _mm256_setzero_ps();
        const __m256 scales = _mm256_loadu_ps(panel.scales + (from - column));
        const __m256i code_sums =
            _mm256_loadu_si256((const __m256i *)(const void *)(panel.code_sums + (from - column)));
        for (size_t i = 0; i < rows; i++) {
            const __m256i correction = _mm256_mullo_epi32(_mm256_set1_epi32(about[i].zero), code_sums);
            const __m256i sum = _mm256_load_si256((const __m256i *)(const void *)(tile + i * NR + (from - column)));
            __m256 x = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sum, correction)),
                                       _mm256_mul_ps(_mm256_set1_ps(about[i].scale), scales), bias);
            x = ds__activate_avx2(activation, x);
            if (args->residual)
                x = _mm256_add_ps(x, _mm256_maskload_ps(args->residual + (row + i) * args->ldr + from, mask));
            float *c = args->c + (row + i) * args->ldc + from;
            if (whole)
                _mm256_storeu_ps(c, x); /* a masked store is slow on some machines */
            else
                _mm256_maskstore_ps(c, mask, x);
        }
    }
}

/* One loop for each activation, chosen once for a tile. */
static void finish(const ds__gemm_args *args, const void *tile, size_t row, size_t rows, size_t column) {
    switch (args->activation) {
#define FINISH(name, text)                                                                                             \
    case DS__ACTIVATION_##name: finish_as(DS__ACTIVATION_##name, args, tile, row, rows, column); break;
        DS__ACTIVATION_LIST(FINISH)
#undef FINISH
    case DS__ACTIVATION_COUNT: break;
    }
}

static bool panel_bytes(size_t k, size_t *bytes) { return ds__s8_panel_bytes(NR, k, bytes); }

static void run(const ds__gemm_args *args) {
    static const ds__gemm_loops loops = {MR, NR, tiles, finish};
    const ds__gemm_words words = ds__s8_words(NR, args);
    _Alignas(64) int32_t tile[MR * NR];
    ds__gemm_run(&loops, &words, args, tile);
}

const ds__gemm ds__gemm_s8_avx2 = {
    .kernel = DS_KERNEL_HEAD(gemm, gemm_s8, avx2, "tiles of 5x16, 8-bit products in pairs, 256-bit registers"),
    .mr = MR,
    .nr = NR,
    .panel_bytes = panel_bytes,
    .pack = pack,
    .pack_codes = pack_codes,
    .row_bytes = ds__s8_row_bytes,
    .prepare = prepare,
    .run = run,
};
