/* The list of kernel variants and the choice among them, with and without DS_ISA; and the peak loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/attention/attention.h"
#include "kernels/attention_train/attention_train.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embed/embed.h"
#include "kernels/gemm/gemm.h"
#include "kernels/grad/grad.h"
#include "kernels/matmul/matmul.h"
#include "kernels/norm/norm.h"
#include "kernels/optim/optim.h"
#include "kernels/peak/peak.h"
#include "kernels/reduce/reduce.h"

enum { CHOICES = 16 };

static void choose_all(const ds__kernel *chosen[CHOICES]) {
    chosen[0] = &ds__gemm_f32_choose()->kernel;
    chosen[1] = &ds__attention_f32_choose()->kernel;
    chosen[2] = &ds__norm_f32_choose()->kernel;
    chosen[3] = &ds__elementwise_f32_choose()->kernel;
    chosen[4] = &ds__reduce_f32_choose()->kernel;
    chosen[5] = &ds__embed_f32_choose()->kernel;
    chosen[6] = &ds__peak_f32_choose()->kernel;
    chosen[7] = &ds__gemm_bf16_choose()->kernel;
    chosen[8] = &ds__gemm_s8_choose()->kernel;
    chosen[9] = &ds__peak_bf16_choose()->kernel;
    chosen[10] = &ds__peak_s8_choose()->kernel;
    chosen[11] = &ds__grad_f32_choose()->kernel;
    chosen[12] = &ds__optim_f32_choose()->kernel;
    chosen[13] = &ds__matmul_f32_choose()->kernel;
    chosen[14] = &ds__matmul_bf16_choose()->kernel;
    chosen[15] = &ds__attention_train_f32_choose()->kernel;
}

static void test_every_row_is_named_after_its_file(void **state) {
    (void)state;
    assert_true(ds__kernel_count() >= CHOICES);
    for (size_t i = 0; i < ds__kernel_count(); i++) {
        const ds__kernel *kernel = ds__kernel_at(i);
        char name[100], path[1000];
        snprintf(name, sizeof name, "%s_%s", kernel->op, ds__isa_name(kernel->isa));
        assert_string_equal(kernel->name, name);
        assert_true(kernel->about && strlen(kernel->about) > 5);
        snprintf(path, sizeof path, "%s/../../src/kernels/%s/%s.c", DS_TEST_DATA, kernel->family, kernel->name);
        if (access(path, R_OK) != 0) fail_msg("%s has no file %s", kernel->name, path);
        for (size_t j = 0; j < i; j++) assert_string_not_equal(ds__kernel_at(j)->name, kernel->name);
    }
}

/* Rows of an op stand together, and its last one runs everywhere. */
static void test_every_op_ends_with_ref(void **state) {
    (void)state;
    for (size_t i = 0; i < ds__kernel_count(); i++) {
        const ds__kernel *kernel = ds__kernel_at(i);
        const ds__kernel *next = i + 1 < ds__kernel_count() ? ds__kernel_at(i + 1) : NULL;
        bool last = !next || strcmp(next->op, kernel->op) != 0;
        assert_int_equal(kernel->isa == DS__ISA_ref, last);
        for (size_t j = i + 1; last && j < ds__kernel_count(); j++)
            assert_string_not_equal(ds__kernel_at(j)->op, kernel->op);
    }
}

static void test_choice_is_the_first_allowed(void **state) {
    (void)state;
    const ds__kernel *chosen[CHOICES];
    choose_all(chosen);
    for (int c = 0; c < CHOICES; c++) {
        size_t i = 0;
        while (strcmp(ds__kernel_at(i)->op, chosen[c]->op) != 0 || !ds__cpu_allows(ds__kernel_at(i)->isa)) i++;
        assert_ptr_equal(ds__kernel_at(i), chosen[c]);
    }
}

/* `is_used` agrees with the choice, and gives a reason that fits. */
static void test_reasons(void **state) {
    (void)state;
    const ds__kernel *chosen[CHOICES];
    choose_all(chosen);
    int used = 0;
    for (size_t i = 0; i < ds__kernel_count(); i++) {
        const ds__kernel *kernel = ds__kernel_at(i);
        const char *why = NULL;
        bool expected = false;
        for (int c = 0; c < CHOICES; c++) expected |= chosen[c] == kernel;
        assert_int_equal(ds__kernel_is_used(kernel, &why), expected);
        assert_non_null(why);
        used += expected;
        if (expected) {
            assert_memory_equal(why, "used: ", 6);
        } else if (!ds__cpu_get()->has[kernel->isa]) {
            assert_non_null(strstr(why, ds__isa_text(kernel->isa)));
        } else if (!ds__cpu_allows(kernel->isa)) {
            assert_non_null(strstr(why, "DS_ISA="));
        } else {
            assert_non_null(strstr(why, kernel->op)); /* names the one that stands before it */
        }
    }
    assert_int_equal(used, CHOICES);
}

