"""OpenAI's own client against the running gateway."""

import asyncio
import json
from collections.abc import Sequence

import openai
import pytest

from moe_wire.messages import Submit
from tests.moe_gateway.conftest import Gateway, until
from tests.moe_gateway.fakes import FakeHead


async def add_speaker(gateway: Gateway, text: str, *, ends: bool = True, rank: int = 0) -> FakeHead:
    """A head that says this text to every prompt, and then (or not) the model's end token."""
    tokens = [*gateway.text_model.encode(text, add_special_tokens=False)]
    tokens += [gateway.text_model.end_tokens[0]] if ends else []

    def answer(submit: Submit) -> Sequence[int]:
        return tokens

    head = FakeHead(rank, answer)
    await gateway.add_heads(head)
    return head


async def test_a_completion(gateway: Gateway) -> None:
    head = await add_speaker(gateway, " over the lazy dog")
    answer = await gateway.client.completions.create(model="demo-model", prompt="the quick fox", max_tokens=50)
    [choice] = answer.choices
    assert (choice.text, choice.finish_reason, choice.index) == (" over the lazy dog", "stop", 0)
    assert (answer.object, answer.model) == ("text_completion", "demo-model")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(head.submits[0].prompt)
    assert answer.usage.completion_tokens == len(gateway.text_model.encode(choice.text, add_special_tokens=False)) + 1
    assert head.submits[0].stop_tokens == gateway.text_model.end_tokens
    assert head.cancels == []


async def test_a_completion_has_16_tokens_and_is_sampled_where_nothing_else_is_said(gateway: Gateway) -> None:
    head = FakeHead()
    await gateway.add_heads(head)
    answer = await gateway.client.completions.create(model="demo-model", prompt="the")
    assert answer.choices[0].finish_reason == "length"
    assert head.submits[0].max_tokens == 16
    assert head.submits[0].sampling.temperature == 1.0


async def test_several_prompts_are_several_choices_whole_and_streamed(gateway: Gateway) -> None:
    head = FakeHead()
    await gateway.add_heads(head)
    prompts = [[1, 2], [5], [9, 9]]
    extra = {"return_token_ids": True}
    whole = await gateway.client.completions.create(model="demo-model", prompt=prompts, max_tokens=5, extra_body=extra)
    stream = await gateway.client.completions.create(
        model="demo-model", prompt=prompts, max_tokens=5, stream=True, extra_body=extra
    )
    streamed: list[list[int]] = [[], [], []]
    async for chunk in stream:
        streamed[chunk.choices[0].index] += chunk.choices[0].model_extra["token_ids"]
    expected = [[(sum(prompt) + 7 * position) % 250 for position in range(5)] for prompt in prompts]
    assert streamed == expected
    assert [choice.model_extra["token_ids"] for choice in whole.choices] == expected
    assert [choice.index for choice in whole.choices] == [0, 1, 2]


async def test_a_chat(gateway: Gateway) -> None:
    head = await add_speaker(gateway, "Hello there")
    answer = await gateway.client.chat.completions.create(
        model="demo-model", messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}], temperature=0
    )
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    [submit] = head.submits
    prompt = gateway.text_model.tokenizer.decode(list(submit.prompt), skip_special_tokens=False)
    assert prompt == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert submit.max_tokens == 256 - len(submit.prompt)
    assert submit.sampling.temperature == 0


