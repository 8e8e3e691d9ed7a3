"""C sources as text: comments and strings blanked, functions found. Shared by the checks; standard library only."""
import re
from pathlib import Path
from typing import Iterator, NamedTuple

TOKENS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
FUNCTION = re.compile(r"^(?!(?:typedef|struct|union|enum|else|return|static const|const|extern)\b)[A-Za-z_][\w \t*]*?[ *]"
                      r"([A-Za-z_]\w*)\(([^;{}]*?)\)[^;{}()]*\{", re.M | re.S)


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


def functions(text: str) -> Iterator[Function]:
    """The function definitions of a source whose comments and strings have been blanked."""
    for match in FUNCTION.finditer(text):
        depth, end = 1, match.end()
        while depth and end < len(text):
            depth += text[end] == "{"
            depth -= text[end] == "}"
            end += 1
        start = text.count("\n", 0, match.start(1)) + 1
        yield Function(match[1], start, text.count("\n", match.start(), end) + 1, count_parameters(match[2]))
