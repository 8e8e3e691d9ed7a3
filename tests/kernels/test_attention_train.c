/* Every variant of attention_train_f32 against the formulas of its header in double, and those against finite
 * differences; which elements dropout takes; forward without dropout against the kernel of inference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/attention/attention.h"
#include "kernels/attention_train/attention_train.h"
#include "support/guard.h"

static const ds__attention_train_f32 *const variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/attention_train/attention_train_variants.def"
#undef DS_KERNEL
};

enum { VARIANTS = sizeof variants / sizeof *variants, MAX_LENGTH = 1100, MAX_DIM = 80, CANARY = 0x7fc0beef };

static bool runs_here(const ds__kernel *kernel) {
    if (ds__cpu_get()->has[kernel->isa]) return true;
    print_message("skipped: %s, this CPU has no %s\n", kernel->name, ds__isa_text(kernel->isa));
    return false;
}

/* A case: what is to be computed. */
typedef struct shape {
    size_t length, head_dim;
    bool causal, accumulate;
    float rate;
} shape;

typedef struct problem {
    ds__attention_train_args args;
    float *q, *k, *v, *out, *dout, *dq, *dk, *dv, *scratch;
} problem;

/* Rows end at the guard page; canaries lie between them. */
static float *matrix(ds__random *random, size_t rows, size_t columns, size_t ld, float size) {
    const size_t floats = (rows - 1) * ld + columns;
    float *x = guard_alloc(floats * sizeof *x);
    for (uint32_t i = 0, canary = CANARY; i < floats; i++) memcpy(x + i, &canary, sizeof canary);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) x[i * ld + j] = size * ds__random_f32(random);
    return x;
}

static problem make(const ds__attention_train_f32 *attention, ds__random *random, shape want) {
    const size_t n = want.length, d = want.head_dim;
    problem made = {.args = {.length = n,
                             .head_dim = d,
                             .causal = want.causal,
                             .accumulate = want.accumulate,
                             .scale = 1.0f / sqrtf((float)d)}};
    ds__attention_train_args *args = &made.args;
    size_t *strides[] = {&args->ldq,  &args->ldk,  &args->ldv,  &args->ldo,
                         &args->lddo, &args->lddq, &args->lddk, &args->lddv};
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++) *strides[i] = d + ds__random_below(random, 4);
    args->dropout = (ds__dropout){.seed = {ds__random_below(random, 1u << 30), 7},
                                  .site = ds__random_below(random, 100),
                                  .draw = ds__random_below(random, 100),
                                  .rate = want.rate};
    args->dropout_row = ds__random_below(random, 1000);
    args->dropout_step = 1 + ds__random_below(random, 16);
    args->q = made.q = matrix(random, n, d, args->ldq, 3.0f);
    args->k = made.k = matrix(random, n, d, args->ldk, 1.0f);
    args->v = made.v = matrix(random, n, d, args->ldv, 1.0f);
    args->out = made.out = matrix(random, n, d, args->ldo, 1.0f);
    args->dout = made.dout = matrix(random, n, d, args->lddo, 1.0f);
    args->dq = made.dq = matrix(random, n, d, args->lddq, 1.0f);
    args->dk = made.dk = matrix(random, n, d, args->lddk, 1.0f);
    args->dv = made.dv = matrix(random, n, d, args->lddv, 1.0f);
    size_t floats = 0;
    assert_true(attention->scratch_floats(d, &floats));
    args->scratch = made.scratch = guard_alloc_aligned(floats * sizeof(float), 64);
    return made;
}

