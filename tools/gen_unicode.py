#!/usr/bin/env python3
"""Writes src/tokenizer/unicode_tables.c and .h: what the reference tokenizers think of every character.

  pip install -r tests/reference/requirements.txt        # only the pinned `tokenizers` package is needed
  tools/gen_unicode.py [--output src/tokenizer] [--check]

The `tokenizers` package mixes several Unicode versions: categories from one table, lower case from Rust's standard
library, normal forms from a third, the letters and digits of byte-level BPE from its regular expressions. Equal ids on
any text therefore need the package's own answers, so this program asks it: it sends every code point through the
normalizers and pre-tokenizers and records what happened. `--check` compares with the files that are there and exits 1
when they differ (after a change of the pinned version, for example); it takes about half a minute.

The tables are in two stages: PAGES maps the upper bits of a code point to a page, PAGE_CLASSES the place in the page to
a class, CLASSES a class to its flags and the distance to the lower-case form.  Normal forms are computed by utf8proc:
Unicode never changes the decomposition or combining class of a character once assigned, so one flag is enough, which
says whether the reference's version knew of it at all.
"""
import argparse
import pathlib
import sys
from collections.abc import Callable

from tokenizers import __version__ as TOKENIZERS_VERSION
from tokenizers import normalizers, pre_tokenizers

PAGE = 128
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

# Name, meaning.  The order gives the bits.
FLAGS = [
    ("CONTROL", "BertNormalizer's clean_text removes it"),
    ("SPACE", "white space, for every component"),
    ("HAN", "BertNormalizer puts spaces around it"),
    ("NONSPACING", "BertNormalizer's strip_accents removes it"),
    ("MARK", "StripAccents removes it"),
    ("PUNCTUATION", "BertPreTokenizer and Punctuation make it a word of its own"),
    ("LETTER", r"\p{L} of the byte-level pattern"),
    ("NUMBER", r"\p{N} of the byte-level pattern"),
    ("WORD", r"\w of Whitespace and of single-word added tokens"),
    ("NORMALIZES", "has a decomposition or a combining class in the reference's Unicode version"),
]
# Lower case of one character is two only for this one (U+0069 U+0307); unicode.h handles it.
LOWERS_TO_TWO = {0x130}


def bert(**on: bool) -> Callable[[str], str]:
    options = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**(options | on)).normalize_str


def probe() -> list[tuple[int, int]]:
    """(flags, distance to lower case) of every code point; (0, 0) for surrogates, which are no characters."""
    clean, han, accents = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True)
    strip, lower = normalizers.StripAccents().normalize_str, normalizers.Lowercase().normalize_str
    nfd, nfkd = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
    blanks = pre_tokenizers.WhitespaceSplit().pre_tokenize_str
    punctuation = pre_tokenizers.Punctuation().pre_tokenize_str
    words = pre_tokenizers.Whitespace().pre_tokenize_str
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str

    def decomposes_or_combines(c: str) -> bool:
        # U+0345 has the highest combining class: every other non-starter moves in front of it.
        return nfkd(c) != c or nfd("a\u0345" + c) != "a\u0345" + c or c == "\u0345"

    result = [(0, 0)] * 0x110000
    for code in SCALARS:
        c = chr(code)
        answers = (
            clean("a" + c) == "a",
            len(blanks("a" + c + "a")) == 2,
            han(c) != c,
            accents("a" + c) == "a",
            strip("a" + c) == "a",
            len(punctuation("a" + c + "a")) == 3,
            len(byte_level("a" + c)) == 1,
            len(byte_level("1" + c)) == 1,
            len(words("a" + c)) == 1 and words("a" + c)[0][1] == (0, 2),
            decomposes_or_combines(c),
        )
        small = lower(c)
        if len(small) != 1 and code not in LOWERS_TO_TWO:
            sys.exit(f"U+{code:04X}: its lower case has {len(small)} characters, unicode.h knows of U+0130 only")
        distance = ord(small) - code if len(small) == 1 else 0
        result[code] = (sum(bool(a) << i for i, a in enumerate(answers)), distance)
    return result


def rows(numbers: list[int], width: int = 118) -> str:
    lines, line = [], "   "
    for n in numbers:
        item = f" {n},"
        if len(line) + len(item) > width:
            lines.append(line)
            line = "   "
        line += item
    return "\n".join(lines + [line])


def tables(properties: list[tuple[int, int]]) -> tuple[str, str]:
    classes: dict[tuple[int, int], int] = {}
    pages: dict[tuple[int, ...], int] = {}
    index = []
    for start in range(0, len(properties), PAGE):
        page = tuple(classes.setdefault(p, len(classes)) for p in properties[start:start + PAGE])
        index.append(pages.setdefault(page, len(pages)))
    if len(classes) > 256 or len(pages) > 256:
        sys.exit(f"{len(classes)} classes and {len(pages)} pages; a byte numbers 256")
    made = (f"/* Made by tools/gen_unicode.py from the answers of the `tokenizers` package {TOKENIZERS_VERSION}; "
            "do not edit.\n")
    flags = "\n".join(f"    DS__UNI_{name} = 1 << {i}, /* {meaning} */" for i, (name, meaning) in enumerate(FLAGS))
    header = f"""{made} * What the reference tokenizers think of every character; see unicode.h for how to ask. */
#ifndef DS_TOKENIZER_UNICODE_TABLES_H
#define DS_TOKENIZER_UNICODE_TABLES_H

#include <stdint.h>

enum {{
{flags}
}};

typedef struct ds__uni_class {{
    uint16_t flags;
    int32_t lower; /* add it to the code point for the lower-case form */
}} ds__uni_class;

enum {{ DS__UNI_PAGE = {PAGE}, DS__UNI_CODES = 0x110000 }};
extern const uint8_t ds__uni_pages[DS__UNI_CODES / DS__UNI_PAGE];
extern const uint8_t ds__uni_page_classes[{len(pages)}][DS__UNI_PAGE];
extern const ds__uni_class ds__uni_classes[{len(classes)}];

#endif
"""
    body = ",\n".join("    {\n" + rows(list(page), 114) + "\n    }" for page in pages)
    source = f"""{made} * {len(pages)} pages of {PAGE} code points in {len(classes)} classes. */
#include "tokenizer/unicode_tables.h"

const ds__uni_class ds__uni_classes[{len(classes)}] = {{
""" + "\n".join(f"    {{{flag}, {lower}}}," for flag, lower in classes) + f"""
}};

const uint8_t ds__uni_pages[DS__UNI_CODES / DS__UNI_PAGE] = {{
{rows(index)}
}};

const uint8_t ds__uni_page_classes[{len(pages)}][DS__UNI_PAGE] = {{
{body},
}};
"""
    return source, header


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = pathlib.Path(__file__).resolve().parent.parent / "src" / "tokenizer"
    parser.add_argument("--output", type=pathlib.Path, default=default, help="the folder of the two files")
    parser.add_argument("--check", action="store_true", help="only compare with the files that are there")
    args = parser.parse_args()
    different = False
    for text, name in zip(tables(probe()), ("unicode_tables.c", "unicode_tables.h")):
        path = args.output / name
        if not args.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            different = True
            print(f"{path} differs from what tokenizers {TOKENIZERS_VERSION} answers", file=sys.stderr)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
