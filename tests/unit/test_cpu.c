/* The CPU record, the environment's cap on it, the clock. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/env.h"

static void the_record_is_consistent(void **state) {
    const ds__cpu *cpu = ds__cpu_get();
    assert_ptr_equal(cpu, ds__cpu_get());
    assert_true(cpu->has[DS__ISA_ref]);
    assert_true(ds__cpu_allows(DS__ISA_ref));
    for (int isa = DS__ISA_avx512; isa < DS__ISA_COUNT; isa++) assert_true(!cpu->has[isa] || cpu->has[DS__ISA_avx2]);
    assert_true(!cpu->has[DS__ISA_avx512vnni] || cpu->has[DS__ISA_avx512]);
    assert_true(!cpu->has[DS__ISA_avx512bf16] || cpu->has[DS__ISA_avx512vnni]);
    assert_true(strlen(cpu->name) > 0 && strlen(cpu->name) < sizeof cpu->name);
    assert_true(cpu->l1d_bytes <= cpu->l2_bytes || cpu->l2_bytes == 0);
#if defined(__x86_64__)
    assert_int_equal(cpu->has[DS__ISA_avx2], __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    if (!cpu->has[DS__ISA_avx512]) print_message("no AVX-512 here\n");
#endif
    assert_string_equal(ds__isa_name(DS__ISA_avx512bf16), "avx512bf16");
    assert_string_equal(ds__isa_text(DS__ISA_ref), "portable C");
}

/* What a fresh process with DS_ISA = value (NULL: unset) sees: a bit for every instruction set that is allowed. */
static int allowed_with(const char *value) {
    int pipes[2], allowed = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        if (value)
            setenv("DS_ISA", value, 1);
        else
            unsetenv("DS_ISA");
        for (int isa = 0; isa < DS__ISA_COUNT; isa++) allowed |= ds__cpu_allows((ds__isa)isa) << isa;
        _exit(write(pipes[1], &allowed, sizeof allowed) == sizeof allowed ? 0 : 1);
    }
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(read(pipes[0], &allowed, sizeof allowed), sizeof allowed);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(pipes[0]);
    close(pipes[1]);
    return allowed;
}

/* Must run first: the children inherit a record that was not read yet. */
static void a_cap_hides_every_later_set(void **state) {
    int all = allowed_with(NULL), known = 0;
    for (int isa = 0; isa < DS__ISA_COUNT; isa++) {
        known |= 1 << isa;
        assert_int_equal(allowed_with(ds__isa_name((ds__isa)isa)), all & known);
    }
    assert_int_equal(allowed_with("ref"), 1);
    assert_int_equal(allowed_with("no such set"), all);
    assert_int_equal(allowed_with(""), all);
}

static void threads_follow_the_affinity_mask(void **state) {
    cpu_set_t old, one;
    assert_int_equal(sched_getaffinity(0, sizeof old, &old), 0);
    int count = ds__cpu_count_allowed();
    assert_true(count >= 1 && count <= CPU_COUNT(&old));
    int first = 0;
    while (!CPU_ISSET(first, &old)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(ds__cpu_count_allowed(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof old, &old), 0);
    assert_int_equal(ds__cpu_count_allowed(), count);
}

static void the_environment_is_read(void **state) {
    unsetenv("DS_DUMP");
    setenv("DS_PASSES_OFF", "fuse_bias", 1);
    assert_null(ds__env_dump());
    assert_string_equal(ds__env_passes_off(), "fuse_bias");
    unsetenv("DS_PASSES_OFF");
    assert_null(ds__env_passes_off());
}

static void the_clock_goes_forward(void **state) {
    uint64_t before = ds__clock_ns(), now = before;
    for (int i = 0; i < 100000; i++) {
        uint64_t next = ds__clock_ns();
        assert_true(next >= now);
        now = next;
    }
    usleep(2000);
    uint64_t passed = ds__clock_ns() - before;
    assert_true(passed >= 2000000 && passed < 60000000000u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cap_hides_every_later_set),      cmocka_unit_test(the_record_is_consistent),
        cmocka_unit_test(threads_follow_the_affinity_mask), cmocka_unit_test(the_environment_is_read),
        cmocka_unit_test(the_clock_goes_forward),
    };
    return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