static void destroy(problem *made) {
    float *all[] = {made->q, made->k, made->v, made->out, made->dout, made->dq, made->dk, made->dv, made->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
}

/* An input element that is changed by `by`, for finite differences. */
typedef struct nudge {
    const float *matrix;
    size_t at;
    double by;
} nudge;

static double element(const float *matrix_of, size_t at, const nudge *change) {
    return (double)matrix_of[at] + (change && change->matrix == matrix_of && change->at == at ? change->by : 0);
}

/* Query i: p over its keys, and the factor of each key, 0 where it is dropped. Returns how many keys it sees. */
static size_t probabilities(const ds__attention_train_args *args, size_t i, const nudge *change, double *p,
                            double *factor) {
    const size_t end = args->causal ? i + 1 : args->length;
    double top = -INFINITY, total = 0;
    for (size_t j = 0; j < end; j++) {
        p[j] = 0;
        for (size_t c = 0; c < args->head_dim; c++)
            p[j] += element(args->q, i * args->ldq + c, change) * element(args->k, j * args->ldk + c, change);
        p[j] *= (double)args->scale;
        top = fmax(top, p[j]);
    }
    for (size_t j = 0; j < end; j++) total += p[j] = exp(p[j] - top);
    for (size_t j = 0; j < end; j++) {
        const uint32_t row = args->dropout_row + (uint32_t)i * args->dropout_step;
        p[j] /= total;
        factor[j] = ds__dropout_keeps(&args->dropout, row, (uint32_t)j) ? 1 / (1 - (double)args->dropout.rate) : 0;
    }
    return end;
}

/* A result in double, and the largest sum of absolute terms that one of its elements is made of. */
typedef struct result {
    double x[MAX_LENGTH][MAX_DIM], most;
} result;

static result out_of, dq_of, dk_of, dv_of;
static double absolute[2][MAX_LENGTH][MAX_DIM]; /* of dk and dv */

static void forward_row(const ds__attention_train_args *args, size_t i, const double *d, size_t end) {
    for (size_t c = 0; c < args->head_dim; c++) {
        double sum = 0, size = 0;
        for (size_t j = 0; j < end; j++) {
            const double term = d[j] * (double)args->v[j * args->ldv + c];
            sum += term;
            size += fabs(term);
        }
        out_of.x[i][c] = sum;
        out_of.most = fmax(out_of.most, size);
    }
}

/* Query i's part of all gradients; sizes: what is lost in the difference dp - delta counts, too. */
static void backward_row(const ds__attention_train_args *args, size_t i, const double *p, const double *factor,
                         size_t end) {
    static double ds[MAX_LENGTH], size_of[MAX_LENGTH];
    const double scale = (double)args->scale;
    double delta = 0, delta_size = 0, sizes[MAX_DIM] = {0};
    for (size_t j = 0; j < end; j++) {
        ds[j] = size_of[j] = 0;
        for (size_t c = 0; c < args->head_dim; c++) {
            const double term = (double)args->dout[i * args->lddo + c] * (double)args->v[j * args->ldv + c] * factor[j];
            ds[j] += term;
            size_of[j] += fabs(term);
        }
        delta += p[j] * ds[j];
        delta_size += p[j] * size_of[j];
    }
    for (size_t j = 0; j < end; j++) {
        ds[j] = scale * p[j] * (ds[j] - delta);
        size_of[j] = scale * p[j] * (size_of[j] + delta_size);
        for (size_t c = 0; c < args->head_dim; c++) {
            const double q = (double)args->q[i * args->ldq + c], k = (double)args->k[j * args->ldk + c];
            const double from_dout = p[j] * factor[j] * (double)args->dout[i * args->lddo + c];
            dq_of.x[i][c] += ds[j] * k;
            dk_of.x[j][c] += ds[j] * q;
            dv_of.x[j][c] += from_dout;
            sizes[c] += fabs(size_of[j] * k);
            absolute[0][j][c] += fabs(size_of[j] * q);
            absolute[1][j][c] += fabs(from_dout);
        }
    }
    for (size_t c = 0; c < args->head_dim; c++) dq_of.most = fmax(dq_of.most, sizes[c]);
}

/* The header's formulas, from what stands in the inputs, dk and dv. */
static void reference(const ds__attention_train_args *args) {
    static double p[MAX_LENGTH], factor[MAX_LENGTH], d[MAX_LENGTH];
    dq_of.most = out_of.most = dk_of.most = dv_of.most = 0;
    for (size_t i = 0; i < args->length; i++)
        for (size_t c = 0; c < args->head_dim; c++) {
            dq_of.x[i][c] = 0;
            dk_of.x[i][c] = args->accumulate ? (double)args->dk[i * args->lddk + c] : 0;
            dv_of.x[i][c] = args->accumulate ? (double)args->dv[i * args->lddv + c] : 0;
            absolute[0][i][c] = fabs(dk_of.x[i][c]);
            absolute[1][i][c] = fabs(dv_of.x[i][c]);
        }
    for (size_t i = 0; i < args->length; i++) {
        const size_t end = probabilities(args, i, NULL, p, factor);
        for (size_t j = 0; j < end; j++) d[j] = p[j] * factor[j];
        forward_row(args, i, d, end);
        backward_row(args, i, p, factor, end);
    }
    for (size_t i = 0; i < args->length; i++)
        for (size_t c = 0; c < args->head_dim; c++) {
            dk_of.most = fmax(dk_of.most, absolute[0][i][c]);
            dv_of.most = fmax(dv_of.most, absolute[1][i][c]);
        }
}

static void compare(const char *name, const ds__attention_train_args *args, const float *got, size_t ld,
                    const result *expected, double tolerance) {
    for (size_t i = 0; i < args->length; i++)
        for (size_t c = 0; c < ld && (c < args->head_dim || i + 1 < args->length); c++) {
            uint32_t bits;
            memcpy(&bits, &got[i * ld + c], sizeof bits);
            if (c >= args->head_dim && bits != (uint32_t)CANARY)
                fail_msg("%s: d=%zu: (%zu, %zu) is between the rows and was written", name, args->head_dim, i, c);
            if (c < args->head_dim &&
                !(fabs((double)got[i * ld + c] - expected->x[i][c]) <= tolerance * expected->most))
                fail_msg("%s: length=%zu d=%zu causal=%d rate=%g: (%zu, %zu) is %.9g, should be %.9g within %.2g", name,
                         args->length, args->head_dim, (int)args->causal, (double)args->dropout.rate, i, c,
                         (double)got[i * ld + c], expected->x[i][c], tolerance * expected->most);
        }
}

/* Forward and backward of one case against the reference, and both again for the same bits. */
static void run(const ds__attention_train_f32 *attention, ds__random *random, shape want) {
    problem made = make(attention, random, want);
    const ds__attention_train_args *args = &made.args;
    const size_t n = want.length, d = want.head_dim;
    char name[4][80];
    static const char *const parts[] = {"out", "dq", "dk", "dv"};
    for (int i = 0; i < 4; i++) snprintf(name[i], sizeof name[i], "%s, %s", attention->kernel.name, parts[i]);
    reference(args);
    attention->forward(args);
    compare(name[0], args, made.out, args->ldo, &out_of, 4e-6);
    attention->backward(args);
    compare(name[0], args, made.out, args->ldo, &out_of, 4e-6); /* still */
    compare(name[1], args, made.dq, args->lddq, &dq_of, 1e-5);
    compare(name[2], args, made.dk, args->lddk, &dk_of, 1e-5);
    compare(name[3], args, made.dv, args->lddv, &dv_of, 1e-5);
    if (!want.accumulate) {
        float *all[] = {made.out, made.dq, made.dk, made.dv};
        const size_t ld[] = {args->ldo, args->lddq, args->lddk, args->lddv};
        float *copies[4];
        for (int i = 0; i < 4; i++) {
            const size_t bytes = ((n - 1) * ld[i] + d) * sizeof(float);
            copies[i] = guard_alloc(bytes);
            memcpy(copies[i], all[i], bytes);
        }
        attention->forward(args);
        attention->backward(args);
        for (int i = 0; i < 4; i++) {
            assert_memory_equal(copies[i], all[i], ((n - 1) * ld[i] + d) * sizeof(float));
            guard_free(copies[i]);
        }
    }
    destroy(&made);
}

static void test_every_length(void **state) {
    (void)state;
    static const size_t dims[] = {1, 7, 8, 16, 32, 33, 64, 80};
    static const float rates[] = {0.0f, 0.1f, 0.5f};
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v};
        for (size_t n = 1; n <= 70; n++)
            for (size_t turn = 0; turn < 6; turn++)
                run(variants[v], &random,
                    (shape){n, dims[(n + 3 * turn) % 8], turn % 2 == 1, turn == 2 || turn == 5, rates[turn / 2]});
    }
}

