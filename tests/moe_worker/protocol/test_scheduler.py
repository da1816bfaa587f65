from collections.abc import Sequence as Sequences

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_wire.messages import Sampling, Submit
from moe_worker.protocol.draft import Micro
from moe_worker.protocol.scheduler import Scheduler
from moe_worker.protocol.sequence import Sequence
from tests.moe_worker.protocol.follower import Drive, Follower

SAMPLING = Sampling()


def sequence(
    name: int, num_prompt: int, max_tokens: int = 4, sampling: Sampling = SAMPLING, *, text: int = 0, priority: int = 0
) -> Sequence:
    """`text`: prompts of the same text begin with the same tokens; unless told, each has its own."""
    first = 100 * (text or name)
    prompt = tuple(range(first, first + num_prompt))
    submit = Submit(name.to_bytes(16, "big"), prompt, (), sampling, max_tokens, (), priority)
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
    assert micro.tokens == [[200, 201, 98]]
    assert micro.freed == (1,)


def test_a_restart_puts_everything_back_in_order_and_forgets_what_was_freed() -> None:
    plan = scheduler(num_blocks=16)
    sequences = [sequence(name, 2) for name in (1, 2, 3)]
    for one in sequences:
        plan.add(one)
    plan.form()
    plan.remove(sequences[0])
    plan.restart()
    assert plan.pool.num_used == 0
    micro = plan.form()
    assert shape(micro) == [(5, 0, 2, 1, True), (4, 0, 2, 1, True)]
    assert micro is not None
    assert micro.freed == ()


def test_the_last_stage_is_told_every_token_once_in_each_life_and_only_where_it_must_know() -> None:
    plan = scheduler(max_step_tokens=2, num_blocks=16)
    penalized, plain = sequence(1, 3, sampling=Sampling(presence_penalty=0.5)), sequence(2, 1)
    plan.add(penalized)
    assert histories(plan.form()) == [()]
    assert histories(plan.form()) == [(100, 101, 102)]
    plan.accept(1, 9)
    plan.add(plain)
    assert histories(plan.form()) == [(9,), ()]
    plan.accept(1, 8)
    plan.restart()
    plan.remove(plain)
    assert [histories(plan.form()) for _ in range(3)] == [[()], [()], [(100, 101, 102, 9, 8)]]


def test_removing_a_waiting_sequence_leaves_no_trace() -> None:
    plan = scheduler()
    one = sequence(1, 2)
    plan.add(one)
    plan.remove(one)
    assert plan.form() is None
    assert plan.pool.num_used == plan.num_waiting == 0


def test_a_prefix_that_was_computed_is_shared_but_for_the_block_of_the_last_token() -> None:
    plan = scheduler(num_blocks=16)
    first, second, third = sequence(1, 4, text=1), sequence(2, 7, text=1), sequence(3, 4, text=1)
    plan.add(first)
    micro = plan.form()
    assert micro is not None
    plan.add(second)
    plan.add(third)
    blocks = micro.segments[0].new_blocks
    micro = plan.form()
    assert shape(micro) == [(3, 2, 2, 2, True), (2, 4, 3, 4, True)]
    assert micro is not None
    assert micro.segments[0].new_blocks[:1] == blocks[:1]
    assert micro.segments[1].new_blocks[:2] == blocks
    assert plan.pool.num_used == 2 + 2 + 1
    assert (plan.tokens_admitted, plan.tokens_found) == (4 + 7 + 4, 4 + 2)


def test_who_wants_its_prompt_s_logprobs_computes_it_and_leaves_it_to_others() -> None:
    one = scheduler()
    first, second = (Sequence(Submit(bytes([n]) * 16, (1, 2, 3, 4, 5), (), Sampling(), 9, (), 0, wanted), 1)
                     for n, wanted in ((1, 0), (2, 0)))  # fmt: skip
    third = Sequence(Submit(b"3" * 16, (1, 2, 3, 4, 5), (), Sampling(), 9, ()), 1)
    for each in (first, second, third):
        one.add(each)
        one.form()
        one.remove(each)
    assert one.tokens_admitted == 15
    assert one.tokens_found == 4


def test_a_prefix_outlives_its_sequence_and_ends_with_the_life() -> None:
    plan = scheduler(num_blocks=16)
    for name, start in ((1, 0), (2, 4)):
        one = sequence(name, 6, text=1)
        plan.add(one)
        assert shape(plan.form()) == [(name, start, 6 - start, 3, True)]
        plan.remove(one)
        assert (plan.pool.num_used, plan.pool.num_cached) == (0, 3)
    plan.restart()
    assert plan.pool.num_cached == 0
    plan.add(sequence(3, 6, text=1))
    assert shape(plan.form()) == [(3, 0, 6, 3, True)]


