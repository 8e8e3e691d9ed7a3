"""Each static check passes on the tree and catches a planted fault.

  python3 tests/static/test_checks.py        (ctest runs it)

Faults are planted in a temporary copy of src/, include/ and tools/. The checks of built files get objects and libraries made
here with gcc.
"""
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run(check: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(ROOT / "tools" / f"check_{check}.py"), *arguments], capture_output=True, text=True)


class SourceChecks(unittest.TestCase):
    """Checks that read sources."""

    def setUp(self) -> None:
        self.copy = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.copy)
        for folder in ("src", "include", "tests", "examples", "bench", "fuzz"):
            if (ROOT / folder).exists():
                shutil.copytree(ROOT / folder, self.copy / folder, ignore=shutil.ignore_patterns("data", "corpus", "build"))

    def plant(self, file: str, text: str) -> None:
        with open(self.copy / file, "a", encoding="utf-8") as out:
            out.write(text)

    def catches(self, check: str, expected: str) -> None:
        result = run(check, str(self.copy))
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn(expected, result.stderr)

    def test_the_tree_is_clean(self) -> None:
        for check in ("layers", "size", "banned", "paths"):
            result = run(check, str(self.copy))
            self.assertEqual((result.returncode, result.stderr), (0, ""), check)

    def test_a_layer_that_reaches_up(self) -> None:
        self.plant("src/ir/shape.c", '\n#include "ops/ops.h"\n')
        self.catches("layers", 'src/ir/shape.c: ir includes "ops/ops.h"')

    def test_a_kernel_family_that_reads_another(self) -> None:
        self.plant("src/kernels/norm/norm_f32_ref.c", '\n#include "kernels/reduce/reduce.h"\n')
        self.catches("layers", 'norm_f32_ref.c: includes "kernels/reduce/reduce.h" of another kernel family')

    def test_an_example_that_looks_inside(self) -> None:
        self.plant("examples/01_embed.c", '\n#include "base/alloc.h"\n')
        self.catches("layers", 'examples/01_embed.c: includes "base/alloc.h"')

    def test_a_public_header_that_shows_the_inside(self) -> None:
        self.plant("include/deepseek/model.h", '\n#include "base/alloc.h"\n')
        self.catches("layers", 'include/deepseek/model.h: includes "base/alloc.h"')

    def test_a_file_name_used_twice(self) -> None:
        self.plant("src/ops/plan.c", "int x;\n")
        self.catches("layers", "plan.c is the name of 2 files")

    def test_a_long_file(self) -> None:
        self.plant("src/ir/shape.c", "\n" * 900)
        self.catches("size", "src/ir/shape.c: ")

    def test_a_long_function(self) -> None:
        self.plant("src/ir/shape.c", "\nstatic int much(int a) {\n" + "    a++;\n" * 130 + "    return a;\n}\n")
        self.catches("size", "much has 133 lines, at most 120")

    def test_a_long_function_that_returns_a_constant(self) -> None:
        self.plant("src/ir/shape.c", "\nstatic const char *much(int a) {\n" + "    a++;\n" * 130 + "    return 0;\n}\n")
        self.catches("size", "much has 133 lines, at most 120")

    def test_too_many_parameters(self) -> None:
        self.plant("src/ir/shape.c", "\nstatic int wide(int a, int b, int c, int d, int e, int f, int g, int h) {\n    return a;\n}\n")
        self.catches("size", "wide has 8 parameters, at most 7")

    def test_banned_calls(self) -> None:
        for call, why in (("malloc(3)", "allocator door"), ("strcpy(a, b)", "no bound"), ("printf(a)", "never prints"),
                          ("exit(1)", "never prints or leaves"), ("getenv(a)", "base/env.c")):
            with self.subTest(call):
                original = (self.copy / "src/ir/shape.c").read_text(encoding="utf-8")
                self.plant("src/ir/shape.c", f"\nstatic void bad(void) {{\n    {call};\n}}\n")
                self.catches("banned", why)
                (self.copy / "src/ir/shape.c").write_text(original, encoding="utf-8")

    def test_banned_words_in_comments_do_not_count(self) -> None:
        self.plant("src/ir/shape.c", '\n/* malloc(3) */ static const char *s = "exit(1)";\n')
        self.assertEqual(run("banned", str(self.copy)).returncode, 0)

    def test_a_path_of_one_machine(self) -> None:
        self.plant("src/ir/shape.c", "\n/* see /" + "home/someone/notes */\n")
        self.catches("paths", "src/ir/shape.c:")

    def test_a_header_that_needs_another(self) -> None:
        shutil.rmtree(self.copy / "src")
        (self.copy / "src/base").mkdir(parents=True)
        self.plant("src/base/lonely.h", "size_t lonely(void);\n")
        self.catches("headers", "src/base/lonely.h: does not compile alone")