static void test_every_head_dim(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 10};
        for (size_t d = 1; d <= MAX_DIM; d++) {
            run(variants[v], &random, (shape){1 + ds__random_below(&random, 40), d, false, d % 3 == 0, 0.1f});
            run(variants[v], &random, (shape){1 + ds__random_below(&random, 40), d, true, d % 3 == 1, 0.0f});
        }
    }
}

/* Around the edge of a tile of keys, and through several tiles. */
static void test_long(void **state) {
    (void)state;
    static const size_t lengths[] = {127, 128, 129, 160, 257, 300};
    static const size_t dims[] = {1, 7, 8, 16, 32, 33, 64, 80};
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 20};
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            for (size_t turn = 0; turn < 4; turn++)
                run(variants[v], &random,
                    (shape){lengths[i], dims[(i + 2 * turn) % 8], turn % 2 == 1, turn == 3, turn < 2 ? 0.1f : 0.5f});
        run(variants[v], &random, (shape){1050, 32, true, false, 0.1f});
        run(variants[v], &random, (shape){1050, 20, false, true, 0.0f});
    }
}

/* Scores in the hundreds: most probabilities are zero, and the largest score rises from tile to tile.  A float of 500
 * is off by 3e-5 at most, which its exponential is then relatively. */
static void test_hard_scores(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 30};
        for (int turn = 0; turn < 4; turn++) {
            problem made = make(variants[v], &random, (shape){290, 16, turn % 2 == 1, false, turn < 2 ? 0.0f : 0.1f});
            for (size_t j = 0; j < 290; j++)
                for (size_t c = 0; c < 16; c++) made.k[j * made.args.ldk + c] *= (float)(j + 1);
            reference(&made.args);
            variants[v]->forward(&made.args);
            variants[v]->backward(&made.args);
            compare(variants[v]->kernel.name, &made.args, made.out, made.args.ldo, &out_of, 1e-4);
            compare(variants[v]->kernel.name, &made.args, made.dq, made.args.lddq, &dq_of, 1e-4);
            compare(variants[v]->kernel.name, &made.args, made.dk, made.args.lddk, &dk_of, 1e-4);
            compare(variants[v]->kernel.name, &made.args, made.dv, made.args.lddv, &dv_of, 1e-4);
            destroy(&made);
        }
    }
}

