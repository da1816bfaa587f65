import pytest

from moe_wire.messages import Sampling, Submit
from moe_worker.protocol.limits import longest_sequence, refusal
from moe_worker.protocol.settings import Settings


def settings(*, max_sequence_length: int = 100, blocks_per_lane: int = 8, max_waiting: int = 4) -> Settings:
    return Settings(
        stage=0,
        stages=1,
        first_layer=0,
        num_layers=1,
        block_size=4,
        blocks_per_lane=blocks_per_lane,
        max_sequence_length=max_sequence_length,
        max_waiting=max_waiting,
    )


def submit(num_prompt: int, num_generated: int, max_tokens: int) -> Submit:
    return Submit(b"r" * 16, (1,) * num_prompt, (2,) * num_generated, Sampling(), max_tokens, ())


def test_the_longest_sequence_is_bounded_by_the_model_and_by_a_lanes_blocks() -> None:
    assert longest_sequence(settings(max_sequence_length=20)) == 20
    assert longest_sequence(settings()) == 32


@pytest.mark.parametrize(
    ("num_prompt", "num_generated", "max_tokens", "code"),
    [
        (31, 0, 1, None),
        (31, 0, 2, "context_length_exceeded"),
        (0, 0, 1, "empty_prompt"),
        (1, 0, 0, "invalid_max_tokens"),
        (1, 3, 3, "invalid_max_tokens"),
        (1, 3, 4, None),
    ],
)
def test_only_what_fits_is_taken(num_prompt: int, num_generated: int, max_tokens: int, code: str | None) -> None:
    refused = refusal(submit(num_prompt, num_generated, max_tokens), settings(), 0)
    assert (None if refused is None else refused.code) == code


def test_a_refusal_carries_value_rule_and_remedy() -> None:
    refused = refusal(submit(30, 0, 10), settings(), 0)
    assert refused is not None
    assert refused.message == (
        "The prompt has 30 tokens and max_tokens is 10: 40 together, but at most 32 fit. "
        "Shorten the prompt or ask for fewer tokens."
    )


def test_who_comes_when_enough_wait_is_told_to_come_later_but_no_stream_that_has_begun() -> None:
    assert refusal(submit(1, 0, 2), settings(max_waiting=4), 3) is None
    refused = refusal(submit(1, 0, 2), settings(max_waiting=4), 4)
    assert refused is not None
    assert refused.code == "overloaded"
    assert refused.message == "4 requests wait for this lane and at most 4 may. Try again later."
    assert refusal(submit(1, 1, 2), settings(max_waiting=4), 4) is None
