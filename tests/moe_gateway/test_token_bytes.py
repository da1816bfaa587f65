import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from moe_gateway.scores import LEAST_LOGPROB, Scorer
from moe_gateway.token_bytes import TokenBytes
from moe_wire.messages import Logprobs
from tests.moe_gateway.fakes import make_tokenizer

BYTE_LEVEL = make_tokenizer()


def sentence_piece() -> Tokenizer:
    pieces = ["▁the", "fox", "▁", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


@settings(deadline=None)
@given(st.text(max_size=30))
def test_the_bytes_of_tokens_add_up_to_the_text(text: str) -> None:
    ids = BYTE_LEVEL.encode(text, add_special_tokens=False).ids
    token_bytes = TokenBytes(BYTE_LEVEL)
    assert b"".join(map(token_bytes.of, ids)) == text.encode()


def test_special_tokens_are_their_names_and_unknown_ids_nothing() -> None:
    token_bytes = TokenBytes(BYTE_LEVEL)
    assert token_bytes.of(BYTE_LEVEL.token_to_id("<|im_end|>")) == b"<|im_end|>"
    assert token_bytes.of(100_000) == b""


@pytest.mark.parametrize(
    ("piece", "found"), [("▁the", b" the"), ("fox", b"fox"), ("<0x0A>", b"\n"), ("<0xE4>", b"\xe4")]
)
def test_sentence_piece_spells_spaces_and_bytes_in_its_own_way(piece: str, found: bytes) -> None:
    tokenizer = sentence_piece()
    assert TokenBytes(tokenizer).of(tokenizer.token_to_id(piece)) == found


def test_offsets_count_characters_and_half_a_character_begins_where_the_whole_one_does() -> None:
    ids = BYTE_LEVEL.encode("é你fox", add_special_tokens=False).ids
    scorer = Scorer(TokenBytes(BYTE_LEVEL), echo="once upon ")
    scores = [scorer.push(token, Logprobs(-1.0, ())) for token in ids]
    text = "é你fox"
    for score in scores:
        ahead = b"".join(other.token for other in scores[: scores.index(score)])
        assert score.offset == 10 + len(ahead.decode(errors="ignore"))
    assert scores[0].offset == 10
    assert b"".join(score.token for score in scores) == text.encode()


def test_a_probability_of_nothing_has_a_number_that_json_knows() -> None:
    scorer = Scorer(TokenBytes(BYTE_LEVEL))
    score = scorer.push(5, Logprobs(float("-inf"), ((6, float("-inf")),)))
    assert (score.logprob, score.top[0][1]) == (LEAST_LOGPROB, LEAST_LOGPROB)
