/* Every variant of gemm_f32: see gemm_case.h. */
#include "gemm_case.h"

int main(void) {
    choose_variants("gemm_f32");
    const struct CMUnitTest tests[] = {GEMM_TESTS};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
