from moe_gateway.stream import Generation, Verdict
from moe_wire.messages import Sampling


def make(max_tokens: int = 10) -> tuple[Generation, list[int]]:
    woken: list[int] = []
    generation = Generation(
        name="r", prompt=(1,), sampling=Sampling(), max_tokens=max_tokens, stop_tokens=(), wake=lambda: woken.append(1)
    )
    return generation, woken


def test_tokens_are_taken_in_order_and_each_wakes_the_reader() -> None:
    generation, woken = make()
    assert [generation.take(position, 5 + position, "") for position in range(3)] == [Verdict.NEW] * 3
    assert generation.tokens == [5, 6, 7]
    assert len(woken) == 3


def test_a_repeated_position_changes_nothing() -> None:
    generation, woken = make()
    generation.take(0, 5, "")
    assert generation.take(0, 5, "") is Verdict.REPEATED
    assert generation.tokens == [5]
    assert len(woken) == 1


def test_what_was_emitted_first_stands() -> None:
    generation, _ = make()
    generation.take(0, 5, "")
    assert generation.take(0, 6, "") is Verdict.MISMATCH
    assert generation.tokens == [5]


def test_a_gap_is_not_taken() -> None:
    generation, _ = make()
    assert generation.take(1, 6, "") is Verdict.GAP
    assert generation.tokens == []


def test_nothing_follows_the_end() -> None:
    generation, _ = make()
    generation.take(0, 5, "stop")
    assert generation.take(1, 6, "") is Verdict.MISMATCH
    assert generation.tokens == [5]


def test_an_end_that_only_the_repetition_tells_is_believed() -> None:
    generation, woken = make()
    generation.take(0, 5, "")
    assert generation.take(0, 5, "stop") is Verdict.REPEATED
    assert generation.finish == "stop"
    assert len(woken) == 2


def test_max_tokens_end_a_generation_whatever_the_head_says() -> None:
    generation, _ = make(max_tokens=2)
    generation.take(0, 5, "")
    generation.take(1, 6, "")
    assert generation.finish == "length"
    assert generation.is_over
