"""What is installed is whole: a program builds against it with pkg-config, shared and static, and the man pages are there.

  python3 tests/static/test_install.py BUILD_DIR        (ctest runs it on the release build)
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD = Path(sys.argv.pop(1)) if len(sys.argv) > 1 else Path("build/release")
PROGRAM = """
#include <deepseek/deepseek.h>
#include <string.h>
int main(void) {
    ds_context *context;
    ds_error error;
    if (ds_context_create(NULL, &context, &error) != DS_OK) return 1;
    ds_context_destroy(context);
    return strcmp(ds_version(), DS_VERSION) != 0;
}
"""


def output(*command: str, **options) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.prefix = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.prefix)
        output("cmake", "--install", str(BUILD), "--prefix", str(cls.prefix))
        pc = next(cls.prefix.rglob("deepseek.pc"))
        cls.libraries = pc.parent.parent
        cls.environment = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}

    def build_and_run(self, static: bool) -> str:
        """The libraries that the program loads."""
        program = self.prefix / "program"
        options = output("pkg-config", "--cflags", "--libs", *(["--static"] if static else []), "deepseek",
                         env=self.environment).split()
        if static:
            options[options.index("-ldeepseek")] = "-l:libdeepseek.a"
        output("gcc", "-std=c11", "-x", "c", "-", "-x", "none", "-o", str(program), *options, input=PROGRAM)
        environment = {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}
        output(str(program), env=environment)
        return output("ldd", str(program), env=environment)

    def test_a_program_with_the_shared_library(self) -> None:
        self.assertIn(f"{self.libraries}/libdeepseek.so.0", self.build_and_run(static=False))

    def test_a_program_with_the_static_library(self) -> None:
        self.assertNotIn("libdeepseek", self.build_and_run(static=True))

    def test_only_public_headers(self) -> None:
        root = Path(__file__).resolve().parent.parent.parent
        installed = sorted(p.name for p in (self.prefix / "include").rglob("*.h"))
        self.assertEqual(installed, sorted(p.name for p in (root / "include/deepseek").glob("*.h")))

    def test_a_man_page_for_each_command(self) -> None:
        overview = output(str(self.prefix / "bin/deepseek"), "--help").split("Examples:")[0]
        commands = re.findall(r"^  ([a-z]+) ", overview, re.M)
        self.assertIn("embed", commands)
        pages = {p.stem for p in (self.prefix / "share/man/man1").glob("*.1")}
        self.assertEqual(pages, {"deepseek", *(f"deepseek-{command}" for command in commands)})


if __name__ == "__main__":
    unittest.main()
