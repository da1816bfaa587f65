"""Whatever heads do, a stream is exactly what an undisturbed head would have said."""

import asyncio

import pytest

from tests.moe_gateway.conftest import Gateway, until
from tests.moe_gateway.fakes import FakeHead, counting

PROMPT = [3, 4]
NUM_TOKENS = 24


async def stream_tokens(gateway: Gateway, **options: object) -> list[int]:
    tokens: list[int] = []
    stream = await gateway.client.completions.create(
        model="demo-model",
        prompt=PROMPT,
        max_tokens=NUM_TOKENS,
        stream=True,
        extra_body={"return_token_ids": True, **options},
    )
    async for chunk in stream:
        tokens += chunk.choices[0].model_extra["token_ids"]
    return tokens


def undisturbed(head: FakeHead) -> list[int]:
    return list(counting(head.submits[0]))


async def test_a_head_that_dies_in_the_middle_is_continued_by_another(gateway: Gateway) -> None:
    first, second, spare = FakeHead(0), FakeHead(1), FakeHead(2)
    first.pause_at = first.die_at = 10
    second.die_at = 15
    await gateway.add_heads(first)
    task = asyncio.create_task(stream_tokens(gateway))
    await until(lambda: bool(first.submits))
    await gateway.add_heads(second)
    first.resumed.set()
    await until(lambda: second.die_at is None)
    await gateway.add_heads(spare)
    tokens = await task
    assert tokens == undisturbed(first)
    assert len(tokens) == NUM_TOKENS
    assert list(second.submits[0].generated) == tokens[:10]
    assert list(spare.submits[0].generated) == tokens[:15]
    assert gateway.balancer.counts.mismatches == 0


async def test_a_head_that_comes_back_continues_its_own(gateway: Gateway) -> None:
    head = FakeHead()
    head.pause_at = 5
    await gateway.add_heads(head)
    task = asyncio.create_task(stream_tokens(gateway))
    await until(lambda: bool(head.submits))
    head.drop_connections()
    await until(lambda: len(head.submits) == 2)
    head.resumed.set()
    assert await task == undisturbed(head)


async def test_a_returned_request_goes_on_elsewhere(gateway: Gateway) -> None:
    heads = [FakeHead(rank) for rank in range(3)]
    for head in heads:
        head.return_at = 7
    await gateway.add_heads(*heads)
    task = asyncio.create_task(stream_tokens(gateway))
    await until(lambda: gateway.pass_time(0.01) or task.done())
    tokens = await task
    first = next(head for head in heads if head.submits and not head.submits[0].generated)
    assert tokens == undisturbed(first)


async def test_repeated_tokens_are_one_token(gateway: Gateway) -> None:
    head = FakeHead()
    head.duplicates = True
    await gateway.add_heads(head)
    assert await stream_tokens(gateway) == undisturbed(head)


async def test_a_gap_is_not_believed(gateway: Gateway) -> None:
    head = FakeHead()
    head.skip_at = 6
    await gateway.add_heads(head)
    assert await stream_tokens(gateway) == undisturbed(head)
    assert gateway.balancer.counts.gaps == 1


@pytest.mark.parametrize("seed", [None, 7])
async def test_every_attempt_samples_with_the_same_seed(gateway: Gateway, seed: int | None) -> None:
    head = FakeHead()
    head.skip_at = 3
    await gateway.add_heads(head)
    await stream_tokens(gateway, seed=seed, temperature=0.7)
    samplings = [submit.sampling for submit in head.submits]
    assert len(samplings) == 2
    assert samplings[0] == samplings[1]
    assert seed is None or samplings[0].seed == seed
    assert samplings[0].temperature == 0.7
