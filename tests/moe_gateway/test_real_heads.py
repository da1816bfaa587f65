"""The gateway in front of real ranks over TCP: what a client reads is the same, bit for bit, when ranks are killed
under its stream, with every parameter of sampling that looks at what was said before.
"""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from moe_gateway.heads import Credentials
from moe_gateway.keys import ApiKeys
from moe_gateway.router import HeadKey
from moe_gateway.tokenizer import TextModel
from moe_gateway.topology import HeadTarget
from moe_wire.handshake import read_secret
from moe_worker.local import POD, LocalCluster
from moe_worker.make_checkpoint import main as make_checkpoint
from tests.moe_gateway.conftest import Gateway, open_gateway, until

NUM_TOKENS = 60
SAMPLING: dict[str, Any] = {
    "temperature": 1.2, "top_k": 80, "top_p": 0.95, "min_p": 0.001, "seed": 11, "presence_penalty": 0.5,
    "frequency_penalty": 0.3, "repetition_penalty": 1.2, "logit_bias": {"7": 3, "9": -100}, "n": 3, "logprobs": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two stages of two ranks, supervised by a thread of its own."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_checkpoint([str(folder), "--layers", "2", "--experts", "4", "--initializer-range", "0.2"])
    stop = threading.Event()
    with LocalCluster(folder, stages=2, ranks=2) as cluster:

        def supervise() -> None:
            while not stop.is_set():
                cluster.pump()

        thread = threading.Thread(target=supervise)
        thread.start()
        yield cluster
        stop.set()
        thread.join()


@pytest.fixture
async def gateway(cluster: LocalCluster, text_model: TextModel) -> AsyncIterator[Gateway]:
    secret = read_secret(cluster.secret_file.read_bytes())
    credentials = Credentials(secret=secret, deployment=POD, pod_uid="gateway-uid")
    targets = [
        HeadTarget(
            key=HeadKey(replica=0, rank=seat.rank, pod_uid=POD),
            num_lanes=1,
            num_open_lanes=1,
            epoch=1,
            address=("127.0.0.1", int((seat.address or "").rpartition(":")[2])),
        )
        for seat in cluster.layout()[0].seats.values()
    ]
    async with open_gateway(text_model, api_keys=ApiKeys(None), credentials=credentials) as gateway:
        gateway.pool.apply({target.key: target for target in targets})
        ticking = asyncio.create_task(tick(gateway))
        await until(lambda: gateway.balancer.num_heads == 2)
        yield gateway
        ticking.cancel()


async def tick(gateway: Gateway) -> None:
    """A clock that runs a hundred times slower than the wall's, so that nothing is given up on a busy machine."""
    while True:
        await asyncio.sleep(0.01)
        gateway.pass_time(0.0001)
        gateway.clock.seconds += 0.01 if gateway.balancer.num_waiting else 0


Told = list[tuple[int, str, float, dict[str, float]]]


async def ask(gateway: Gateway, victims: list[int], cluster: LocalCluster) -> list[Told]:
    """What each choice was told, token by token; a victim's process is killed after 10, 30, ... tokens of the first."""
    body = {"model": "demo-model", "prompt": [5, 17, 300, 42], "max_tokens": NUM_TOKENS, "stream": True,
            "ignore_eos": True, "return_token_ids": True, **SAMPLING}  # fmt: skip
    extra = {
        name: body.pop(name) for name in ("top_k", "min_p", "repetition_penalty", "ignore_eos", "return_token_ids")
    }
    told: list[Told] = [[], [], []]
    kill_at = 10
    async for chunk in await gateway.client.completions.create(**body, extra_body=extra):
        [choice] = chunk.choices
        logprobs = choice.logprobs
        told[choice.index] += zip(
            choice.model_extra["token_ids"],
            logprobs.tokens,
            logprobs.token_logprobs,
            logprobs.top_logprobs,
            strict=True,
        )
        if victims and len(told[0]) >= kill_at:
            kill_at += 20
            os.kill(cluster.pid(victims.pop()), signal.SIGKILL)
    return told


@pytest.mark.slow
async def test_tokens_and_logprobs_are_the_same_whatever_fails(gateway: Gateway, cluster: LocalCluster) -> None:
    undisturbed = await ask(gateway, [], cluster)
    assert [len(one) for one in undisturbed] == [NUM_TOKENS] * 3
    assert len({tuple(token for token, *_ in one) for one in undisturbed}) == 3
    assert not any(token == 9 for one in undisturbed for token, *_ in one)
    for victims in ([0, 1], [2], [3, 0]):
        assert await ask(gateway, victims, cluster) == undisturbed
    assert gateway.balancer.counts.resubmitted > 0
    assert gateway.balancer.counts.mismatches == 0


async def test_the_prompt_s_logprobs_are_the_same_whatever_fails(gateway: Gateway, cluster: LocalCluster) -> None:
    body = {"model": "demo-model", "prompt": [7 * place % 300 for place in range(90)], "max_tokens": 3, "echo": True,
            "logprobs": 3, "temperature": 0}  # fmt: skip
    undisturbed = (await gateway.client.completions.create(**body)).choices[0].logprobs
    assert undisturbed.token_logprobs[0] is None
    assert len(undisturbed.tokens) == 93
    for victim in (0, 3):
        task = asyncio.create_task(gateway.client.completions.create(**body, n=2))
        await until(lambda: gateway.balancer.num_live > 0)
        os.kill(cluster.pid(victim), signal.SIGKILL)
        assert [choice.logprobs for choice in (await task).choices] == [undisturbed] * 2


async def test_heads_tell_how_full_their_caches_are_and_empty_them(gateway: Gateway, cluster: LocalCluster) -> None:
    def kv_use() -> float:
        return gateway.balancer.gauges()["vllm:kv_cache_usage_perc"]

    task = asyncio.create_task(ask(gateway, [], cluster))
    await until(lambda: kv_use() > 0)
    await task
    await until(lambda: kv_use() == 0)
