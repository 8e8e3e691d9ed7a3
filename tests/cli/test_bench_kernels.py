"""`deepseek bench --kernels`: every variant that runs here has figures, and wrong usage is said.

  test_bench_kernels.py PATH_TO_deepseek
"""
import json
import pathlib
import subprocess
import sys
import unittest

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
FAMILIES = ("elementwise", "norm", "reduce", "embed", "grad", "optim", "peak")  # products and attention take minutes where code is not optimised


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=500)


class BenchKernels(unittest.TestCase):
    def test_every_kernel_that_is_used_has_figures(self) -> None:
        figures = []
        for family in FAMILIES:
            figures += json.loads(run("bench", "--kernels", "--seconds", "0.0001", "--json", "--family", family).stdout)
        measured = {row["kernel"] for row in figures}
        for kernel in json.loads(run("kernels", "--json").stdout):
            if kernel["used"] and kernel["family"] in FAMILIES:
                self.assertIn(kernel["name"], measured)
        for row in figures:
            self.assertGreater(row["best"], 0)
            self.assertGreaterEqual(row["best"], row["median"])
            self.assertEqual(row["peak_share"] is not None, row["unit"] == "GFLOP/s", row)

    def test_the_table(self) -> None:
        lines = run("bench", "--kernels", "--family", "norm", "--seconds", "0.0001").stdout.decode().splitlines()
        self.assertIn("one thread", lines[0])
        self.assertTrue(all("GB/s" in line for line in lines[2:]))

    def test_wrong_usage(self) -> None:
        for arguments, code, said in ((("--kernels", "--family", "nothing"), 1, "nothing"),
                                      (("--kernels", "model"), 2, "model"), (("model", "--family", "gemm"), 2, "--family")):
            result = run("bench", *arguments)
            self.assertEqual(result.returncode, code, result.stderr)
            self.assertIn(said, result.stderr.decode())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
