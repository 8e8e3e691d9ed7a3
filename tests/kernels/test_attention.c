/* Every variant of attention_f32 against a softmax in double: lengths around every tile's edge, head sizes that no
 * register divides, both masks; and the promise that a query's bits do not depend on how queries are split. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/attention/attention.h"
#include "support/guard.h"

static const ds__attention_f32 *const variants[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/attention/attention_variants.def"
#undef DS_KERNEL
};

enum { VARIANTS = sizeof variants / sizeof *variants, MAX_KEYS = 700, CANARY = 0x7fc0beef };

static bool runs_here(const ds__kernel *kernel) {
    if (ds__cpu_get()->has[kernel->isa]) return true;
    print_message("skipped: %s, this CPU has no %s\n", kernel->name, ds__isa_text(kernel->isa));
    return false;
}

typedef struct problem {
    ds__attention_f32_args args;
    float *q, *k, *v, *out, *scratch;
} problem;

/* Rows end at the guard page, NaNs lie between them. */
static float *matrix(ds__random *random, size_t rows, size_t columns, size_t ld, float size) {
    float *x = guard_alloc(((rows - 1) * ld + columns) * sizeof *x);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) x[i * ld + j] = size * ds__random_f32(random);
    return x;
}

/* `size`: of the numbers in q; the larger, the more the softmax prefers one key. */
static problem make(const ds__attention_f32 *attention, ds__random *random, size_t queries, size_t keys,
                    size_t head_dim, float size) {
    problem made = {.args = {.queries = queries, .keys = keys, .head_dim = head_dim}};
    ds__attention_f32_args *args = &made.args;
    args->ldq = head_dim + ds__random_below(random, 4);
    args->ldk = head_dim + ds__random_below(random, 4);
    args->ldv = head_dim + ds__random_below(random, 4);
    args->ldo = head_dim + ds__random_below(random, 4);
    args->scale = 1.0f / sqrtf((float)head_dim);
    args->q = made.q = matrix(random, queries, head_dim, args->ldq, size);
    args->k = made.k = matrix(random, keys, head_dim, args->ldk, 1.0f);
    args->v = made.v = matrix(random, keys, head_dim, args->ldv, 1.0f);
    args->out = made.out = matrix(random, queries, head_dim, args->ldo, 1.0f);
    for (uint32_t i = 0, canary = CANARY; i < (queries - 1) * args->ldo + head_dim; i++)
        memcpy(made.out + i, &canary, sizeof canary);
    size_t floats = 0;
    assert_true(attention->scratch_floats(head_dim, &floats));
    args->scratch = made.scratch = guard_alloc_aligned(floats * sizeof(float), 64);
    return made;
}

