from collections.abc import Sequence as Sequences

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_wire.messages import Sampling, Submit
from moe_worker.protocol.scheduler import Micro, Scheduler
from moe_worker.protocol.sequence import Sequence

SAMPLING = Sampling()


def sequence(name: int, num_prompt: int, max_tokens: int = 4, sampling: Sampling = SAMPLING) -> Sequence:
    submit = Submit(name.to_bytes(16, "big"), tuple(range(num_prompt)), (), sampling, max_tokens, ())
    return Sequence(submit, connection=1)


def scheduler(*, block_size: int = 2, num_blocks: int = 8, max_step_tokens: int = 8) -> Scheduler:
    return Scheduler(block_size=block_size, num_blocks=num_blocks, max_step_tokens=max_step_tokens)


def shape(micro: Micro | None) -> list[tuple[int, int, int, int, bool]]:
    """(sequence, start, count, new blocks, sampled) of each segment."""
    assert micro is not None
    return [(s.sequence, s.start, s.count, len(s.new_blocks), s.sampling is not None) for s in micro.segments]


def histories(micro: Micro | None) -> list[tuple[int, ...]]:
    assert micro is not None
    return [segment.history for segment in micro.segments]


def test_a_prompt_is_cut_into_chunks_and_only_its_end_is_sampled() -> None:
    plan = scheduler(max_step_tokens=4)
    plan.add(sequence(1, 6))
    assert shape(plan.form()) == [(1, 0, 4, 3, False)]
    assert shape(plan.form()) == [(1, 4, 2, 0, True)]
    assert plan.form() is None, "the next token has to come back first"
    assert plan.accept(1, 99) is not None
    assert shape(plan.form()) == [(1, 6, 1, 1, True)]


def test_decoding_goes_before_prefill_and_both_share_a_step() -> None:
    plan = scheduler(max_step_tokens=4, num_blocks=16)
    plan.add(sequence(1, 2))
    plan.form()
    plan.add(sequence(2, 9))
    assert shape(plan.form()) == [(2, 0, 4, 5, False)]
    plan.accept(1, 99)
    assert shape(plan.form()) == [(1, 2, 1, 1, True), (2, 4, 3, 0, False)]


def test_nothing_is_admitted_that_does_not_fit_and_order_is_kept() -> None:
    plan = scheduler(num_blocks=3)
    plan.add(sequence(1, 4))
    plan.add(sequence(2, 4))
    plan.add(sequence(3, 1))
    assert shape(plan.form()) == [(1, 0, 4, 2, True)]
    assert plan.num_waiting == 2
    assert plan.form() is None


def test_the_youngest_gives_way_and_is_computed_again_under_a_new_number() -> None:
    plan = scheduler(num_blocks=3)
    old, young = sequence(1, 4), sequence(2, 2)
    plan.add(old)
    plan.add(young)
    plan.form()
    plan.accept(1, 99)
    plan.accept(2, 98)
    micro = plan.form()
    assert shape(micro) == [(1, 4, 1, 1, True)]
    assert micro is not None
    assert micro.freed == (2,)
    assert plan.accept(2, 97) is None
    plan.remove(old)
    micro = plan.form()
    assert shape(micro) == [(3, 0, 3, 2, True)]
    assert micro is not None
    assert micro.tokens == [[0, 1, 98]]
    assert micro.freed == (1,)


def test_a_restart_puts_everything_back_in_order_and_forgets_what_was_freed() -> None:
    plan = scheduler(num_blocks=16)
    sequences = [sequence(name, 2) for name in (1, 2, 3)]
    for one in sequences:
        plan.add(one)
    plan.form()
    plan.remove(sequences[0])
    plan.restart()
    assert plan.blocks_used == 0
    micro = plan.form()
    assert shape(micro) == [(4, 0, 2, 1, True), (5, 0, 2, 1, True)]
    assert micro is not None
    assert micro.freed == ()


def test_the_last_stage_is_told_every_token_once_in_each_life_and_only_where_it_must_know() -> None:
    plan = scheduler(max_step_tokens=2, num_blocks=16)
    penalized, plain = sequence(1, 3, sampling=Sampling(presence_penalty=0.5)), sequence(2, 1)
    plan.add(penalized)
    assert histories(plan.form()) == [()]
    assert histories(plan.form()) == [(0, 1, 2)]
    plan.accept(1, 9)
    plan.add(plain)
    assert histories(plan.form()) == [(9,), ()]
    plan.accept(1, 8)
    plan.restart()
    plan.remove(plain)
    assert [histories(plan.form()) for _ in range(3)] == [[()], [()], [(0, 1, 2, 9, 8)]]


