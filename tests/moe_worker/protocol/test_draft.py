from moe_wire.messages import Sampling, Scoring, Segment, Submit
from moe_worker.protocol.draft import Draft
from moe_worker.protocol.pool import BlockPool
from moe_worker.protocol.sequence import Sequence

SIZE = 4


def running(number: int, num_prompt: int, pool: BlockPool, sampling: Sampling | None = None) -> Sequence:
    prompt = tuple(range(100 * number, 100 * number + num_prompt))
    sequence = Sequence(Submit(number.to_bytes(16, "big"), prompt, (), sampling or Sampling(), 9, ()), connection=1)
    sequence.number = number
    sequence.blocks = [pool.take() for _ in range(-(-num_prompt // SIZE))]
    return sequence


def shares(lengths: list[int], max_tokens: int) -> dict[int, int]:
    """How many tokens of each prompt go into the step; prompts are numbered from 1, in order."""
    pool = BlockPool(100)
    draft = Draft(max_tokens, SIZE, pool)
    draft.prefill([running(index + 1, length, pool) for index, length in enumerate(lengths)])
    assert sum(segment.count for segment in draft.segments) + draft.room == max_tokens
    return {segment.sequence: segment.count for segment in draft.segments}


def test_the_first_has_half_of_the_room_and_the_shortest_the_rest() -> None:
    assert shares([50, 50, 3], 8) == {1: 4, 3: 3, 2: 1}
    assert shares([50, 50, 50], 8) == {1: 4, 2: 4}
    assert shares([50, 2, 3, 1], 9) == {1: 5, 4: 1, 2: 2, 3: 1}


def test_nothing_is_left_over_while_somebody_could_use_it() -> None:
    assert shares([50], 8) == {1: 8}
    assert shares([50, 1], 8) == {1: 7, 2: 1}
    assert shares([1, 50], 8) == {1: 1, 2: 7}
    assert shares([2, 3], 8) == {1: 2, 2: 3}
    assert shares([50, 50], 1) == {1: 1}
    assert shares([], 8) == {}


def test_of_equally_long_ones_the_first_in_order_goes_first() -> None:
    assert shares([50, 9, 9], 4) == {1: 2, 2: 2}


def test_a_segment_says_what_is_new_and_asks_for_a_sample_at_the_end() -> None:
    pool = BlockPool(8)
    one, how = running(1, 6, pool, Sampling(presence_penalty=1.0)), Sampling(presence_penalty=1.0)
    blocks = tuple(one.blocks)
    first, second = Draft(4, SIZE, pool), Draft(4, SIZE, pool)
    first.take(one)
    second.take(one)
    assert first.segments == [Segment(1, 0, 4, blocks, None)]
    assert second.segments == [Segment(1, 4, 2, (), how, (100, 101, 102, 103, 104, 105))]
    assert (first.tokens, second.tokens) == ([[100, 101, 102, 103]], [[104, 105]])


def test_each_chunk_asks_for_the_prompt_s_logprobs_that_it_can_tell() -> None:
    pool = BlockPool(8)
    prompt = tuple(range(100, 106))
    one = Sequence(Submit(bytes(16), prompt, (7,), Sampling(), 9, (), prompt_logprobs=2), connection=1)
    one.number, one.blocks = 1, [pool.take(), pool.take()]
    drafts = [Draft(room, SIZE, pool) for room in (4, 1, 2)]
    for draft in drafts:
        draft.take(one)
    told = [draft.segments[0].scoring for draft in drafts]
    assert told == [Scoring(2, (101, 102, 103, 104)), Scoring(2, (105,)), None]
    assert [one.count_scored(count) for count in (4, 1)] == [1, 5]
    assert not one.is_scored


def test_a_block_is_known_from_the_step_on_that_fills_it() -> None:
    pool = BlockPool(8)
    one = running(1, 9, pool)
    names = one.block_names(SIZE)
    known = []
    for _ in range(3):
        Draft(3, SIZE, pool).take(one)
        known.append(len(pool.find(names)))
    assert known == [0, 1, 2]