/* The choice by hand-made rows: order counts, what the CPU lacks is passed over, the last is taken without a question.
 */
static void test_choose_among_rows(void **state) {
    (void)state;
    const ds__kernel best = {.name = "best", .isa = DS__ISA_COUNT - 1}, plain = {.name = "plain", .isa = DS__ISA_ref};
    const ds__kernel other = {.name = "other", .isa = DS__ISA_ref};
    const ds__kernel *rows[] = {&best, &plain, &other};
    assert_ptr_equal(ds__kernel_choose(rows, 3), ds__cpu_allows(best.isa) ? &best : &plain);
    assert_ptr_equal(ds__kernel_choose(rows + 1, 2), &plain);
    assert_ptr_equal(ds__kernel_choose(rows, 1), &best);
}

/* What this program does when it is started with --choices: prints every choice and every reason. */
static int print_choices(void) {
    const ds__kernel *chosen[CHOICES];
    choose_all(chosen);
    for (int c = 0; c < CHOICES; c++) printf("chosen %s\n", chosen[c]->name);
    for (size_t i = 0; i < ds__kernel_count(); i++) {
        const char *why = NULL;
        ds__kernel_is_used(ds__kernel_at(i), &why);
        printf("%s: %s\n", ds__kernel_at(i)->name, why);
    }
    return 0;
}

/* Runs this program again under DS_ISA=isa; its output, NUL-terminated, goes to `out`. */
static void choices_under(const char *isa, char *out, size_t size) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("DS_ISA", isa, 1);
        dup2(ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", "test_kernels", "--choices", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got; used + 1 < size && (got = read(ends[0], out + used, size - 1 - used)) > 0;) used += (size_t)got;
    out[used] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_environment_caps_the_choice(void **state) {
    (void)state;
    char out[20000];
    choices_under("ref", out, sizeof out);
    assert_null(strstr(out, "_avx2\n"));
    assert_null(strstr(out, "_avx512\n"));
    assert_non_null(strstr(out, "chosen gemm_f32_ref\n"));
    assert_non_null(strstr(out, "chosen attention_f32_ref\n"));
    if (!ds__cpu_get()->has[DS__ISA_avx2]) {
        print_message("skipped: DS_ISA=avx2, this CPU has no %s\n", ds__isa_text(DS__ISA_avx2));
        return;
    }
    assert_non_null(strstr(out, "gemm_f32_avx2: not used: DS_ISA=ref hides it\n"));
    choices_under("avx2", out, sizeof out);
    assert_null(strstr(out, "_avx512\n"));
    assert_non_null(strstr(out, "chosen gemm_f32_avx2\n"));
    assert_non_null(strstr(out, "gemm_f32_ref: not used: gemm_f32_avx2 stands before it"));
    assert_non_null(strstr(out, "chosen peak_f32_avx2\n"));
    if (ds__cpu_get()->has[DS__ISA_avx512]) {
        assert_non_null(strstr(out, "gemm_f32_avx512: not used: DS_ISA=avx2 hides it\n"));
        choices_under("avx512", out, sizeof out);
        assert_non_null(strstr(out, "chosen gemm_f32_avx512\n"));
    }
}

static const ds__peak *const peaks[] = {
#define DS_KERNEL(op, isa) &ds__##op##_##isa,
#include "kernels/peak/peak_variants.def"
#undef DS_KERNEL
};

static void test_peak_counts_its_work(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof peaks / sizeof *peaks; i++) {
        if (!ds__cpu_get()->has[peaks[i]->kernel.isa]) {
            print_message("skipped: %s, this CPU has no %s\n", peaks[i]->kernel.name,
                          ds__isa_text(peaks[i]->kernel.isa));
            continue;
        }
        assert_int_equal(peaks[i]->run(0), 0);
        uint64_t one = peaks[i]->run(1);
        assert_true(one >= 2 * 8);
        assert_int_equal(peaks[i]->run(1000), 1000 * one);
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--choices") == 0) return print_choices();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_named_after_its_file),
        cmocka_unit_test(test_every_op_ends_with_ref),
        cmocka_unit_test(test_choice_is_the_first_allowed),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_choose_among_rows),
        cmocka_unit_test(test_environment_caps_the_choice),
        cmocka_unit_test(test_peak_counts_its_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
