"""One request id from the client through the logs and back, on every answer there is."""

import asyncio
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from moe_gateway.envelope import RequestEnvelope
from moe_gateway.keys import ApiKeys
from moe_gateway.metrics import Metrics
from tests.moe_gateway.conftest import Gateway, until
from tests.moe_gateway.fakes import FakeHead

MINE = {"x-request-id": "mine-1"}
COMPLETION = {"model": "demo-model", "prompt": [4, 5], "max_tokens": 3}


def around(app: ASGIApp) -> httpx.AsyncClient:
    envelope = RequestEnvelope(app, max_body_bytes=10, keys=ApiKeys(None), metrics=Metrics("m"))
    return httpx.AsyncClient(base_url="http://gateway", transport=httpx.ASGITransport(envelope), headers=MINE)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("moe_gateway")]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/completions", COMPLETION, 200),
        ("POST", "/v1/completions", {**COMPLETION, "stream": True}, 200),
        ("POST", "/v1/completions", {**COMPLETION, "model": "other"}, 404),
        ("POST", "/v1/completions", {**COMPLETION, "prompt": "a" * 100_000}, 413),
        ("POST", "/v1/completions", None, 400),
        ("GET", "/nowhere", None, 404),
    ],
)
async def test_every_answer_has_the_client_s_id(
    gateway: Gateway, method: str, path: str, body: object, status: int
) -> None:
    await gateway.add_heads(FakeHead())
    answer = await gateway.http.request(method, path, json=body, headers=MINE)
    assert (answer.status_code, answer.headers["x-request-id"]) == (status, "mine-1")


async def test_a_made_id_is_in_the_answer_and_the_log(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await gateway.add_heads(FakeHead())
    answer = await gateway.http.post("/v1/completions", json=COMPLETION)
    name = answer.headers["x-request-id"]
    assert name.startswith("req-")
    assert any(line.startswith(f"{name} POST /v1/completions: 200 after") for line in lines(caplog))


async def test_one_id_tells_a_request_s_way_from_head_to_head(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = FakeHead(0), FakeHead(1)
    first.return_at = 1
    await gateway.add_heads(first, second)
    await gateway.http.post("/v1/completions", json=COMPLETION, headers=MINE)
    await until(lambda: "POST" in lines(caplog)[-1])
    told = [line for line in lines(caplog) if line.startswith("mine-1 ")]
    [one], [other] = [[submit.request.hex() for submit in head.submits] for head in gateway.heads]
    assert one[:24] == other[:24]
    assert {submit.name for head in gateway.heads for submit in head.submits} == {"mine-1"}, "ranks log it too"
    assert told[:3] == [
        f"mine-1 goes to {first.key} as {one} with 0 tokens of its answer",
        f"mine-1 returned by {first.key} as {one}: the lane moved",
        f"mine-1 goes to {second.key} as {other} with 1 tokens of its answer",
    ]
    assert told[3].startswith("mine-1 POST /v1/completions: 200 after")


async def test_requests_of_one_id_at_a_time_are_not_confused(gateway: Gateway) -> None:
    head = FakeHead()
    await gateway.add_heads(head)
    body = {**COMPLETION, "n": 2}
    answers = await asyncio.gather(*(gateway.http.post("/v1/completions", json=body, headers=MINE) for _ in range(2)))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len({one.request[:12] for one in head.submits}) == 4


async def test_our_own_bug_is_a_500_with_the_id_under_which_the_log_has_its_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError("a bug")

    async with around(app) as client:
        answer = await client.post("/v1/completions")
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine-1")
    assert "request id mine-1" in answer.json()["error"]["message"]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "mine-1 failed"
    assert record.exc_info is not None


async def test_a_bug_in_the_middle_of_an_answer_cuts_it_off_and_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"so far"
        raise ZeroDivisionError("a bug")

    async with around(StreamingResponse(broken())) as client:
        with pytest.raises(ZeroDivisionError):
            await client.post("/v1/completions")
    assert "mine-1 failed" in [record.getMessage() for record in caplog.records]


async def test_probes_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with around(PlainTextResponse("ok")) as client:
        await client.get("/healthz")
        await client.get("/v1/models")
    assert [line.split(":")[0] for line in lines(caplog)] == ["mine-1 GET /v1/models"]