static void destroy(problem *made) {
    float *all[] = {made->q, made->k, made->v, made->out, made->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guard_free(all[i]);
}

/* Query i in double, into expected[head_dim]. Returns how far rounding may take a result: a score is a sum of head_dim
 * products, an error in it is a relative error of a weight, and sums over the keys add theirs. */
static double reference(const ds__attention_f32_args *args, size_t i, double *expected) {
    static double scores[MAX_KEYS];
    size_t end = args->mask == DS__MASK_CAUSAL ? args->first_query + i + 1 : args->keys;
    double top = -INFINITY, total = 0, largest_size = 0, largest_v = 0;
    for (size_t j = 0; j < end; j++) {
        double score = 0, size = 0;
        for (size_t c = 0; c < args->head_dim; c++) {
            double product = (double)args->q[i * args->ldq + c] * (double)args->k[j * args->ldk + c];
            score += product;
            size += fabs(product);
        }
        scores[j] = score * (double)args->scale;
        top = fmax(top, scores[j]);
        largest_size = fmax(largest_size, size * (double)args->scale);
    }
    for (size_t c = 0; c < args->head_dim; c++) expected[c] = 0;
    for (size_t j = 0; j < end; j++) {
        double weight = exp(scores[j] - top);
        total += weight;
        for (size_t c = 0; c < args->head_dim; c++) {
            double v = (double)args->v[j * args->ldv + c];
            expected[c] += weight * v;
            largest_v = fmax(largest_v, fabs(v));
        }
    }
    for (size_t c = 0; c < args->head_dim; c++) expected[c] /= total;
    return largest_v * 0x1p-24 * (2 * largest_size * (double)(args->head_dim + 4) + 2 * sqrt((double)end) + 20);
}

static void check(const char *name, const ds__attention_f32_args *args) {
    double expected[512];
    for (size_t i = 0; i < args->queries; i++) {
        double bound = reference(args, i, expected);
        for (size_t c = 0; c < args->ldo && (c < args->head_dim || i + 1 < args->queries); c++) {
            float got = args->out[i * args->ldo + c];
            uint32_t bits;
            memcpy(&bits, &got, sizeof bits);
            if (c >= args->head_dim && bits != (uint32_t)CANARY)
                fail_msg("%s: d=%zu: out(%zu, %zu) is between the rows and was written", name, args->head_dim, i, c);
            if (c < args->head_dim && !(fabs((double)got - expected[c]) <= bound))
                fail_msg("%s: queries=%zu keys=%zu d=%zu mask=%d: out(%zu, %zu) is %.9g, should be %.9g within %.2g",
                         name, args->queries, args->keys, args->head_dim, (int)args->mask, i, c, (double)got,
                         expected[c], bound);
        }
    }
}

/* mask NONE with any numbers of queries and keys. */
static void run_plain(const ds__attention_f32 *attention, ds__random *random, size_t queries, size_t keys,
                      size_t head_dim, float size) {
    problem made = make(attention, random, queries, keys, head_dim, size);
    attention->run(&made.args);
    check(attention->kernel.name, &made.args);
    destroy(&made);
}

/* The causal mask for the last `queries` of `keys` tokens. */
static void run_causal(const ds__attention_f32 *attention, ds__random *random, size_t queries, size_t keys,
                       size_t head_dim, float size) {
    problem made = make(attention, random, queries, keys, head_dim, size);
    made.args.mask = DS__MASK_CAUSAL;
    made.args.first_query = keys - queries;
    attention->run(&made.args);
    check(attention->kernel.name, &made.args);
    destroy(&made);
}

static void test_every_head_dim(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v};
        for (size_t d = 1; d <= 84; d++) {
            size_t tokens = 1 + ds__random_below(&random, 40);
            run_plain(variants[v], &random, tokens, tokens, d, 2.0f);
            run_causal(variants[v], &random, tokens, tokens, d, 2.0f);
        }
        for (size_t d = 96; d <= 320; d += 32) run_plain(variants[v], &random, 19, 19, d, 2.0f);
    }
}

static void test_every_length(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 10};
        for (size_t tokens = 1; tokens <= 200; tokens += tokens < 40 ? 1 : 7) {
            run_plain(variants[v], &random, tokens, tokens, 32, 3.0f);
            run_causal(variants[v], &random, tokens, tokens, 20, 3.0f);
        }
        static const size_t edges[] = {127, 128, 129, 255, 256, 257, 513};
        for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
            run_plain(variants[v], &random, edges[i], edges[i], 12, 3.0f);
            run_causal(variants[v], &random, edges[i], edges[i], 12, 3.0f);
        }
    }
}

/* Cross attention, and the last queries of a longer text: queries and keys differ in number either way. */
static void test_queries_and_keys_apart(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 20};
        for (int turn = 0; turn < 150; turn++) {
            size_t queries = 1 + ds__random_below(&random, 70), keys = 1 + ds__random_below(&random, 300);
            run_plain(variants[v], &random, queries, keys, 1 + ds__random_below(&random, 40), 3.0f);
            run_causal(variants[v], &random, queries, queries + keys, 1 + ds__random_below(&random, 40), 3.0f);
        }
    }
}

/* Scores in the hundreds: all weights but a few are far below the smallest float, and `top` rises from tile to tile. */
static void test_hard_scores(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 30};
        for (int turn = 0; turn < 10; turn++) {
            size_t keys = 200 + 40 * (size_t)turn;
            problem made = make(variants[v], &random, 40, keys, 16, 300.0f);
            for (size_t j = 0; j < keys; j++) /* later keys score higher */
                for (size_t c = 0; c < 16; c++) made.k[j * made.args.ldk + c] *= (float)(j + 1) / (float)keys;
            made.args.mask = turn % 2 ? DS__MASK_CAUSAL : DS__MASK_NONE;
            made.args.first_query = turn % 2 ? keys - 40 : 0;
            variants[v]->run(&made.args);
            check(variants[v]->kernel.name, &made.args);
            destroy(&made);
        }
    }
}

/* With one key, or with keys that are all alike, the result is known without a softmax. */
static void test_known_results(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 40};
        problem made = make(variants[v], &random, 5, 150, 24, 1.0f);
        for (size_t j = 0; j < 150; j++)
            for (size_t c = 0; c < 24; c++) {
                made.k[j * made.args.ldk + c] = 0.25f;
                made.v[j * made.args.ldv + c] = (float)(j % 3);
            }
        variants[v]->run(&made.args);
        for (size_t i = 0; i < 5; i++)
            for (size_t c = 0; c < 24; c++) assert_true(fabsf(made.out[i * made.args.ldo + c] - 1.0f) < 1e-6f);
        made.args.keys = 1;
        made.args.mask = DS__MASK_CAUSAL;
        made.args.queries = 1;
        made.v[0] = 0.7f;
        variants[v]->run(&made.args);
        assert_true(fabsf(made.out[0] - 0.7f) < 1e-6f);
        destroy(&made);
    }
}