def test_removing_a_waiting_sequence_leaves_no_trace() -> None:
    plan = scheduler()
    one = sequence(1, 2)
    plan.add(one)
    plan.remove(one)
    assert plan.form() is None
    assert plan.blocks_used == plan.num_waiting == 0


class Follower:
    """A rank's view of the blocks: what the steps tell, with every rule checked."""

    def __init__(self, block_size: int, num_blocks: int) -> None:
        self.block_size = block_size
        self.num_blocks = num_blocks
        self.tables: dict[int, list[int]] = {}
        self.written: dict[int, int] = {}

    def follow(self, micro: Micro, max_step_tokens: int) -> None:
        for number in micro.freed:
            del self.tables[number]
        for segment, tokens in zip(micro.segments, micro.tokens, strict=True):
            table = self.tables.setdefault(segment.sequence, [])
            table.extend(segment.new_blocks)
            assert len(tokens) == segment.count > 0
            assert segment.start == self.written.get(segment.sequence, 0), "every position once, in order"
            self.written[segment.sequence] = segment.start + segment.count
            assert self.written[segment.sequence] <= len(table) * self.block_size, "no token without a place"
        used = [block for table in self.tables.values() for block in table]
        assert len(used) == len(set(used)), "no block twice"
        assert all(0 <= block < self.num_blocks for block in used)
        assert sum(segment.count for segment in micro.segments) <= max_step_tokens
        numbers = [segment.sequence for segment in micro.segments]
        assert len(numbers) == len(set(numbers)), "no sequence twice in a step"

    def restart(self) -> None:
        self.tables.clear()
        self.written.clear()


LENGTHS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 6)), min_size=1, max_size=6)
DISTURBANCES = st.lists(st.sampled_from(("", "", "", "", "cancel", "restart")), max_size=40)


@given(
    lengths=LENGTHS,
    disturbances=DISTURBANCES,
    block_size=st.integers(1, 4),
    spare=st.integers(0, 4),
    max_step_tokens=st.integers(1, 8),
    in_flight=st.integers(1, 3),
)
def test_every_sequence_finishes_and_every_block_is_accounted_for(
    lengths: Sequences[tuple[int, int]],
    disturbances: Sequences[str],
    block_size: int,
    spare: int,
    max_step_tokens: int,
    in_flight: int,
) -> None:
    longest = max(prompt + new for prompt, new in lengths)
    num_blocks = -(-longest // block_size) + spare
    plan = scheduler(block_size=block_size, num_blocks=num_blocks, max_step_tokens=max_step_tokens)
    follower = Follower(block_size, num_blocks)
    alive = [sequence(name, prompt, new) for name, (prompt, new) in enumerate(lengths)]
    for one in alive:
        plan.add(one)
    steps: list[Micro] = []
    disturbance = iter(disturbances)
    for _ in range(10_000):
        if not alive:
            break
        what = next(disturbance, "")
        if what == "cancel":
            plan.remove(alive.pop())
        elif what == "restart":
            plan.restart()
            follower.restart()
            steps.clear()
        micro = plan.form() if len(steps) < in_flight else None
        if micro is not None:
            follower.follow(micro, max_step_tokens)
            steps.append(micro)
        if steps and (micro is None or len(steps) == in_flight):
            _come_round(plan, steps.pop(0), alive)
        assert plan.blocks_used <= num_blocks
    assert not alive, "a sequence starved"
    assert plan.blocks_used == plan.num_running == plan.num_waiting == 0


def _come_round(plan: Scheduler, micro: Micro, alive: list[Sequence]) -> None:
    for segment in micro.segments:
        if segment.sampling is None:
            continue
        one = plan.accept(segment.sequence, 7)
        if one is not None and one.finish:
            plan.remove(one)
            alive.remove(one)


@pytest.mark.parametrize(
    ("generated", "token", "finish"), [(0, 5, "stop"), (0, 7, ""), (3, 7, "length"), (3, 5, "stop")]
)
def test_a_sequence_ends_at_a_stop_token_or_at_its_length(generated: int, token: int, finish: str) -> None:
    one = Sequence(Submit(b"r" * 16, (1, 2), (9,) * generated, SAMPLING, 4, (5,)), connection=1)
    one.tokens.append(token)
    assert one.finish == finish