class ObjectChecks(unittest.TestCase):
    """Checks that read objects and libraries."""

    def setUp(self) -> None:
        self.build = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.build)

    def compile(self, name: str, code: str, *flags: str) -> Path:
        out = self.build / f"{name}.c.o"
        subprocess.run(["gcc", "-x", "c", "-", "-c", "-O1", "-fPIC", *flags, "-o", str(out)], input=code, text=True, check=True)
        return out

    VECTOR = "typedef float v __attribute__((vector_size(%d))); void f(v *a) { *a = *a * *a; }"

    def test_wide_registers_in_a_baseline_object(self) -> None:
        self.compile("plain", self.VECTOR % 16)
        self.assertEqual(run("objects", str(self.build)).returncode, 0)
        self.compile("plain", self.VECTOR % 32, "-mavx2")
        self.assertIn("plain.c.o: uses %ymm", run("objects", str(self.build)).stderr)
        self.compile("plain", self.VECTOR % 16, "-mavx")
        self.assertIn("plain.c.o: uses v", run("objects", str(self.build)).stderr)

    def test_avx512_in_an_avx2_object(self) -> None:
        self.compile("x_avx2", self.VECTOR % 32, "-mavx2")
        self.compile("x_avx512", self.VECTOR % 64, "-mavx512f")
        self.assertEqual(run("objects", str(self.build)).returncode, 0)
        self.compile("x_avx2", self.VECTOR % 64, "-mavx512f")
        self.assertIn("x_avx2.c.o: uses %zmm", run("objects", str(self.build)).stderr)

    def link(self, code: str, *flags: str) -> subprocess.CompletedProcess:
        obj = self.compile("all", code)
        (self.build / "libdeepseek.a").unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", str(self.build / "libdeepseek.a"), str(obj)], check=True)
        subprocess.run(["gcc", "-shared", str(obj), "-o", str(self.build / "libdeepseek.so"), "-Wl,--no-as-needed", *flags],
                       check=True)
        return run("exports", str(self.build))

    def test_exports(self) -> None:
        hidden = '__attribute__((visibility("hidden")))'
        self.assertEqual(self.link(f"void ds_a(void) {{}} {hidden} void ds__b(void) {{}}").returncode, 0)
        self.assertIn("exports ds__b", self.link("void ds_a(void) {} void ds__b(void) {}").stderr)
        self.assertIn("helper has external linkage", self.link(f"void ds_a(void) {{}} {hidden} void helper(void) {{}}").stderr)
        other = self.build / "libother.so"
        subprocess.run(["gcc", "-shared", "-x", "c", "-", "-Wl,-soname,libother.so", "-o", str(other)], input="int other;",
                       text=True, check=True)
        self.assertIn("needs libother.so", self.link("void ds_a(void) {}", f"-L{self.build}", "-lother").stderr)
        self.assertIn("when stripped", self.link("void ds_a(void) {} const char ds_big[4000000] = {1};").stderr)


class DocsCheck(unittest.TestCase):
    """The generated pages against the registries."""

    def test_a_page_that_is_behind_its_registry(self) -> None:
        copy = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, copy)
        for file in ("tools/gen_docs.py", "src/ops/ops.def", "src/passes/passes.def"):
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, copy / file)
        (copy / "docs").mkdir()
        program = copy / "program"
        program.write_text("#!/bin/sh\necho '[{\"op\": \"a\", \"name\": \"a_ref\", \"about\": \"b | c\"}]'\n", encoding="utf-8")
        program.chmod(0o755)

        def generate(*arguments: str) -> subprocess.CompletedProcess:
            return subprocess.run([sys.executable, str(copy / "tools/gen_docs.py"), str(program), *arguments],
                                  capture_output=True, text=True)

        self.assertEqual(generate().returncode, 0)
        self.assertEqual(generate("--check").returncode, 0)
        with open(copy / "src/ops/ops.def", "a", encoding="utf-8") as out:
            out.write('DS_OP(planted, "not in the page")\n')
        result = generate("--check")
        self.assertEqual(result.returncode, 1)
        self.assertIn("docs/ops.md is not what the registries say", result.stderr)


if __name__ == "__main__":
    unittest.main()