/* The whole at once, query by query, and in random pieces. */
static void check_splits(const ds__attention_f32 *attention, ds__random *random, size_t tokens, size_t head_dim,
                         ds__mask mask) {
    problem made = make(attention, random, tokens, tokens, head_dim, 4.0f);
    const size_t ldo = made.args.ldo, floats = (tokens - 1) * ldo + head_dim;
    made.args.mask = mask;
    attention->run(&made.args);
    for (int turn = 0; turn < 4; turn++) {
        float *out = matrix(random, tokens, head_dim, ldo, 1.0f);
        memcpy(out, made.out, floats * sizeof *out); /* for what lies between the rows */
        for (size_t i = 0; i < tokens; i++) memset(out + i * ldo, 0, head_dim * sizeof *out);
        for (size_t first = 0, count; first < tokens; first += count) {
            ds__attention_f32_args part = made.args;
            count = turn == 0 ? 1 : 1 + ds__random_below(random, (uint32_t)(tokens - first));
            part.q += first * part.ldq;
            part.out = out + first * ldo;
            part.queries = count;
            part.first_query = first;
            attention->run(&part);
        }
        if (memcmp(out, made.out, floats * sizeof *out) != 0)
            fail_msg("%s: tokens=%zu d=%zu mask=%d: split queries give other bits", attention->kernel.name, tokens,
                     head_dim, (int)mask);
        guard_free(out);
    }
    destroy(&made);
}

static void test_splitting_queries_changes_no_bit(void **state) {
    (void)state;
    static const size_t lengths[] = {1, 2, 9, 17, 20, 33, 64, 100, 130, 260, 400};
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 50};
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            for (int mask = DS__MASK_NONE; mask <= DS__MASK_CAUSAL; mask++)
                check_splits(variants[v], &random, lengths[i], 6 + 13 * (i % 4), (ds__mask)mask);
    }
}

/* Under the causal mask the keys behind a query's own position change none of its bits, however large their values. */
static void test_unseen_keys_leave_no_trace(void **state) {
    (void)state;
    enum { TOKENS = 150, DIM = 9 };
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 70};
        problem made = make(variants[v], &random, TOKENS, TOKENS, DIM, 2.0f);
        float seen[DIM];
        made.args.mask = DS__MASK_CAUSAL;
        for (size_t i = 0; i + 1 < TOKENS; i += 11) {
            variants[v]->run(&made.args);
            memcpy(seen, made.out + i * made.args.ldo, sizeof seen);
            for (size_t j = i + 1; j < TOKENS; j++)
                for (size_t c = 0; c < DIM; c++) made.v[j * made.args.ldv + c] = 3e38f * ds__random_f32(&random);
            variants[v]->run(&made.args);
            assert_memory_equal(seen, made.out + i * made.args.ldo, sizeof seen);
            for (size_t j = i + 1; j < TOKENS; j++)
                for (size_t c = 0; c < DIM; c++) made.v[j * made.args.ldv + c] = ds__random_f32(&random);
        }
        destroy(&made);
    }
}

/* A NaN in a query stays with that query; one in a key or value reaches those that see it. */
static void test_not_finite(void **state) {
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        if (!runs_here(&variants[v]->kernel)) continue;
        ds__random random = {(uint64_t)v + 60};
        problem made = make(variants[v], &random, 40, 40, 10, 1.0f);
        made.q[3 * made.args.ldq + 2] = NAN;
        variants[v]->run(&made.args);
        for (size_t i = 0; i < 40; i++) assert_int_equal(isnan(made.out[i * made.args.ldo + 4]) != 0, i == 3);
        made.k[39 * made.args.ldk] = NAN;
        variants[v]->run(&made.args);
        for (size_t i = 0; i < 40; i++) assert_true(isnan(made.out[i * made.args.ldo]));
        destroy(&made);
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
        assert_true(variants[v]->query_block > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_head_dim),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_queries_and_keys_apart),
        cmocka_unit_test(test_hard_scores),
        cmocka_unit_test(test_known_results),
        cmocka_unit_test(test_splitting_queries_changes_no_bit),
        cmocka_unit_test(test_unseen_keys_leave_no_trace),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_scratch_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