/* The sum of dout * out, in double. */
static double loss(const ds__attention_train_args *args, const nudge *change) {
    double p[16], factor[16], sum = 0;
    for (size_t i = 0; i < args->length; i++) {
        const size_t end = probabilities(args, i, change, p, factor);
        for (size_t j = 0; j < end; j++)
            for (size_t c = 0; c < args->head_dim; c++)
                sum += (double)args->dout[i * args->lddo + c] * p[j] * factor[j] *
                       element(args->v, j * args->ldv + c, change);
    }
    return sum;
}

static void test_finite_differences(void **state) {
    (void)state;
    const double step = 1e-5;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 40};
        for (int turn = 0; turn < 4; turn++) {
            problem made = make(variants[v], &random, (shape){6, 5, turn % 2 == 1, false, turn < 2 ? 0.0f : 0.5f});
            const ds__attention_train_args *args = &made.args;
            variants[v]->forward(args);
            variants[v]->backward(args);
            const float *in[] = {args->q, args->k, args->v}, *got[] = {args->dq, args->dk, args->dv};
            const size_t ld[] = {args->ldq, args->ldk, args->ldv}, ldd[] = {args->lddq, args->lddk, args->lddv};
            for (int m = 0; m < 3; m++)
                for (size_t i = 0; i < 6; i++)
                    for (size_t c = 0; c < 5; c++) {
                        const nudge up = {in[m], i * ld[m] + c, step}, down = {in[m], i * ld[m] + c, -step};
                        const double slope = (loss(args, &up) - loss(args, &down)) / (2 * step);
                        if (!(fabs(slope - (double)got[m][i * ldd[m] + c]) <= 2e-6))
                            fail_msg("%s: gradient %d at (%zu, %zu) is %.9g, the slope is %.9g",
                                     variants[v]->kernel.name, m, i, c, (double)got[m][i * ldd[m] + c], slope);
                    }
            destroy(&made);
        }
    }
}

