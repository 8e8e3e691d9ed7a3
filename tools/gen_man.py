#!/usr/bin/env python3
"""Man pages from the program's own --help: deepseek.1 and one page for each command.

  gen_man.py PROGRAM OUT_DIR

Standard library only. The build runs it, so the pages can never say anything else than --help.
"""
import re
import subprocess
import sys
from pathlib import Path


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def escape(text: str) -> str:
    """Text that roff prints as it stands."""
    return "\n".join(("\\&" if line[:1] in ".'" else "") + line.replace("\\", "\\e").replace("-", "\\-")
                     for line in text.split("\n"))


def page(name: str, about: str, help_text: str, version: str, others: list[str]) -> str:
    see = ", ".join(f"\\fB{o}\\fR(1)" for o in others if o != name)
    return (f'.TH {name.upper()} 1 "" "deepseek {version}" "User Commands"\n.SH NAME\n{name} \\- {escape(about)}\n'
            f".SH DESCRIPTION\n.nf\n{escape(help_text.rstrip())}\n.fi\n.SH SEE ALSO\n{see}\n")


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    program, out = sys.argv[1], Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    version = ask(program, "--version").split()[1]
    overview = ask(program, "--help")
    commands = re.findall(r"^  ([a-z]+) +(\S.*)$", overview.split("Examples:")[0], re.M)
    names = ["deepseek"] + [f"deepseek-{c}" for c, _ in commands]
    for command, about in commands:
        text = page(f"deepseek-{command}", about, ask(program, command, "--help"), version, names)
        (out / f"deepseek-{command}.1").write_text(text, encoding="utf-8")
    (out / "deepseek.1").write_text(page("deepseek", "runs Hugging Face text encoders on the CPU", overview, version, names),
                                    encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
