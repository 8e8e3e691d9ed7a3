"""`deepseek prune` as a user meets it: the folder it writes, checked by another WordPiece, and what it refuses.

  test_prune.py PATH_TO_deepseek
"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"
TEXTS = ["where is my new card", "the card is in the mail", "someone used my card in berlin", "exchange rate of the transfer",
         "unbelievably they charged me", "zebra quixotic jukebox", "cards", "我 card", "x"]


def run(*arguments: object, text: str = "") -> subprocess.CompletedProcess:
    return subprocess.run([PROGRAM, *map(str, arguments)], input=text.encode(), capture_output=True, timeout=120)


def read_weights(folder: pathlib.Path) -> dict[str, tuple[str, list[int], bytes]]:
    data = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], entry["shape"], data[8 + length:][slice(*entry["data_offsets"])])
            for name, entry in header.items()}


def write_weights(folder: pathlib.Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> None:
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values()))


def pieces(vocab: dict[str, int], word: str) -> list[str]:
    """WordPiece by its definition: the longest token each time."""
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocab:
                break
        else:
            return ["[UNK]"]
        found.append(piece)
        start = end
    return found


class Prune(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.out, self.texts = self.folder / "out", self.folder / "texts.txt"
        self.texts.write_text("\n".join(TEXTS[:4]) + "\n")

    def pruned(self, model: pathlib.Path, *options: object) -> dict:
        result = run("prune", model, self.out, "--json", "--texts", self.texts, *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def refused(self, code: int, said: str, *arguments: object) -> None:
        before = sorted(self.folder.rglob("*"))
        result = run("prune", *arguments)
        self.assertEqual((result.returncode, result.stdout), (code, b""), result.stderr)
        self.assertIn(said, result.stderr.decode())
        self.assertEqual(sorted(self.folder.rglob("*")), before, "nothing is left behind")

    def test_tokens_rows_and_ids(self) -> None:
        source = MODELS / "bert_base"
        said = self.pruned(source, "--tokens", 140)
        self.assertEqual((said["tokens_before"], said["tokens_after"], said["texts"]), (260, 140, 4))
        old, new = (json.loads((folder / "tokenizer.json").read_text()) for folder in (source, self.out))
        before, after = old["model"].pop("vocab"), new["model"].pop("vocab")
        for token in old["added_tokens"]:
            token["id"] = after[token["content"]]
        for token in old["post_processor"]["special_tokens"].values():
            token["ids"] = [after[name] for name in token["tokens"]]
        self.assertEqual(old, new)
        self.assertEqual(sorted(after.values()), list(range(140)))
        self.assertEqual(sorted(after, key=after.get), [token for token in sorted(before, key=before.get) if token in after])
        # The choice, from its definition.
        counts = {token: 0 for token in before}
        for text in TEXTS[:4]:
            for word in text.split():
                for piece in pieces(before, word):
                    counts[piece] += 1
        stays = {token for token in before if token.startswith("[") and len(token) > 1 or
                 len(token.removeprefix("##") or token) == 1}
        others = sorted((token for token in before if token not in stays),
                        key=lambda token: (-counts[token], before[token]))
        self.assertEqual(set(after), stays | set(others[:140 - len(stays)]))
        # The texts, from the definition of WordPiece.
        for folder, vocab in ((source, before), (self.out, after)):
            lines = run("tokenize", folder, "--texts", "-", text="\n".join(TEXTS)).stdout.splitlines()
            for text, line in zip(TEXTS, lines, strict=True):
                want = ["[CLS]", *(piece for word in text.split() for piece in pieces(vocab, word)), "[SEP]"]
                self.assertEqual(json.loads(line), [vocab[piece] for piece in want], text)
        # The rows; everything else as it was.
        was, now = read_weights(source), read_weights(self.out)
        self.assertEqual(was.keys(), now.keys())
        for name, (dtype, shape, data) in was.items():
            if name.endswith("word_embeddings.weight"):
                size = len(data) // shape[0]
                data = b"".join(data[before[token] * size:][:size] for token in sorted(after, key=after.get))
                shape = [140, *shape[1:]]
            self.assertEqual(now[name], (dtype, shape, data), name)
        config = json.loads((source / "config.json").read_text())
        self.assertEqual(json.loads((self.out / "config.json").read_text()), {**config, "vocab_size": 140})

    def test_rare_tokens_count_as_none(self) -> None:
        self.texts.write_text("berlin berlin\n")
        before = json.loads((MODELS / "bert_base" / "tokenizer.json").read_text())["model"]["vocab"]
        at = before["berlin"]
        needed = sum(token.startswith("[") and len(token) > 1 or len(token.removeprefix("##") or token) == 1
                     for token in before)
        lower = sum(len(token.removeprefix("##") or token) > 1 and not token.startswith("[") and before[token] < at
                    for token in before)
        self.assertGreater(lower, 0, "others come before it")
        for least, has in ((2, True), (3, False)):
            self.pruned(MODELS / "bert_base", "--tokens", needed + 1, "--min-count", least)
            vocab = json.loads((self.out / "tokenizer.json").read_text())["model"]["vocab"]
            self.assertEqual("berlin" in vocab, has)
            shutil.rmtree(self.out)

    def test_every_file_with_ids(self) -> None:
        """A token behind the model's own, special tokens that are moved, and padding, a list of processors, vocab.txt."""
        source = self.folder / "source"
        shutil.copytree(MODELS / "bert_base", source)
        weights = read_weights(source)
        name = "embeddings.word_embeddings.weight"
        dtype, shape, data = weights[name]
        size = len(data) // shape[0]
        write_weights(source, {**weights, name: (dtype, [264, shape[1]], data + bytes(size - 1) + b"\x3f" + bytes(3 * size)),
                               "cls.predictions.bias": ("F32", [264], bytes(range(4)) * 264)})
        tokenizer = json.loads((source / "tokenizer.json").read_text())
        vocab = tokenizer["model"]["vocab"]
        last = max(vocab, key=vocab.get)
        swap = {"[MASK]": vocab[last], last: vocab["[MASK]"], "[SEP]": vocab["card"], "card": vocab["[SEP]"]}
        vocab |= swap
        for token in tokenizer["added_tokens"]:
            token["id"] = vocab[token["content"]]
        tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 260, "content": "<new>"})
        tokenizer["padding"] = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
                                "pad_id": vocab["[MASK]"], "pad_type_id": 0, "pad_token": "[MASK]"}
        tokenizer["post_processor"] = {"type": "Sequence", "processors": [
            {"type": "BertProcessing", "sep": ["[SEP]", vocab["[SEP]"]], "cls": ["[CLS]", vocab["[CLS]"]]}]}
        (source / "tokenizer.json").write_text(json.dumps(tokenizer))
        (source / "tokenizer_config.json").write_text(json.dumps({"unk_token": "[UNK]", "added_tokens_decoder": {
            str(vocab["[MASK]"]): {"content": "[MASK]"}, "260": {"content": "<new>"}}}))
        (source / "added_tokens.json").write_text('{"<new>": 260}')
        (source / "vocab.txt").write_text("stale\n")
        (source / "generation_config.json").write_text("{}")
        config = json.loads((source / "config.json").read_text()) | {
            "vocab_size": 264, "mask_token_id": vocab["[MASK]"], "bos_token_id": vocab["where"] if "where" in vocab else None,
            "eos_token_id": 263, "sep_token_id": None}
        (source / "config.json").write_text(json.dumps(config))

        said = self.pruned(source, "--tokens", 130)
        self.assertEqual(said["tokens_before"], 264)
        made = json.loads((self.out / "tokenizer.json").read_text())
        after = made["model"]["vocab"]
        self.assertEqual(len(after), 129)
        self.assertEqual({t["content"]: t["id"] for t in made["added_tokens"]},
                         {t["content"]: after.get(t["content"], 129) for t in tokenizer["added_tokens"]})
        self.assertEqual(made["padding"]["pad_id"], after["[MASK]"])
        self.assertEqual(made["post_processor"]["processors"][0]["sep"], ["[SEP]", after["[SEP]"]])
        self.assertEqual((self.out / "vocab.txt").read_text(), "".join(f"{t}\n" for t in sorted(after, key=after.get)))
        self.assertEqual(json.loads((self.out / "tokenizer_config.json").read_text())["added_tokens_decoder"],
                         {str(after["[MASK]"]): {"content": "[MASK]"}, "129": {"content": "<new>"}})
        self.assertEqual(json.loads((self.out / "added_tokens.json").read_text()), {"<new>": 129})
        self.assertFalse((self.out / "generation_config.json").exists())
        got = json.loads((self.out / "config.json").read_text())
        self.assertEqual(got, {**config, "vocab_size": 130, "mask_token_id": after["[MASK]"], "eos_token_id": None,
                               "bos_token_id": after.get("where"), "pad_token_id": after["[PAD]"]})
        table = read_weights(self.out)[name]
        self.assertEqual((table[1], table[2][129 * size:]), ([130, shape[1]], bytes(size - 1) + b"\x3f"))
        self.assertEqual(read_weights(self.out)["cls.predictions.bias"][1], [130])
        for text in ("where <new> is", "my card"):
            first, second = (run("embed", folder, text=text) for folder in (source, self.out))
            self.assertEqual((first.returncode, first.stdout), (0, second.stdout), first.stderr)
        vocab_only = self.folder / "lines"
        (self.out / "tokenizer.json").unlink()
        (self.out / "added_tokens.json").unlink()
        (self.out / "tokenizer_config.json").write_text("{}")
        self.out.rename(vocab_only)
        self.assertEqual(json.loads(run("tokenize", vocab_only, text="[MASK]").stdout),
                         [after["[CLS]"], after["[MASK]"], after["[SEP]"]])

    def test_heads_and_modules_come_along(self) -> None:
        for model in ("st_mean", "bert_seq", "bert_token", "distilbert_seq", "bert_vocab_only"):
            self.pruned(MODELS / model, "--tokens", 200)
            command = {"bert_token": "tag", "bert_seq": "classify", "distilbert_seq": "classify"}.get(model, "embed")
            first, second = (run(command, folder, text=TEXTS[0]) for folder in (MODELS / model, self.out))
            self.assertEqual((first.returncode, first.stdout), (0, second.stdout), first.stderr)
            self.assertEqual(json.loads(run("inspect", self.out, "--json").stdout)["problems"], [])
            shutil.rmtree(self.out)

    def test_texts_from_several_files(self) -> None:
        other = self.folder / "more.csv"
        other.write_text("number,body\n1,berlin berlin berlin berlin\n2,berlin\n")
        said = self.pruned(MODELS / "bert_base", "--tokens", 120, "--texts", other, "--text-column", "body")
        self.assertEqual(said["texts"], 6)
        self.assertIn("tokens, chosen by 4 texts", run("prune", MODELS / "bert_base", self.folder / "b", "--texts", self.texts,
                                                       "--tokens", 120).stdout.decode())

    def test_what_is_refused(self) -> None:
        model, out = MODELS / "bert_base", self.out
        self.refused(2, "--texts is missing", model, out, "--tokens", 100)
        self.refused(2, "--tokens is missing", model, out, "--texts", self.texts)
        self.refused(2, "OUT is missing", model, "--texts", self.texts, "--tokens", 100)
        for bad in ("0", "-1", "x", "", "99999999999", "1.5"):
            self.refused(2, f'--tokens is "{bad}"', model, out, "--texts", self.texts, "--tokens", bad)
        self.refused(1, "nothing to prune to 260", model, out, "--texts", self.texts, "--tokens", 260)
        self.refused(1, "10 tokens are to be kept, but 91 must be", model, out, "--texts", self.texts, "--tokens", 10)
        self.refused(1, "BPE", MODELS / "roberta_base", out, "--texts", self.texts, "--tokens", 100)
        self.refused(1, "none.txt", model, out, "--texts", self.folder / "none.txt", "--tokens", 100)
        empty = self.folder / "empty.txt"
        empty.touch()
        self.refused(1, "holds no text", model, out, "--texts", empty, "--tokens", 100)
        self.refused(1, str(self.folder), model, self.folder, "--texts", self.texts, "--tokens", 100)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
