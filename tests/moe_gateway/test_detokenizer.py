from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from moe_gateway.detokenizer import Detokenizer
from moe_gateway.tokenizer import TextModel
from tests.moe_gateway.fakes import make_tokenizer

TOKENIZER = make_tokenizer()


class Decoding:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def decode(self, ids: "list[int]") -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def pieces_of(tokens: list[int], prompt: tuple[int, ...] = ()) -> list[str]:
    detokenizer = Detokenizer(Decoding(TOKENIZER), prompt)
    return [*(detokenizer.push(token) for token in tokens), detokenizer.flush()]


@pytest.mark.parametrize("text", ["plain words", "你好，世界", "é à ü", "👩‍🚀 emoji 🎉", "mixed 你 and é and 🎉!"])
def test_no_piece_shows_half_a_character(text: str) -> None:
    tokens = TOKENIZER.encode(text).ids
    pieces = pieces_of(tokens)
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


@settings(deadline=None)
@given(st.lists(st.integers(0, TOKENIZER.get_vocab_size() - 1), max_size=60), st.lists(st.integers(0, 250), max_size=9))
def test_pieces_of_any_tokens_add_up_to_the_whole(tokens: list[int], prompt: list[int]) -> None:
    decoding = Decoding(TOKENIZER)
    known = decoding.decode(prompt[-6:])
    whole = decoding.decode([*prompt[-6:], *tokens])
    held = len(known) - len(known.rstrip("\ufffd"))
    text = "".join(pieces_of(tokens, tuple(prompt)))
    assert whole.endswith(text)
    assert len(whole) - len(text) >= len(known) - min(3, held)


def test_broken_bytes_show_at_the_end_and_not_before() -> None:
    tokens = TOKENIZER.encode("é").ids
    assert pieces_of(tokens[:1]) == ["", "\ufffd"]


def test_a_run_of_broken_bytes_is_not_held_for_ever() -> None:
    broken = TOKENIZER.encode("é").ids[0]
    detokenizer = Detokenizer(Decoding(TOKENIZER))
    assert "".join(detokenizer.push(broken) for _ in range(20)) == "\ufffd" * 17


@pytest.mark.parametrize("text", ["é", "你"])
def test_endless_tokens_without_text_cost_no_more_than_others(text_model: TextModel, text: str) -> None:
    broken = text_model.encode(text, add_special_tokens=False)[0]

    class Counting:
        longest = 0

        def decode(self, ids: Sequence[int]) -> str:
            self.longest = max(self.longest, len(ids))
            return text_model.decode(ids)

    for token in (broken, text_model.end_tokens[0]):
        decoder = Counting()
        detokenizer = Detokenizer(decoder)
        whole = "".join(detokenizer.push(token) for _ in range(500)) + detokenizer.flush()
        assert whole == text_model.decode([token] * 500)
        assert decoder.longest <= 33


@settings(deadline=None)
@given(st.lists(st.sampled_from(TOKENIZER.encode("é你🎉 a").ids), min_size=40, max_size=150))
def test_long_runs_of_broken_bytes_add_up_too(tokens: list[int]) -> None:
    assert "".join(pieces_of(tokens)) == Decoding(TOKENIZER).decode(tokens)


def test_words_keep_the_space_before_them_where_decoders_drop_the_first() -> None:
    tokenizer = Tokenizer(models.WordLevel({"▁the": 0, "▁cat": 1, "▁sat": 2}, unk_token="▁the"))
    tokenizer.decoder = decoders.Metaspace()
    detokenizer = Detokenizer(Decoding(tokenizer), (0,))
    assert [detokenizer.push(1), detokenizer.push(2)] == [" cat", " sat"]


def test_special_tokens_are_no_text(text_model: TextModel) -> None:
    end = text_model.end_tokens[0]
    words = text_model.encode("the fox", add_special_tokens=False)
    detokenizer = Detokenizer(text_model)
    assert "".join(detokenizer.push(token) for token in (words[0], end, *words[1:])) == "the fox"
