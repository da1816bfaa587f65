"""Every refusal says what is wrong in OpenAI's form, and disturbs nobody."""

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest

from tests.moe_gateway.conftest import Gateway, until
from tests.moe_gateway.fakes import FakeHead

COMPLETION: dict[str, Any] = {"model": "demo-model", "prompt": "the"}
CHAT: dict[str, Any] = {"model": "demo-model", "messages": [{"role": "user", "content": "hi"}]}


async def post(gateway: Gateway, path: str, **request: Any) -> httpx.Response:
    return await gateway.http.post(path, **request)


async def test_an_unknown_model_is_named_with_the_one_that_is_served(gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await gateway.client.completions.create(model="gpt-4", prompt="a")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "demo-model" in caught.value.message


@pytest.mark.parametrize("max_tokens", [16, 300])
async def test_a_prompt_over_the_context(gateway: Gateway, max_tokens: int) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.completions.create(model="demo-model", prompt=[1] * 250, max_tokens=max_tokens)
    assert caught.value.code == "context_length_exceeded"
    assert "256" in caught.value.message
    assert "250" in caught.value.message


async def test_a_text_that_no_tokenisation_fits_is_not_tokenised(gateway: Gateway) -> None:
    with pytest.raises(openai.BadRequestError, match="90000 characters"):
        await gateway.client.completions.create(model="demo-model", prompt="a" * 90_000)


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"temperature": "hot"}, "temperature", "'hot'"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": "5"}, "max_tokens", "integer"),
        ({"stop": ""}, "stop", "at least 1 character"),
        ({"stop": ["a"] * 99}, "stop", "at most 16"),
        ({"seed": 2**70}, "seed", "less than"),
        ({"prompt": None}, "prompt", "string"),
        ({"prompt": [-1]}, "prompt", "greater than or equal to 0"),
        ({"prompt": [400]}, "prompt", "from 0 to 399"),
        ({"prompt": ""}, "prompt", "no tokens"),
        ({"prompt": []}, "prompt", "0 prompts"),
        ({"prompt": [[]]}, "prompt", "no tokens"),
        ({"nonsense": 1}, "nonsense", "Unrecognized request argument"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"best_of": 1, "n": 2}, None, "best_of=1 is less than n=2"),
        ({"logprobs": 21}, "logprobs", "less than or equal to 20"),
        ({"logit_bias": {"five": 1}}, "logit_bias", "match pattern"),
        ({"stream_options": {}}, None, "stream=true"),
        ({"best_of": 2, "stream": True}, None, "cannot be streamed"),
        ({"n": 129}, "n", "less than or equal to 128"),
        ({"n": 128, "prompt": ["a", "b"]}, "prompt", "2 prompts with 128 choices each"),
        ({"logit_bias": {"400": 1}}, "logit_bias", "from 0 to 399"),
        ({"logit_bias": {"5": 101}}, "logit_bias", "less than or equal to 100"),
        ({"stop_token_ids": [400]}, "stop_token_ids", "from 0 to 399"),
        ({"presence_penalty": 2.1}, "presence_penalty", "less than or equal to 2"),
        ({"frequency_penalty": -3}, "frequency_penalty", "greater than or equal to -2"),
        ({"repetition_penalty": 0}, "repetition_penalty", "greater than 0"),
        ({"min_p": 1.5}, "min_p", "less than or equal to 1"),
        ({"priority": 2**31}, "priority", "less than"),
        ({"timeout": 0}, "timeout", "greater than 0"),
        ({"suffix": "end"}, None, "suffix='end' is not supported"),
    ],
)
async def test_wrong_parameters(gateway: Gateway, change: dict[str, Any], param: str | None, words: str) -> None:
    answer = await post(gateway, "/v1/completions", json=COMPLETION | change)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert words in error["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, "at least 1 item"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "'wizard'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"tools": [{}]}, "tools="),
        ({"top_logprobs": 2}, "logprobs=true"),
        ({"logprobs": True, "top_logprobs": 21}, "less than or equal to 20"),
        ({"response_format": {"type": "json_object"}}, "response_format="),
    ],
)
async def test_wrong_chats(gateway: Gateway, change: dict[str, Any], words: str) -> None:
    answer = await post(gateway, "/v1/chat/completions", json=CHAT | change)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", ["{", "[1]", "null", '"text"', "", '{"model": "demo-model", "prompt": "\\ud800"}'])
async def test_bodies_that_are_no_request(gateway: Gateway, body: str) -> None:
    answer = await post(gateway, "/v1/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
async def test_numbers_that_are_none(gateway: Gateway, value: str) -> None:
    body = f'{{"model": "demo-model", "prompt": "a", "temperature": {value}}}'
    answer = await post(gateway, "/v1/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "temperature"


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_over_the_limit(gateway: Gateway, is_chunked: bool) -> None:
    content = b'{"prompt": "' + b"a" * 100_000 + b'"}'

    async def chunks() -> Any:
        yield content[:50_000]
        yield content[50_000:]

    headers = {"content-type": "application/json"}
    answer = await post(gateway, "/v1/completions", content=chunks() if is_chunked else content, headers=headers)
    assert answer.status_code == 413
    assert "100000 bytes" in answer.json()["error"]["message"]


async def test_a_body_of_100_megabytes_is_refused_before_it_is_sent(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection(gateway.http.base_url.host, gateway.http.base_url.port)
    head = b"POST /v1/completions HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
    writer.write(head + b"content-length: 100000000\r\n\r\n{")
    assert await reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"
    writer.close()
    await writer.wait_closed()


BAD_BODIES: list[bytes] = [
    b"{",
    b'{"model": "demo-model", "prompt": "' + b"a" * 100_000 + b'"}',
    *(
        json.dumps(COMPLETION | change).encode()
        for change in (
            {"model": "gpt-4"}, {"prompt": ""}, {"prompt": [1] * 256}, {"max_tokens": -1}, {"max_tokens": 10**12},
            {"temperature": -1}, {"temperature": 1e308}, {"prompt": [400]},
        )
    ),
]  # fmt: skip


async def test_no_mistake_reaches_a_head_or_disturbs_a_stream_under_way(gateway: Gateway) -> None:
    head = FakeHead(answer=lambda submit: list(range(20, 30)))
    head.pause_at = 5
    await gateway.add_heads(head)
    body = COMPLETION | {"prompt": [1], "max_tokens": 10, "return_token_ids": True}
    task = asyncio.create_task(post(gateway, "/v1/completions", json=body))
    await until(lambda: gateway.balancer.gauges()["vllm:num_requests_running"] == 1)
    headers = {"content-type": "application/json"}
    answers = [await post(gateway, "/v1/completions", content=bad, headers=headers) for bad in BAD_BODIES]
    assert [answer.status_code for answer in answers] == [400, 413, 404] + [400] * 7
    assert gateway.balancer.num_live == 1
    head.resumed.set()
    assert (await task).json()["choices"][0]["token_ids"] == list(range(20, 30))
    assert (len(head.submits), head.cancels, gateway.balancer.num_live) == (1, [], 0)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2", 404), ("GET", "/v1/completions", 405)])
async def test_unknown_paths_and_methods(gateway: Gateway, method: str, path: str, status: int) -> None:
    answer = await gateway.http.request(method, path)
    assert answer.status_code == status
    assert path in answer.json()["error"]["message"]


async def test_the_client_s_request_id_comes_back(gateway: Gateway) -> None:
    answer = await post(gateway, "/v1/completions", json={}, headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"


async def test_a_request_id_is_made_where_none_or_a_wild_one_comes(gateway: Gateway) -> None:
    for headers in ({}, {"x-request-id": "x" * 999}):
        answer = await post(gateway, "/v1/completions", json={}, headers=headers)
        assert answer.headers["x-request-id"].startswith("req-")
