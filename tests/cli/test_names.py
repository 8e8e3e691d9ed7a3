"""MODEL as a name: the places where every command looks for it, their order, and what is said when there is none.

  test_names.py PATH_TO_deepseek
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"
NAME = "deepseek/base-model"


class Names(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp()).resolve()
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.env = {key: value for key, value in os.environ.items() if key not in ("DEEPSEEK_MODELS", "XDG_DATA_HOME")}
        self.env["HOME"] = str(self.folder / "home")
        (self.folder / "work").mkdir()
        self.program = PROGRAM

    def copy_program(self, place: str) -> None:
        self.program = self.folder / place / "deepseek"
        self.program.parent.mkdir(parents=True)
        shutil.copy(PROGRAM, self.program)

    def put(self, place: str, model: str = "bert_seq") -> pathlib.Path:
        return pathlib.Path(shutil.copytree(MODELS / model, self.folder / place))

    def run_it(self, *arguments: object) -> subprocess.CompletedProcess:
        return subprocess.run([self.program, *map(str, arguments)], input=b"of\n", capture_output=True, timeout=120, env=self.env,
                              cwd=self.folder / "work")

    def place_of(self, name: str) -> str:
        done = self.run_it("inspect", name)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode().splitlines()[0].split()[1]

    def test_the_order(self) -> None:
        """The last place first: each one found takes over."""
        self.copy_program("tree/build/release")
        (self.folder / "tree/tools").mkdir()
        (self.folder / "tree/tools/get-minilm").touch()
        places = [f"home/.local/share/deepseek/models/{NAME}", f"data/deepseek/models/{NAME}", f"tree/models/{NAME}", f"b/{NAME}",
                  f"a/{NAME}"]
        for place in places:
            self.put(place)
            if place.startswith("data"):
                self.env["XDG_DATA_HOME"] = str(self.folder / "data")
            if place.startswith("b"):
                self.env["DEEPSEEK_MODELS"] = f"{self.folder}/none::{self.folder}/a:{self.folder}/b"
            self.assertEqual(self.place_of(NAME), str(self.folder / place))
        self.put(f"work/{NAME}")
        self.assertEqual(self.place_of(NAME), NAME)
        self.assertEqual(self.place_of(str(self.folder / places[0])), str(self.folder / places[0]))

    def test_installed(self) -> None:
        self.copy_program("prefix/bin")
        place = self.put(f"prefix/share/deepseek/models/{NAME}")
        self.put(f"models/{NAME}")  # two folders up, but in no source tree
        self.assertEqual(self.place_of(NAME), str(place))

    def test_every_command(self) -> None:
        self.copy_program("prefix/bin")
        self.put(NAME)
        out, rows = self.folder / "out", self.folder / "rows.csv"
        rows.write_text("text,label\nof,exchange_rate\nthe,card_arrival\n")
        out.mkdir()
        for command, *options in [("classify",), ("embed",), ("tokenize",), ("inspect",), ("eval", "--data", rows),
                                  ("quantize", out / "int8"), ("bench", "--seconds", "0.01"),
                                  ("train", "--train", rows, "--output", out / "run", "--max-steps", 1)]:
            self.env.pop("DEEPSEEK_MODELS", None)
            done = self.run_it(command, NAME, *options)
            self.assertEqual((done.returncode, done.stdout), (1, b""), command)
            self.assertIn(b"there is no model", done.stderr)
            self.env["DEEPSEEK_MODELS"] = str(self.folder)
            done = self.run_it(command, NAME, *options)
            self.assertEqual(done.returncode, 0, (command, done.stderr))
        self.put("tags", "bert_token")
        self.assertEqual(self.run_it("tag", "tags").returncode, 0)
        done = self.run_it("train", NAME, "--train", rows, "--output", out / "taught", "--teacher", NAME)
        self.assertIn(f"teacher {self.folder}/{NAME} has 5 labels, the student 2", done.stderr.decode())
        done = self.run_it("calibrate", NAME, "--data", rows, "--split", "0.1")
        self.assertIn("none of 2 rows", done.stderr.decode())

    def test_not_found(self) -> None:
        self.copy_program("prefix/bin")
        self.env |= {"DEEPSEEK_MODELS": f"{self.folder}/one:{self.folder}/two", "XDG_DATA_HOME": f"{self.folder}/data"}
        for name in ("no/such", "x", "../x"):
            done = self.run_it("embed", name)
            said = done.stderr.decode()
            self.assertEqual((done.returncode, done.stdout, said.count("\n")), (1, b"", 1))
            places = [name, *(f"{self.folder}/{place}/{name}" for place in
                              ("one", "two", "prefix/share/deepseek/models", "data/deepseek/models"))]
            self.assertIn(f'there is no model "{name}": looked for the folders {", ".join(places)}; ', said)
        self.env |= {"DEEPSEEK_MODELS": ":" * 5000, "XDG_DATA_HOME": "", "HOME": ""}
        self.assertEqual(self.run_it("embed", "n" * 5000).returncode, 1)
        (self.folder / "work/file").touch()
        self.assertIn("is a file", self.run_it("embed", "file").stderr.decode())
        done = self.run_it("train", MODELS / "bert_seq", "--train", "x.csv", "--output", "out", "--teacher", "no/such")
        self.assertIn('there is no model "no/such"', done.stderr.decode())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
