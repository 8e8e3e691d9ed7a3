/* Coefficients and limits that the vector math headers of all instruction sets share.
 *
 * The polynomials are minimax fits made for this library in double precision: weighted least squares on Chebyshev
 * nodes, re-weighted by Lawson's rule until the error levels out, then rounded to float.  Each block says what was
 * fitted and how far off the exact polynomial is.
 *
 * What the float code makes of it, as the largest error over every 61st bit pattern against the C library in double
 * (tests/kernels/test_vec_math.c looks at 1.5 million others): exp 0.88 ulp, tanh 2.5 ulp, sigmoid 2.4 ulp; gelu 3.5
 * ulp and gelu_tanh 2.9 ulp from -1 on, 6e-8 absolute below, where their values go to zero. */
#ifndef DS_KERNELS_VEC_MATH_POLY_H
#define DS_KERNELS_VEC_MATH_POLY_H

/* Vector helpers take and return registers, and the switch over activations must fold: never calls. */
#define DS__VEC_INLINE static inline __attribute__((always_inline))

/* x = n ln2 + r with |r| <= ln2 / 2: ln2 as the float next to it and the rest. */
#define DS__LOG2_E 1.44269504f
#define DS__LN2_HIGH 0.693147182f
#define DS__LN2_LOW (-1.90465421e-9f)

/* exp(x) is a normal float from the first to the second and not beyond: zero below, infinity above. */
#define DS__EXP_LOWEST (-87.3365402f)
#define DS__EXP_HIGHEST 88.7228317f

/* exp(r) = 1 + r + r^2 (C2 + C3 r + ...), |r| <= ln2 / 2: relative error 3.1e-9. */
#define DS__EXP_C2 0.49999994f
#define DS__EXP_C3 0.166665211f
#define DS__EXP_C4 0.041668389f
#define DS__EXP_C5 0.00836871006f
#define DS__EXP_C6 0.00138146128f

/* exp(r) - 1 = r + r^2 (C2 + C3 r + ...), the same range: error 1.3e-8 relative to exp(r) - 1. */
#define DS__EXPM1_C2 0.49999997f
#define DS__EXPM1_C3 0.166665435f
#define DS__EXPM1_C4 0.0416672006f
#define DS__EXPM1_C5 0.008366514f
#define DS__EXPM1_C6 0.00138825225f

/* 2^f = C0 + C1 f + ..., 0 <= f <= 1: relative error 7.5e-8. */
#define DS__EXP2_C0 0.99999994f
#define DS__EXP2_C1 0.693153083f
#define DS__EXP2_C2 0.240153611f
#define DS__EXP2_C3 0.0558263175f
#define DS__EXP2_C4 0.00898933969f
#define DS__EXP2_C5 0.00187757669f

/* gelu(x) = max(x, 0) - |x| Phi(-|x|), Phi the normal distribution function.  Phi(-a) falls like exp(-a^2 / 2), but its
 * logarithm is smooth:  2 Phi(-a) = 2^q(a),  q(a) = a (C1 + C2 a + ...).  The fit weighs the relative error of Phi with
 * (2 Phi(-a))^0.75 and gets 5.2e-8: that much near zero and less than 1e-8 of x where gelu is small; q goes on falling
 * beyond the range where Phi matters. */
#define DS__GELU_C1 (-1.15110719f)
#define DS__GELU_C2 (-0.459186345f)
#define DS__GELU_C3 (-0.0525751337f)
#define DS__GELU_C4 0.00719289901f
#define DS__GELU_C5 (-0.000245941977f)
#define DS__GELU_C6 (-0.000137627067f)
#define DS__GELU_C7 2.85596361e-05f
#define DS__GELU_C8 (-1.89049308e-06f)

/* gelu_tanh(x) = x / (1 + exp(-2 s)), s = sqrt(2/pi) (x + 0.044715 x^3);  exp(-2 s) = 2^(x (C1 + C3 x^2)). */
#define DS__GELU_TANH_C1 (-2.30220819f)
#define DS__GELU_TANH_C3 (-0.102943242f)

/* For the derivatives.  The normal density: C0 2^(C2 x^2), C0 = 1 / sqrt(2 pi), C2 = -log2(e) / 2.  The derivative of 2
 * s above: D0 + D2 x^2. */
#define DS__NORMAL_C0 0.398942280f
#define DS__NORMAL_C2 (-0.721347520f)
#define DS__GELU_TANH_D0 1.59576912f
#define DS__GELU_TANH_D2 0.214064449f

/* tanh rounds to 1 in float from here on. */
#define DS__TANH_LIMIT 9.2f

#endif
