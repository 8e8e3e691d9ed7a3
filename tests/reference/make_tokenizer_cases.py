"""Makes tests/data/tokenizer/<name>.json: difficult strings with the ids and byte offsets of the `tokenizers` package.

The tokenizers are the real ones, which this repository does not hold: `minilm` (tests find it through
tools/get-minilm), `bert_zh` (a vocab.txt alone: BERT's defaults) and `roberta`. Padding and truncation are off, special
tokens are added.
  {"tokenizer": name, "cases": [{"text": ..., "ids": [...], "offsets": [[start, end], ...]}, ...]}
A case with a "pair" is a pair of texts and has "type_ids" too; the offsets of its second part count from the start of
the second text. Offsets are bytes into the UTF-8 text, 0,0 for special tokens that were added. A token that is a part
of a character has the whole character's offsets. The files are ASCII: everything else is escaped, characters above
U+FFFF as surrogate pairs.

  python make_tokenizer_cases.py TOKENIZERS_FOLDER [--output ../data/tokenizer]
"""
import argparse
import itertools
import json
import pathlib

from tokenizers import BertWordPieceTokenizer, Tokenizer

GROUPS: dict[str, list[str]] = {
    "empty and white space": [
        "", " ", "   ", "\t", "\n", "\r", "\r\n", " \t\n\r ", "a\tb", "a\nb", "a\r\nb", "a\vb", "a\fb",
        "a\x1cb\x1db\x1eb\x1fb",
        "a\x85b", "a\u00a0b", "a\u1680b", "a\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200ab",
        "a\u2028b\u2029c", "a\u202fb\u205fc\u3000d", "a\u200bb", "a\u2060b", "a\ufeffb", "\ufeffstart", "a\u180eb",
        " leading", "trailing ", "  two  spaces  ", "many      spaces", "tab\t\ttab", "end \n", "\n\n new lines \n\n",
        "x   y", "x \n y", "  'tis", "a  \t b", "nbsp\u00a0 \u00a0mixed",
    ],
    "control and odd characters": [
        "\0", "a\0b", "\0\0", "a\x01b\x02c", "\x7f", "del\x7fete", "a\x80b\x9fc", "\ufffd", "a\ufffdb", "a \ufffd b",
        "soft\u00adhyphen", "bidi\u202eoverride\u202c", "\u200e\u200fmarks", "private \ue000 use \uf8ff",
        "\U000f0000\U0010fffd",
        "non\ufdd0char\uffff", "\U0001ffff", "unassigned \u0378 \U0001fbff", "tag \U000e0041\U000e007f",
        "\u0600\u06dd number sign",
        "variation \ufe0f\ufe0e selectors", "interlinear \ufff9\ufffa\ufffb",
    ],
    "accents and combining marks": [
        "caf\u00e9", "cafe\u0301", "\u0301", "\u0301\u0301 a", "a\u0300\u0301\u0302\u0303\u0304",
        "Z\u0351\u0346A\u0322L\u0328G\u031bO\u0321",
        "\u00c5ngstr\u00f6m", "A\u030angstro\u0308m", "\u212bngstr\u00f6m", "na\u00efve co\u00f6perate fa\u00e7ade",
        "Vi\u1ec7t Nam",
        "Vie\u0323\u0302t", "q\u0307\u0323 q\u0323\u0307", "\u1e9b\u0323",
        "\u00d8re \u00e6on \u0153uvre \u0142\u00f3d\u017a",
        "\u0915\u094d\u0937\u093f \u0939\u093f\u0928\u094d\u0926\u0940", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
        "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
        "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627", "\u304b\u3099 \u304c \uff76\uff9e",
        "\u20dd a\u20dd 1\ufe0f\u20e3", "\u0344 \u0958 \u2126 \uf900",
    ],
    "case": [
        "HELLO World", "\u0130stanbul I\u0307 \u0131", "DI\u015eARI \u0130\u0130", "STRASSE Stra\u00dfe \u1e9e",
        "\u03a3\u03a3 \u039f\u0394\u039f\u03a3 \u03c3\u03c2",
        "\u039f\u0394\u039f\u03a3, \u039f\u0394\u039f\u03a3.\u0391 \u03a3", "\u01c4 \u01c5 \u01c6 \u01f0",
        "\ufb03 \ufb01ve \ufb02ow \ufb05", "\u2167 \u2177 \u24b6 \u24d0",
        "\u13a0 \uab70 \u10a0 \u1c90 \U00010400", "\u0391\u0399 \u1f88 \u1fb3", "K\u212a \u00c5\u212b",
        "mIxEd CaSe iPhone eBay", "\U0001d400\U0001d41a \uff21\uff22\uff43",
    ],
    "punctuation and symbols": [
        "!\"#$%&'()*+,-./", ":;<=>?@", "[\\]^_`", "{|}~", "hello,world.", "a-b_c/d\\e", "...",
        "\u2026 \u2014 \u2013 \u2010", "\u00ab\u201cquote\u201d\u00bb \u2018x\u2019",
        "\u3001\u3002\uff01\uff0c\uff1f\u300c\u300d", "\u00a1Hola! \u00bfqu\u00e9?",
        "$5 \u20ac6 \u00a37 \u00a58 \u20bf9", "50% \u2030 \u2116 \u00a7 \u00b6", "a+b=c \u00d7 \u00f7 \u2260 \u221e",
        "\u00a9\u00ae\u2122", "\u2190\u2191\u2192 \u25a0\u25cf \u2500\u2502", "C++ C# .NET", "user@example.com",
        "http://x.org/a?b=c&d=%20#e", "^`~ \u00b4 \u00a8 \u00b8",
        "\u2e2e\u2e3a \u3030 \ufe31\ufe4f", "\u055a \u05be \u060c \u0964 \u0df4 \u104a",
        "\U00010100 \U00011047 \U0001e95e", "\u00b7 \u00ac \u00a6 \u00b0 \u00b1",
    ],
    "contractions and digits": [
        "I'm you're he's we'll they'd I've don't", "I'M YOU'RE HE'S WE'LL DON'T", "'s 't 're 've 'm 'll 'd",
        "it\u2019s don\u2019t", "''s '' s's'",
        "rock'n'roll o'clock", "x'S'll", "123 4567 89", "3.14159 1,234,567.89", "2024-02-29T12:34:56Z",
        "1st 2nd x86_64 H2O", "\u00bd \u00b2 \u2460 \u2075 \u2167",
        "\u0661\u0662\u0663 \u0967\u0968 \uff11\uff12 \U0001d7d8", "\u4e00\u4e8c\u4e09 \u3007", "007 0x1F 1e-9",
        "a1b2c3 1a2b",
    ],
    "other scripts": [
        "\u4f60\u597d\u4e16\u754c", "\u4f60\u597d, world\u4e16\u754c123",
        "\u6211\u7684\u94f6\u884c\u5361\u4e22\u4e86\u3002\u600e\u4e48\u529e\uff1f",
        "\U00020000\U0002a6d6 \u3400\u4dbf",
        "\uf900\ufaff \U0002f800", "\u9fff\ua000 \u33ff\u2fff",
        "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8 \u3042\u30a2\uff71", "\uc548\ub155\ud558\uc138\uc694",
        "\u110b\u1161\u11ab\u1102\u1167\u11bc",
        "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab",
        "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 \u0439 \u0451",
        "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac", "\u10e5\u10d0\u10e0\u10d7", "\u0540\u0561\u0575",
        "\u1019\u103c\u1014\u103a\u1019\u102c", "\u12a0\u121b\u122d\u129b \u1361",
        "\U00010330\U00010331 \U00012000 \U00013000",
    ],
    "emoji": [
        "\U0001f600", "hi\U0001f600there", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
        "\U0001f64f\U0001f3fd \u2764\ufe0f", "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
        "a \u263a b\u2603c", "#\ufe0f\u20e3 \u2122\ufe0f",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
    "special tokens inside": [
        "[MASK]", "a [MASK] b", "a[MASK]b", "[CLS] a [SEP] b", "[ MASK ]", "[mask]", "[MASK", "MASK]", "[PAD][PAD]",
        "[UNK]x[UNK]", "[[MASK]]", "x [MASK]. y",
        "<mask>", "a <mask> b", "a  <mask>  b", "a<mask>b", "a\t<mask>\nb", "<s>a</s>", "<pad> <unk>", "< mask >",
        "<MASK>", "<mask", "<<mask>>", "a\u00a0<mask> b",
        "[CLS][SEP]", "</s></s>", "[unused1]", "##ing", "a ##ing", "\u0120the",
    ],
    "long": [
        "a" * 99, "a" * 100, "a" * 101, "\u00e9" * 100, "e\u0301" * 60, "internationalisation" * 6, "x" * 120 + " y",
        "\u4e2d" * 30, "." * 40, "ab1" * 40,
        "supercalifragilisticexpialidocious antidisestablishmentarianism",
        "How do I know when my card will arrive? I ordered it over a week ago, and it's still not here.",
    ],
}
PAIRS = [("", ""), ("a", ""), ("", "b"), ("How old are you?", "I'm 6 years old."), (" x ", " y "),
         ("caf\u00e9 \u4f60", "\u597d \U0001f600"), ("a [SEP] b", "c </s> d"), ("same", "same"), ("[MASK]", "<mask>")]


def load(name: str, folder: pathlib.Path) -> Tokenizer:
    if (folder / name / "tokenizer.json").exists():
        tok = Tokenizer.from_file(str(folder / name / "tokenizer.json"))
        tok.no_padding()
        tok.no_truncation()
        return tok
    return BertWordPieceTokenizer(str(folder / name / "vocab.txt"))._tokenizer


def case(tok: Tokenizer, text: str, pair: str | None = None) -> dict:
    enc = tok.encode(text, pair)
    prefix = [list(itertools.accumulate((len(c.encode()) for c in t), initial=0)) for t in (text, pair or "")]
    offsets = [[0, 0] if s is None else [prefix[s][a], prefix[s][b]]
               for (a, b), s in zip(enc.offsets, enc.sequence_ids)]
    result = {"text": text, "ids": enc.ids, "offsets": offsets}
    return result if pair is None else {"pair": pair, "type_ids": enc.type_ids} | result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = pathlib.Path(__file__).resolve().parent
    parser.add_argument("tokenizers", type=pathlib.Path, help="the folder that holds minilm/, bert_zh/ and roberta/")
    parser.add_argument("--output", type=pathlib.Path, default=here.parent / "data" / "tokenizer")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for name in ("minilm", "bert_zh", "roberta"):
        tok = load(name, args.tokenizers)
        cases = [case(tok, t) for group in GROUPS.values() for t in group] + [case(tok, a, b) for a, b in PAIRS]
        lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
        path = args.output / f"{name}.json"
        path.write_text(f'{{"tokenizer":"{name}","cases":[\n{lines}\n]}}\n')
        print(f"{path.name}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