/* With rows of the identity for v, out is d itself; for dout, dv is. Every variant must drop what philox.h says. */
static void test_dropout_takes_the_right_elements(void **state) {
    (void)state;
    enum { LENGTH = 197, DIM = 64 };
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 50};
        for (size_t from = 0; from < LENGTH; from += DIM) {
            problem made = make(variants[v], &random, (shape){LENGTH, DIM, false, false, from ? 0.5f : 0.1f});
            const ds__attention_train_args *args = &made.args;
            made.args.dropout_row = UINT32_MAX - 300; /* rows go on from 0 */
            for (size_t j = 0; j < LENGTH; j++)
                for (size_t c = 0; c < DIM; c++)
                    made.v[j * args->ldv + c] = made.dout[j * args->lddo + c] = j == from + c ? 1.0f : 0.0f;
            variants[v]->forward(args);
            variants[v]->backward(args);
            for (size_t i = 0; i < LENGTH; i++)
                for (size_t c = 0; c < DIM && from + c < LENGTH; c++) {
                    const uint32_t row = (uint32_t)i * args->dropout_step + args->dropout_row;
                    const uint32_t row_c = (uint32_t)(from + c) * args->dropout_step + args->dropout_row;
                    assert_int_equal(made.out[i * args->ldo + c] != 0.0f,
                                     ds__dropout_keeps(&args->dropout, row, (uint32_t)(from + c)));
                    assert_int_equal(made.dv[i * args->lddv + c] != 0.0f,
                                     ds__dropout_keeps(&args->dropout, row_c, (uint32_t)i));
                }
            destroy(&made);
        }
    }
}

static void test_same_as_inference(void **state) {
    (void)state;
    const ds__attention_f32 *inference = ds__attention_f32_choose();
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 60};
        for (size_t n = 1; n < 300; n += 23) {
            problem made = make(variants[v], &random, (shape){n, 32, n % 2 == 0, false, 0.0f});
            const ds__attention_train_args *args = &made.args;
            size_t floats = 0;
            assert_true(inference->scratch_floats(32, &floats));
            float *scratch = guard_alloc_aligned(floats * sizeof *scratch, 64);
            variants[v]->forward(args);
            inference->run(&(ds__attention_f32_args){.q = args->q,
                                                     .k = args->k,
                                                     .v = args->v,
                                                     .ldq = args->ldq,
                                                     .ldk = args->ldk,
                                                     .ldv = args->ldv,
                                                     .out = made.dq,
                                                     .ldo = args->lddq,
                                                     .queries = n,
                                                     .keys = n,
                                                     .head_dim = 32,
                                                     .mask = args->causal ? DS__MASK_CAUSAL : DS__MASK_NONE,
                                                     .scale = args->scale,
                                                     .scratch = scratch});
            for (size_t i = 0; i < n; i++)
                for (size_t c = 0; c < 32; c++)
                    assert_true(fabsf(made.out[i * args->ldo + c] - made.dq[i * args->lddq + c]) <= 2e-6f);
            guard_free(scratch);
            destroy(&made);
        }
    }
}

static void test_scratch_size(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        size_t small = 0, large = 0;
        assert_true(variants[v]->scratch_floats(1, &small));
        assert_true(variants[v]->scratch_floats(256, &large));
        assert_true(small > 0 && small < large);
        assert_false(variants[v]->scratch_floats(SIZE_MAX, &large));
        assert_false(variants[v]->scratch_floats(SIZE_MAX / 64, &large));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_every_head_dim),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_hard_scores),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_dropout_takes_the_right_elements),
        cmocka_unit_test(test_same_as_inference),
        cmocka_unit_test(test_scratch_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
