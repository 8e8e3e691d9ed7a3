"""C sources as text: comments and strings blanked, functions found. Shared by the checks; standard library only."""
import re
from pathlib import Path
from typing import Iterator, NamedTuple

TOKENS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
ATTRIBUTES = {"__attribute__", "__declspec", "_Alignas"}


def is_generated(text: str) -> bool:
    """A generated file says so at its top."""
    return bool(re.search(r"(made|generated) by tools/", "\n".join(text.split("\n")[:5]).lower()))


def sources(root: Path, *folders: str) -> Iterator[tuple[Path, str]]:
    """Every .c and .h file below the folders with its text, generated ones left out."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.[ch]")):
            text = path.read_text(encoding="utf-8")
            if not is_generated(text):
                yield path, text


def blank(text: str) -> str:
    """The same text with comments and the insides of strings replaced by spaces; lines stay where they are."""
    return TOKENS.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


class Function(NamedTuple):
    name: str
    line: int
    lines: int
    parameters: int


def count_parameters(inside: str) -> int:
    """Commas that are not inside of brackets, plus one; 0 for (void)."""
    inside = inside.strip()
    if inside in ("", "void"):
        return 0
    depth = commas = 0
    for c in inside:
        depth += c in "([{"
        depth -= c in ")]}"
        commas += c == "," and depth == 0
    return commas + 1


def closing(text: str, start: int) -> int:
    """Where the bracket opened at `start` closes; the end of the text when it does not."""
    pairs = {"(": ")", "{": "}"}
    opened, closed, depth = text[start], pairs[text[start]], 0
    for i in range(start, len(text)):
        depth += text[i] == opened
        depth -= text[i] == closed
        if depth == 0:
            return i
    return len(text)


def signature(text: str) -> tuple[str, int, str] | None:
    """Name, its place and the parameters of what stands before a function's body; None when that is not a function."""
    last, i = None, 0
    while (i := text.find("(", i)) >= 0:
        end = closing(text, i)
        name = re.search(r"(\w+)\s*$", text[:i])
        if name and name[1] not in ATTRIBUTES:
            last = (name[1], name.start(1), text[i + 1:end])
        i = end
    return last if text.rstrip().endswith(")") else None


def functions(text: str) -> Iterator[Function]:
    """The function definitions of a source whose comments and strings have been blanked: each brace at the file's own level
    that has a closing parenthesis before it. Bodies of macros do not count."""
    text = DIRECTIVE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    start = 0
    while (opened := text.find("{", start)) >= 0:
        before = max(start, text.rfind(";", start, opened) + 1)
        if text[before:opened].split() == ["extern"]:  # extern "C" is no level of its own
            start = opened + 1
            continue
        end = closing(text, opened)
        found = signature(text[before:opened])
        if found:
            name, offset, parameters = found
            place = before + offset
            first = text.count("\n", 0, place) + 1
            yield Function(name, first, text.count("\n", place, end) + 1, count_parameters(parameters))
        start = end + 1