def test_who_shares_the_prefix_of_one_before_it_waits_for_that_and_no_longer() -> None:
    plan = scheduler(num_blocks=16, max_step_tokens=4)
    plan.add(sequence(1, 7, text=1))
    plan.add(sequence(2, 7, text=1))
    plan.add(sequence(3, 1))
    assert shape(plan.form()) == [(2, 0, 1, 1, True), (1, 0, 3, 4, False)], "the third passes the second"
    assert shape(plan.form()) == [(1, 3, 4, 0, True)]
    assert shape(plan.form()) == [(3, 6, 1, 4, True)]


def test_who_waits_for_a_prefix_does_not_wait_for_one_that_is_gone() -> None:
    plan = scheduler(num_blocks=16, max_step_tokens=4)
    gone = sequence(1, 7, text=1)
    plan.add(gone)
    plan.add(sequence(2, 7, text=1))
    plan.form()
    plan.remove(gone)
    micro = plan.form()
    assert shape(micro) == [(2, 4, 3, 4, True)]
    assert micro is not None
    assert micro.freed == (1,)


def test_what_is_put_back_finds_again_what_it_had_computed() -> None:
    plan = scheduler(num_blocks=5)
    old, young = sequence(1, 4), sequence(2, 5)
    plan.add(old)
    plan.add(young)
    plan.form()
    plan.accept(1, 99)
    micro = plan.form()
    assert shape(micro) == [(1, 4, 1, 1, True)]
    assert micro is not None
    assert micro.freed == (2,)
    plan.remove(old)
    assert shape(plan.form()) == [(3, 4, 1, 3, True)]


def test_cached_blocks_are_given_up_before_anybody_is_put_back() -> None:
    plan = scheduler(num_blocks=4)
    gone, one, other = sequence(1, 4), sequence(2, 2), sequence(3, 2)
    plan.add(gone)
    plan.form()
    plan.remove(gone)
    plan.add(one)
    plan.add(other)
    plan.form()
    plan.accept(2, 99)
    plan.accept(3, 98)
    assert shape(plan.form()) == [(2, 2, 1, 1, True), (3, 2, 1, 1, True)]
    assert (plan.pool.num_used, plan.pool.num_cached) == (4, 0)


def test_higher_priorities_go_first_and_equal_ones_in_order_of_arrival() -> None:
    plan = scheduler(num_blocks=1)
    waiting = [sequence(name, 1, 1, priority=priority) for name, priority in ((1, 0), (2, -1), (3, 5), (4, 0))]
    for one in waiting:
        plan.add(one)
    admitted = []
    for _ in waiting:
        plan.form()
        (running,) = [one for one in waiting if one.number]
        admitted.append(running.request[-1])
        plan.remove(running)
    assert admitted == [3, 1, 4, 2]


def test_a_higher_priority_displaces_the_last_in_order_of_those_below_it() -> None:
    plan = scheduler(num_blocks=4)
    running = [sequence(1, 2, priority=1), sequence(2, 2), sequence(3, 2), sequence(4, 2, priority=2)]
    for one in running:
        plan.add(one)
    plan.form()
    plan.add(sequence(5, 4, priority=2))
    micro = plan.form()
    assert shape(micro) == [(5, 0, 4, 2, True)]
    assert micro is not None
    assert micro.freed == (4, 3), "those that arrived as 2 and 3, the last first"
    assert plan.num_waiting == 2


def test_nobody_is_displaced_in_vain() -> None:
    plan = scheduler(num_blocks=4)
    for one in (sequence(1, 2), sequence(2, 6, priority=1)):
        plan.add(one)
    plan.form()
    plan.add(sequence(3, 4, priority=1))
    assert plan.form() is None
    assert plan.num_running == 2


def test_few_that_decode_wait_for_each_other_while_steps_are_under_way_and_then_stay_together() -> None:
    plan = scheduler(num_blocks=16)
    plan.add(sequence(1, 2))
    plan.form()
    plan.add(sequence(2, 2))
    assert shape(plan.form(more_to_come=True)) == [(2, 0, 2, 1, True)], "who is new waits for nobody"
    plan.accept(1, 99)
    assert plan.form(more_to_come=True) is None
    plan.accept(2, 98)
    assert shape(plan.form(more_to_come=True)) == [(1, 2, 1, 1, True), (2, 2, 1, 1, True)]


def test_nobody_waits_for_company_when_nothing_is_under_way_or_a_prompt_is_computed_anyway() -> None:
    plan = scheduler(num_blocks=16, max_step_tokens=4)
    plan.add(sequence(1, 2))
    plan.form()
    plan.add(sequence(2, 9))
    plan.form(more_to_come=True)
    plan.accept(1, 99)
    assert shape(plan.form(more_to_come=True)) == [(1, 2, 1, 1, True), (2, 4, 3, 0, False)]
    plan.accept(1, 98)
    assert shape(plan.form(more_to_come=True)) == [(1, 3, 1, 0, True), (2, 7, 2, 0, True)]
    plan.accept(1, 97)
    assert plan.form(more_to_come=True) is None
    assert shape(plan.form()) == [(1, 4, 1, 1, True)]


