"""Tokenizers against the ids that transformers gave, and the options of a call."""
import numpy as np
import pytest

from deepseek import AutoTokenizer, DataCollatorWithPadding
from conftest import MODELS, read_safetensors, texts_of

KINDS = ["bert_seq", "roberta_seq", "distilbert_seq", "bert_vocab_cased", "bert_vocab_only"]


@pytest.fixture(scope="module")
def bert():
    return AutoTokenizer.from_pretrained(MODELS / "bert_seq")


@pytest.mark.parametrize("model", KINDS)
def test_ids_and_offsets_of_transformers(model):
    expected, texts = read_safetensors(MODELS / model / "expected.safetensors"), texts_of(model)
    tokenizer = AutoTokenizer.from_pretrained(MODELS / model)
    encoded = tokenizer(texts, truncation=True, return_token_type_ids=True, return_offsets_mapping=True)
    start = expected["seq_start"]
    for i, text in enumerate(texts):
        part = slice(start[i], start[i + 1])
        assert encoded["input_ids"][i] == expected["ids"][part].tolist()
        assert encoded["token_type_ids"][i] == expected["type_ids"][part].tolist()
        for (first, last), (byte, end) in zip(encoded["offset_mapping"][i], expected["offsets"][part].tolist()):
            if len(text[first:last].encode()) == end - byte:  # a token may end inside of a character
                assert text.encode()[byte:end] == text[first:last].encode()


def test_inputs_that_the_model_has():
    assert list(AutoTokenizer.from_pretrained(MODELS / "bert_seq")("Hi")) == ["input_ids", "token_type_ids", "attention_mask"]
    for model in ("roberta_seq", "distilbert_seq"):
        assert list(AutoTokenizer.from_pretrained(MODELS / model)("Hi")) == ["input_ids", "attention_mask"]


def test_padding(bert):
    texts = ["Hi", "my card is here"]
    longest = max(len(row) for row in bert(texts)["input_ids"])
    for padding in (True, "longest"):
        batch = bert(texts, padding=padding, return_tensors="np")
        assert batch["input_ids"].shape == (2, longest) and batch["input_ids"].dtype == np.int64
    batch = bert(texts, padding="max_length", max_length=12, truncation=True)
    assert [len(row) for row in batch["input_ids"]] == [12, 12]
    assert batch["attention_mask"][0] == [1] * 4 + [0] * 8
    assert batch["input_ids"][0][4:] == [bert.pad_token_id] * 8
    assert len(bert("Hi", padding="max_length", truncation=True)["input_ids"]) == bert.model_max_length == 64
    assert len(bert(texts, padding=True, pad_to_multiple_of=8)["input_ids"][0]) == 8
    left = AutoTokenizer.from_pretrained(MODELS / "bert_seq")
    left.padding_side = "left"
    assert left(texts, padding=True)["attention_mask"][0][0] == 0
    with pytest.raises(ValueError, match="padding=True"):
        bert(texts, return_tensors="np")
    with pytest.raises(ValueError, match="'np'"):
        bert(texts, padding=True, return_tensors="pt")


def test_truncation(bert):
    long = "card " * 200
    assert len(bert(long)["input_ids"]) == 202
    assert len(bert(long, truncation=True)["input_ids"]) == 64
    assert len(bert(long, truncation=True, max_length=7)["input_ids"]) == 7
    assert bert(long, truncation=True, max_length=7)["input_ids"][-1] == bert.sep_token_id
    pair = bert(long, "my card", truncation=True, max_length=10)
    assert len(pair["input_ids"]) == 10 and sum(pair["token_type_ids"]) == 3
    with pytest.raises(ValueError, match="only_first"):
        bert(long, truncation="only_first")
    with pytest.raises(ValueError, match="max_length"):
        bert(long, truncation=True, max_length=0)


def test_special_tokens(bert):
    plain = bert("my card", add_special_tokens=False)["input_ids"]
    assert bert("my card")["input_ids"] == [bert.cls_token_id, *plain, bert.sep_token_id]
    assert bert("card " * 9, add_special_tokens=False, truncation=True, max_length=3)["input_ids"] == plain[1:] * 3
    assert bert.special_tokens_map == {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",
                                       "cls_token": "[CLS]", "mask_token": "[MASK]"}
    assert bert("Hi", return_special_tokens_mask=True)["special_tokens_mask"][0] == 1
    roberta = AutoTokenizer.from_pretrained(MODELS / "roberta_seq")
    assert (roberta.cls_token, roberta.pad_token_id, roberta.bos_token) == ("<s>", 1, "<s>")


def test_words(bert):
    batch = bert([["My", "card", "unbelievably"], ["ÀÉ"]], is_split_into_words=True, return_offsets_mapping=True)
    words = batch.word_ids(0)
    assert words[0] is None and words[-1] is None and words[1:3] == [0, 1] and set(words[3:-1]) == {2}
    assert set(batch.word_ids(1)[1:-1]) == {0}
    text = bert("My card, lost")
    assert text.word_ids()[1:-1] == sorted(text.word_ids()[1:-1])


def test_vocabulary(bert):
    vocab = bert.get_vocab()
    assert len(vocab) == len(bert) == bert.vocab_size == 260
    assert bert.convert_ids_to_tokens(vocab["card"]) == "card"
    assert bert.convert_tokens_to_ids(["card", "no such token"]) == [vocab["card"], bert.unk_token_id]
    assert bert.convert_ids_to_tokens([0, 10**6]) == ["[PAD]", None]
    assert bert.tokenize("My card") == bert.convert_ids_to_tokens(bert.encode("My card"), skip_special_tokens=True)
    assert bert.convert_tokens_to_string(bert.tokenize("Where is my new card?")) == "where is my new card?"
    roberta = AutoTokenizer.from_pretrained(MODELS / "roberta_seq")
    for text in texts_of("roberta_seq"):
        if "<mask>" in text:  # which takes the space before it along
            continue
        assert roberta.convert_tokens_to_string(roberta.tokenize(text)) == text


def test_texts_that_are_none(bert):
    assert bert([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert bert("")["input_ids"] == [bert.cls_token_id, bert.sep_token_id]
    assert bert("\ud800")["input_ids"]  # half a surrogate counts as U+FFFD
    with pytest.raises(ValueError, match="int"):
        bert([3])
    with pytest.raises(ValueError, match="second texts"):
        bert(["a", "b"], ["c"])


def test_encoding_as_an_object(bert):
    batch = bert("Hi")
    assert batch.input_ids == batch["input_ids"] and batch.data == dict(batch) and batch.to("cpu") is batch
    with pytest.raises(AttributeError, match="pixel_values"):
        batch.pixel_values
    assert batch.input_ids == bert.encode("Hi")


def test_save(bert, tmp_path):
    files = bert.save_pretrained(tmp_path / "new")
    assert {path.rsplit("/", 1)[1] for path in files} == {"tokenizer.json", "tokenizer_config.json"}
    again = AutoTokenizer.from_pretrained(tmp_path / "new")
    assert again("Where is my card?") == bert("Where is my card?") and again.model_max_length == 64
    again.save_pretrained(tmp_path / "new")


def test_collator(bert):
    collate = DataCollatorWithPadding(bert)
    batch = collate([{**bert("Hi"), "label": 1}, {**bert("my new card"), "label": 0}])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, len(bert("my new card")["input_ids"]))
    assert batch["labels"].tolist() == [1, 0] and batch["attention_mask"][0].tolist()[:5] == [1, 1, 1, 1, 0]
