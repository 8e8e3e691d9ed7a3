/* What the two AVX-512 variants of gemm_s8 share: packing, preparing, the epilogue; empty without AVX-512. */
#ifndef DS_KERNELS_GEMM_S8_AVX512_H
#define DS_KERNELS_GEMM_S8_AVX512_H

#include "kernels/elementwise/vec_quantize_avx512.h"
#include "kernels/gemm/gemm_micro_avx512.h"
#include "kernels/gemm/gemm_s8.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__)

enum { DS__S8_MR_AVX512 = DS__TILE_ROWS_AVX512, DS__S8_NR_AVX512 = 16 * DS__TILE_VECTORS_AVX512 };

static inline bool ds__s8_panel_bytes_avx512(size_t k, size_t *bytes) {
    return ds__s8_panel_bytes(DS__S8_NR_AVX512, k, bytes);
}

/* clang-format off: it does not know that DS__UNROLL stands in front of a loop */

/* `count` (1..64) inputs of 16 outputs, as codes in the bytes of 16 registers, to ceil(count / 4) rows of words. */
DS__VEC_INLINE void ds__s8_put_block_avx512(__m512i codes[16], size_t count, float *to) {
    __m512 x[16];
    DS__UNROLL for (int i = 0; i < 16; i++) x[i] = _mm512_castsi512_ps(codes[i]);
    ds__transpose_words_avx512(x);
    DS__UNROLL for (int q = 0; q < 16; q++) if (4 * (size_t)q < count)
        _mm512_storeu_ps(to + (size_t)q * DS__S8_NR_AVX512, x[q]);
}

/* The codes of up to 64 floats (zero beyond `count`). */
DS__VEC_INLINE __m512i ds__s8_codes_avx512(const float *w, size_t count, __m512 factor) {
    __m128i part[4];
    DS__UNROLL for (int i = 0; i < 4; i++) {
        const size_t from = 16 * (size_t)i, left = count > from ? count - from : 0;
        part[i] = ds__weight_codes_avx512(left ? w + from : w, left < 16 ? left : 16, factor);
    }
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(part[0]), part[1], 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(part[2]), part[3], 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/* 16 outputs that fill registers of their own: from floats with `factors`, or from codes. */
DS__VEC_INLINE void ds__s8_pack_16_avx512(const float *w, size_t ldw, const float *factors, const int8_t *stored,
                                          size_t k, int32_t *sums, float *to) {
    __m512i totals[16], codes[16];
    const __m512i ones = _mm512_set1_epi16(1);
    DS__UNROLL for (int i = 0; i < 16; i++) totals[i] = _mm512_setzero_si512();
    for (size_t p = 0; p < k; p += 64) {
        const size_t count = k - p < 64 ? k - p : 64;
        const __mmask64 mask = count < 64 ? ((__mmask64)1 << count) - 1 : ~(__mmask64)0;
        DS__UNROLL for (int i = 0; i < 16; i++) {
            codes[i] = stored ? _mm512_maskz_loadu_epi8(mask, stored + (size_t)i * k + p)
                              : ds__s8_codes_avx512(w + (size_t)i * ldw + p, count, _mm512_set1_ps(factors[i]));
            const __m512i low = _mm512_cvtepi8_epi16(_mm512_castsi512_si256(codes[i]));
            const __m512i high = _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(codes[i], 1));
            totals[i] = _mm512_add_epi32(totals[i], _mm512_madd_epi16(_mm512_add_epi16(low, high), ones));
        }
        ds__s8_put_block_avx512(codes, count, to + p / 4 * DS__S8_NR_AVX512);
    }
    DS__UNROLL for (int i = 0; i < 16; i++) sums[i] = _mm512_reduce_add_epi32(totals[i]);
}

/* clang-format on */

static inline void ds__s8_encode_avx512(const float *w, size_t count, float factor, int8_t *codes) {
    _mm512_storeu_si512(codes, ds__s8_codes_avx512(w, count, _mm512_set1_ps(factor)));
}

static inline void ds__s8_block_avx512(const ds__s8_source *from, size_t row, const float *factors, size_t k,
                                       int32_t *sums, float *to) {
    if (from->w) /* apart, so that each is a loop without the question */
        ds__s8_pack_16_avx512(from->w + row * from->ldw, from->ldw, factors, NULL, k, sums, to);
    else
        ds__s8_pack_16_avx512(NULL, 0, factors, from->codes + row * k, k, sums, to);
}