def test_enough_rows_wait_for_nobody() -> None:
    plan = scheduler(num_blocks=16)
    for name in range(1, 6):
        plan.add(sequence(name, 1))
    plan.form()
    for number in range(1, 5):
        assert plan.form(more_to_come=True) is None
        plan.accept(number, 99)
    assert len(shape(plan.form(more_to_come=True))) == 4


def test_a_short_prompt_does_not_wait_for_the_long_ones_before_it() -> None:
    plan = scheduler(num_blocks=100, max_step_tokens=8)
    for name in (1, 2, 3):
        plan.add(sequence(name, 40))
    plan.form()
    plan.add(sequence(4, 3))
    assert shape(plan.form()) == [(4, 0, 3, 2, True), (2, 4, 1, 0, False), (1, 4, 4, 0, False)]


def test_a_long_prompt_goes_on_whatever_number_of_short_ones_comes() -> None:
    plan = scheduler(num_blocks=100, max_step_tokens=8)
    plan.add(sequence(1, 32))
    plan.form()
    for name in range(2, 8):
        short = sequence(name, 8)
        plan.add(short)
        (segment,) = [one for one in (plan.form() or empty()).segments if one.sequence == 1]
        assert segment.count == 4
        plan.remove(short)
    assert segment.sampling is not None


def empty() -> Micro:
    return Micro((), [], ())


TEXTS = st.integers(1, 2)
REQUESTS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 6), TEXTS, st.integers(-1, 1)), min_size=1, max_size=6)
DISTURBANCES = st.lists(st.sampled_from(("", "", "", "", "cancel", "restart")), max_size=40)
SIZES = st.fixed_dictionaries(
    {"block_size": st.integers(1, 4), "spare": st.integers(0, 4), "max_step_tokens": st.integers(1, 8)}
)


def drive(sizes: dict[str, int], longest: int, in_flight: int) -> Drive:
    """A lane just large enough for its longest sequence, and some blocks more."""
    block_size, max_step_tokens = sizes["block_size"], sizes["max_step_tokens"]
    num_blocks = -(-longest // block_size) + sizes["spare"]
    plan = scheduler(block_size=block_size, num_blocks=num_blocks, max_step_tokens=max_step_tokens)
    return Drive(plan, Follower(block_size, num_blocks), max_step_tokens, in_flight)


@given(requests=REQUESTS, disturbances=DISTURBANCES, sizes=SIZES, in_flight=st.integers(1, 3))
def test_every_sequence_finishes_on_its_own_tokens_and_every_block_is_accounted_for(
    requests: Sequences[tuple[int, int, int, int]], disturbances: Sequences[str], sizes: dict[str, int], in_flight: int
) -> None:
    lane = drive(sizes, max(prompt + new for prompt, new, *_ in requests), in_flight)
    for name, (prompt, new, text, priority) in enumerate(requests):
        lane.add(sequence(name, prompt, new, text=text, priority=priority))

    def check() -> None:
        assert lane.plan.pool.num_used == len({block for one in lane.alive for block in one.blocks})
        assert 0 <= lane.plan.pool.num_cached <= lane.plan.pool.num_available

    lane.turns(iter(disturbances), check)
    pool = lane.plan.pool
    assert pool.num_used == lane.plan.num_running == lane.plan.num_waiting == 0
    assert pool.num_available == pool.num_blocks


@given(
    lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 6)), min_size=2, max_size=6),
    disturbances=DISTURBANCES,
    sizes=SIZES,
    in_flight=st.integers(1, 3),
)
def test_of_equal_priority_and_nothing_to_share_nobody_runs_while_an_earlier_one_waits(
    lengths: Sequences[tuple[int, int]], disturbances: Sequences[str], sizes: dict[str, int], in_flight: int
) -> None:
    lane = drive(sizes, max(prompt + new for prompt, new in lengths), in_flight)
    for name, (prompt, new) in enumerate(lengths, 1):
        lane.add(sequence(name, prompt, new))

    def check() -> None:
        runs = [one.number > 0 for one in lane.alive]
        assert runs == sorted(runs, reverse=True)

    lane.turns(iter(disturbances), check)


@pytest.mark.parametrize(
    ("generated", "token", "finish"), [(0, 5, "stop"), (0, 7, ""), (3, 7, "length"), (3, 5, "stop")]
)
def test_a_sequence_ends_at_a_stop_token_or_at_its_length(generated: int, token: int, finish: str) -> None:
    one = Sequence(Submit(b"r" * 16, (1, 2), (9,) * generated, SAMPLING, 4, (5,)), connection=1)
    one.tokens.append(token)
    assert one.finish == finish