async def test_a_chat_streams_with_its_usage_at_the_end(gateway: Gateway) -> None:
    await add_speaker(gateway, "Hello 你好 🎉")
    stream = await gateway.client.chat.completions.create(
        model="demo-model",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "Hello 你好 🎉"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1] if chunk.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stream_ends_as_openai_s_ends(gateway: Gateway) -> None:
    await add_speaker(gateway, " fox")
    body = {"model": "demo-model", "prompt": "the", "stream": True, "max_tokens": 9}
    answer = await gateway.http.post("/v1/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    assert all(json.loads(line.removeprefix("data: "))["object"] == "text_completion" for line in lines[:-1])


async def test_a_stop_string_over_token_borders_cuts_and_cancels(gateway: Gateway) -> None:
    head = await add_speaker(gateway, "the quick brown fox jumps", ends=False)
    head.pause_at = len(gateway.text_model.encode("the quick brown fox jumps", add_special_tokens=False)) - 1
    answer = await gateway.client.completions.create(
        model="demo-model", prompt="say", max_tokens=50, stop=["wn fo", "never"]
    )
    assert answer.choices[0].text == "the quick bro"
    assert answer.choices[0].finish_reason == "stop"
    await until(lambda: bool(head.cancels))


async def test_a_choice_that_has_stopped_frees_its_head_while_others_go_on(gateway: Gateway) -> None:
    head = FakeHead(answer=lambda submit: list(submit.prompt) * 20)
    head.pause_at = 6
    await gateway.add_heads(head)
    [stop] = gateway.text_model.encode("o", add_special_tokens=False)
    [other] = gateway.text_model.encode("n", add_special_tokens=False)
    request = gateway.client.completions.create(model="demo-model", prompt=[[stop], [other]], max_tokens=9, stop="oo")
    task = asyncio.create_task(request)
    async with asyncio.timeout(30):
        await head.cancelled.wait()
    assert gateway.balancer.num_live == 1
    head.resumed.set()
    answer = await task
    assert [choice.text for choice in answer.choices] == ["", "n" * 9]
    assert [choice.finish_reason for choice in answer.choices] == ["stop", "length"]


async def test_the_model_s_end_may_be_ignored(gateway: Gateway) -> None:
    head = FakeHead()
    await gateway.add_heads(head)
    await gateway.client.completions.create(
        model="demo-model", prompt="the", max_tokens=3, extra_body={"ignore_eos": True, "top_k": 5}
    )
    assert head.submits[0].stop_tokens == ()
    assert head.submits[0].sampling.top_k == 5


async def test_tokens_arrive_while_the_head_still_works(gateway: Gateway) -> None:
    head = await add_speaker(gateway, "the quick brown fox", ends=False)
    head.pause_at = 2
    stream = await gateway.client.completions.create(model="demo-model", prompt="a", max_tokens=4, stream=True)
    first = await anext(aiter(stream))
    assert first.choices[0].text
    head.resumed.set()
    assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_client_that_leaves_frees_its_head_at_once(gateway: Gateway, is_stream: bool) -> None:
    head = await add_speaker(gateway, "the quick brown fox", ends=False)
    head.pause_at = 2
    request = gateway.client.completions.create(model="demo-model", prompt="a", max_tokens=4, stream=is_stream)
    task = asyncio.create_task(request)
    await until(lambda: bool(head.submits))
    if is_stream:
        await (await task).close()
    else:
        task.cancel()
    async with asyncio.timeout(5):
        await head.cancelled.wait()
    assert head.cancels == [head.submits[0].request]
    assert gateway.balancer.num_live == 0


async def test_no_capacity_is_a_503_after_the_hold_time(gateway: Gateway) -> None:
    task = asyncio.create_task(gateway.client.completions.create(model="demo-model", prompt="a", stream=True))
    await until(lambda: gateway.balancer.num_waiting == 1)
    gateway.pass_time(31)
    with pytest.raises(openai.InternalServerError) as caught:
        await task
    assert caught.value.status_code == 503
    assert caught.value.code == "no_capacity"
    assert caught.value.response.headers["retry-after"] == "30"


async def test_an_error_in_the_middle_of_a_stream_is_an_event(gateway: Gateway) -> None:
    head = await add_speaker(gateway, "the quick brown fox", ends=False)
    head.pause_at = 2
    stream = await gateway.client.completions.create(model="demo-model", prompt="a", max_tokens=4, stream=True)
    await anext(aiter(stream))
    gateway.pass_time(31)
    with pytest.raises(openai.APIError, match="No capacity"):
        [chunk async for chunk in stream]


async def test_models(gateway: Gateway) -> None:
    models = await gateway.client.models.list()
    assert [model.id for model in models.data] == ["demo-model"]
    assert (await gateway.client.models.retrieve("demo-model")).id == "demo-model"
    with pytest.raises(openai.NotFoundError):
        await gateway.client.models.retrieve("gpt-4")


async def test_probes(gateway: Gateway) -> None:
    assert (await gateway.http.get("/healthz")).status_code == 200
    before = await gateway.http.get("/readyz")
    await gateway.add_heads(FakeHead())
    after = await gateway.http.get("/readyz")
    assert (before.status_code, before.json()["reason"]) == (503, "no lane head is connected")
    assert (after.status_code, after.json()["heads"]) == (200, 1)


async def test_more_than_may_be_under_way_is_a_429_that_says_when_to_come_back(gateway: Gateway) -> None:
    head = await add_speaker(gateway, "the quick brown fox", ends=False)
    head.pause_at = 1
    streams = [
        await gateway.client.completions.create(model="demo-model", prompt="a", max_tokens=4, n=100, stream=True)
        for _ in range(2)
    ]
    with pytest.raises(openai.RateLimitError) as caught:
        await gateway.client.completions.create(model="demo-model", prompt="a")
    assert caught.value.response.headers["retry-after"] == "1"
    assert "works on 200 choices" in caught.value.message
    await streams[0].close()
    await until(lambda: gateway.balancer.num_live == 100)
    head.resumed.set()
    answer = await gateway.client.completions.create(model="demo-model", prompt="a", max_tokens=4)
    assert answer.choices[0].finish_reason == "length"
    [chunk async for chunk in streams[1]]


async def test_an_answer_that_takes_too_long_is_a_504(gateway: Gateway) -> None:
    head = await add_speaker(gateway, "the quick brown fox", ends=False)
    head.pause_at = 0
    request = gateway.client.completions.create(model="demo-model", prompt="a", extra_body={"timeout": 2.5})
    task = asyncio.create_task(request)
    await until(lambda: bool(head.submits))
    gateway.pass_time(3)
    with pytest.raises(openai.InternalServerError, match=r"within 2\.5 s") as caught:
        await task
    assert (caught.value.status_code, caught.value.code) == (504, "deadline_exceeded")
    await until(head.cancelled.is_set)


async def test_a_slow_reader_holds_up_nobody_and_loses_nothing(gateway: Gateway) -> None:
    head = FakeHead(answer=lambda submit: list(range(200)))
    await gateway.add_heads(head)
    body = {"prompt": [1], "model": "demo-model", "max_tokens": 200, "stream": True, "return_token_ids": True, "n": 20}
    async with gateway.http.stream("POST", "/v1/completions", json=body) as slow:
        lines = slow.aiter_lines()
        await anext(lines)
        await until(lambda: gateway.balancer.num_live == 0)
        quick = await gateway.client.completions.create(model="demo-model", prompt="a", max_tokens=200)
        assert quick.choices[0].finish_reason == "length"
        rest = [line async for line in lines if line]
    assert rest[-1] == "data: [DONE]"


async def test_clients_that_leave_at_random_leave_nothing_behind(gateway: Gateway) -> None:
    await gateway.add_heads(FakeHead(0), FakeHead(1))
    expected = [(10 + 7 * position) % 250 for position in range(60)]

    async def client(number: int) -> None:
        stream = await gateway.client.completions.create(
            model="demo-model", prompt=[4, 6], max_tokens=60, stream=True, extra_body={"return_token_ids": True}
        )
        tokens: list[int] = []
        async for chunk in stream:
            tokens += chunk.choices[0].model_extra["token_ids"]
            if len(tokens) > number:
                break
        await stream.close()
        assert tokens == expected[: len(tokens)]

    await asyncio.gather(*(client(number) for number in range(80)))
    await until(lambda: gateway.balancer.num_live == 0)
    await until(lambda: all(task.done() for head in gateway.heads for task in head._tasks.values()))