static const ds__s8_packer ds__s8_packer_avx512 = {DS__S8_NR_AVX512, 16, ds__weight_range_avx512, ds__s8_encode_avx512,
                                                   ds__s8_block_avx512};

static inline void ds__s8_pack_avx512(const float *w, size_t ldw, size_t rows, size_t k, size_t first, void *packed) {
    ds__s8_pack_rows(&ds__s8_packer_avx512, &(ds__s8_source){.w = w, .ldw = ldw}, rows, k, first, packed);
}

static inline void ds__s8_pack_codes_avx512(const int8_t *codes, const float *scales, size_t rows, size_t k,
                                            size_t first, void *packed) {
    ds__s8_pack_rows(&ds__s8_packer_avx512, &(ds__s8_source){.codes = codes, .scales = scales}, rows, k, first, packed);
}

static inline void ds__s8_prepare_avx512(const float *a, size_t lda, size_t rows, size_t k, void *prepared) {
    for (size_t i = 0; i < rows; i++) {
        uint8_t *codes = ds__s8_row_at(prepared, k, i);
        const ds__row_codes row = ds__quantize_row_avx512(a + i * lda, k, codes);
        ds__s8_end_row(codes, k, &row);
    }
}

/* As ds__gemm_finish_as_avx512, from exact sums. */
DS__VEC_INLINE void ds__s8_finish_as_avx512(ds__activation activation, const ds__gemm_args *args, const int32_t *tile,
                                            size_t row, size_t rows, size_t column) {
    enum { nr = DS__S8_NR_AVX512 };
    const ds__s8_panel panel = ds__s8_panel_at(nr, args->w, args->k, column);
    ds__s8_row about[DS__S8_MR_AVX512];
    for (size_t i = 0; i < rows; i++) about[i] = ds__s8_row_about(args->prepared, args->k, row + i);
    for (size_t from = column; from < column + nr && from < args->n1; from += 16) {
        const __mmask16 mask = ds__tail_avx512(args->n1 - from < 16 ? args->n1 - from : 16);
        const __m512 bias = args->bias ? _mm512_maskz_loadu_ps(mask, args->bias + from) : _mm512_setzero_ps();
        const __m512 scales = _mm512_loadu_ps(panel.scales + (from - column));
        const __m512i code_sums = _mm512_loadu_si512(panel.code_sums + (from - column));
        for (size_t i = 0; i < rows; i++) {
            const __m512i correction = _mm512_mullo_epi32(_mm512_set1_epi32(about[i].zero), code_sums);
            const __m512i sum = _mm512_sub_epi32(_mm512_load_si512(tile + i * nr + (from - column)), correction);
            __m512 x =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(_mm512_set1_ps(about[i].scale), scales), bias);
            x = ds__activate_avx512(activation, x);
            if (args->residual)
                x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, args->residual + (row + i) * args->ldr + from));
            _mm512_mask_storeu_ps(args->c + (row + i) * args->ldc + from, mask, x);
        }
    }
}

static inline void ds__s8_finish_avx512(const ds__gemm_args *args, const void *tile, size_t row, size_t rows,
                                        size_t column) {
    switch (args->activation) {
#define FINISH(name, text)                                                                                             \
    case DS__ACTIVATION_##name: ds__s8_finish_as_avx512(DS__ACTIVATION_##name, args, tile, row, rows, column); break;
        DS__ACTIVATION_LIST(FINISH)
#undef FINISH
    case DS__ACTIVATION_COUNT: break;
    }
}

static inline void ds__s8_run_avx512(ds__tile_run *const *tiles, const ds__gemm_args *args) {
    const ds__gemm_loops loops = {DS__S8_MR_AVX512, DS__S8_NR_AVX512, tiles, ds__s8_finish_avx512};
    const ds__gemm_words words = ds__s8_words(DS__S8_NR_AVX512, args);
    _Alignas(64) int32_t tile[DS__S8_MR_AVX512 * DS__S8_NR_AVX512];
    ds__gemm_run(&loops, &words, args, tile);
}

/* What the two variants' structures have in common. */
#define DS__S8_COMMON_AVX512                                                                                           \
    .mr = DS__S8_MR_AVX512, .nr = DS__S8_NR_AVX512, .panel_bytes = ds__s8_panel_bytes_avx512,                          \
    .pack = ds__s8_pack_avx512, .pack_codes = ds__s8_pack_codes_avx512, .row_bytes = ds__s8_row_bytes,                 \
    .prepare = ds__s8_prepare_avx512

#endif
#endif
