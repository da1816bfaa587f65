"""What clients may ask for arrives at the head exactly, and comes back in OpenAI's forms."""

import asyncio
from collections.abc import Sequence

import pytest

from moe_gateway.sampling import choice_seed
from moe_wire.messages import Sampling, Submit
from tests.moe_gateway.conftest import Gateway, until
from tests.moe_gateway.fakes import FakeHead

TEXT = "Hello 你好 🎉 fox"


async def add_speaker(gateway: Gateway, text: str = TEXT) -> FakeHead:
    tokens = [*gateway.text_model.encode(text, add_special_tokens=False), gateway.text_model.end_tokens[0]]
    head = FakeHead(answer=lambda submit: tokens)
    await gateway.add_heads(head)
    return head


async def test_everything_about_sampling_reaches_the_head(gateway: Gateway) -> None:
    head = FakeHead()
    await gateway.add_heads(head)
    await gateway.client.completions.create(
        model="demo-model", prompt=[7, 8], max_tokens=2, temperature=0.5, top_p=0.9, seed=3, presence_penalty=0.25,
        frequency_penalty=-0.5, logit_bias={"5": -100, "9": 2}, logprobs=4,
        extra_body={"top_k": 6, "min_p": 0.125, "repetition_penalty": 1.5, "priority": 2, "stop_token_ids": [11, 12]},
    )  # fmt: skip
    [submit] = head.submits
    assert submit.sampling == Sampling(
        temperature=0.5, top_k=6, top_p=0.9, seed=3, min_p=0.125, repetition_penalty=1.5, presence_penalty=0.25,
        frequency_penalty=-0.5, logit_bias=((5, -100.0), (9, 2.0)), logprobs=4, num_prompt=2,
    )  # fmt: skip
    assert submit.priority == -2
    assert submit.stop_tokens == (*gateway.text_model.end_tokens, 11, 12)


async def test_n_choices_have_seeds_of_their_own_and_the_first_is_the_one_alone(gateway: Gateway) -> None:
    head = FakeHead(answer=lambda submit: [(submit.sampling.seed + position) % 250 for position in range(3)])
    await gateway.add_heads(head)
    extra = {"return_token_ids": True}
    answer = await gateway.client.completions.create(
        model="demo-model", prompt=[[7], [8, 8]], max_tokens=3, seed=5, n=2, extra_body=extra
    )
    seeds = [5, choice_seed(5, 1)]
    assert [submit.sampling.seed for submit in head.submits] == seeds * 2
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    expected = [[(seed + position) % 250 for position in range(3)] for seed in seeds] * 2
    assert [choice.model_extra["token_ids"] for choice in answer.choices] == expected
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 12)


def test_the_seeds_of_choices_never_change() -> None:
    assert choice_seed(-7, 0) == -7
    assert len({choice_seed(seed, index) for seed in range(50) for index in range(1, 50)}) == 50 * 49
    assert choice_seed(42, 1) == 6898827997664288301


async def test_n_choices_of_a_chat_stream_side_by_side(gateway: Gateway) -> None:
    await add_speaker(gateway)
    stream = await gateway.client.chat.completions.create(
        model="demo-model", messages=[{"role": "user", "content": "hi"}], n=3, stream=True
    )
    texts = ["", "", ""]
    async for chunk in stream:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == [TEXT] * 3


async def test_the_best_of_several_has_the_likeliest_tokens(gateway: Gateway) -> None:
    def answer(submit: Submit) -> Sequence[int]:
        # Logprobs fall with the position, so a shorter answer has the likelier tokens.
        return [1] * lengths[submit.sampling.seed] + [gateway.text_model.end_tokens[0]]

    lengths = {choice_seed(5, index): length for index, length in enumerate([4, 2, 9, 3])}
    await gateway.add_heads(FakeHead(answer=answer))
    answer_ = await gateway.client.completions.create(
        model="demo-model", prompt="the", max_tokens=20, seed=5, n=2, best_of=4, extra_body={"return_token_ids": True}
    )
    assert [len(choice.model_extra["token_ids"]) - 1 for choice in answer_.choices] == [2, 3]
    assert [choice.index for choice in answer_.choices] == [0, 1]
    assert answer_.choices[0].logprobs is None
    assert answer_.usage is not None
    assert answer_.usage.completion_tokens == 4 + 2 + 9 + 3 + 4


async def test_logprobs_of_a_completion_lie_side_by_side(gateway: Gateway) -> None:
    await add_speaker(gateway, "the fox")
    answer = await gateway.client.completions.create(model="demo-model", prompt="a", max_tokens=9, logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == ["the", " fox"]
    assert logprobs.token_logprobs == [-0.25, -1.25]
    assert logprobs.text_offset == [0, 3]
    [first, second] = logprobs.top_logprobs or []
    assert len(first) == 2
    assert first["the"] == -0.25
    assert second[" fox"] == -1.25


async def test_the_token_itself_is_told_where_the_likeliest_are_none(gateway: Gateway) -> None:
    await add_speaker(gateway, "the fox")
    answer = await gateway.client.completions.create(model="demo-model", prompt="a", max_tokens=9, logprobs=0)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.token_logprobs == [-0.25, -1.25]
    assert logprobs.top_logprobs == [{}, {}]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_bytes_of_a_chat_s_logprobs_are_its_text_s(gateway: Gateway, is_stream: bool) -> None:
    await add_speaker(gateway)
    request = gateway.client.chat.completions.create(
        model="demo-model", messages=[{"role": "user", "content": "hi"}], logprobs=True, top_logprobs=1,
        stream=is_stream,
    )  # fmt: skip
    if is_stream:
        parts = [chunk.choices[0].logprobs async for chunk in await request]
    else:
        parts = [(await request).choices[0].logprobs]
    content = [one for part in parts if part is not None and part.content for one in part.content]
    assert b"".join(bytes(one.bytes or []) for one in content) == TEXT.encode()
    assert [one.logprob for one in content] == [-0.25 - position for position in range(len(content))]
    assert all(len(one.top_logprobs) == 1 for one in content)


async def test_no_logprob_is_told_twice_when_heads_fail(gateway: Gateway) -> None:
    first, second = FakeHead(0), FakeHead(1)
    first.pause_at = first.die_at = 5
    second.duplicates = True
    await gateway.add_heads(first)
    body = {"model": "demo-model", "prompt": [3, 4], "max_tokens": 9, "stream": True, "logprobs": 1}
    task = asyncio.create_task(gateway.client.completions.create(**body))
    await until(lambda: bool(first.submits))
    await gateway.add_heads(second)
    first.resumed.set()
    told = [value async for chunk in await task for value in chunk.choices[0].logprobs.token_logprobs]
    assert told == [-0.25 - position for position in range(9)]
    assert len(second.submits[0].generated) == 5
    assert second.submits[0].sampling == first.submits[0].sampling


@pytest.mark.parametrize("is_stream", [False, True])
async def test_echo_puts_the_prompt_before_the_answer(gateway: Gateway, is_stream: bool) -> None:
    await add_speaker(gateway, " fox")
    tokens = list(gateway.text_model.encode("the quick", add_special_tokens=False))
    for prompt in ("the quick", tokens):
        answer = await gateway.client.completions.create(
            model="demo-model", prompt=prompt, max_tokens=9, echo=True, stream=is_stream
        )
        text = "".join([chunk.choices[0].text async for chunk in answer]) if is_stream else answer.choices[0].text
        assert text == "the quick fox"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_echo_with_logprobs_tells_those_of_the_prompt_too(gateway: Gateway, is_stream: bool) -> None:
    await add_speaker(gateway, " fox")
    answer = await gateway.client.completions.create(
        model="demo-model", prompt="the fox", max_tokens=9, echo=True, logprobs=1, stream=is_stream
    )
    parts = [chunk async for chunk in answer] if is_stream else [answer]
    told = [part.choices[0].logprobs for part in parts]
    assert [name for one in told for name in one.tokens] == ["the", " fox", " fox"]
    assert [value for one in told for value in one.token_logprobs] == [None, -1.5, -0.25]
    assert [offset for one in told for offset in one.text_offset] == [0, 3, 7]
    assert [len(top) if top else 0 for one in told for top in one.top_logprobs] == [0, 2, 1]


async def test_prompt_logprobs_are_asked_for_until_they_are_known_and_not_again(gateway: Gateway) -> None:
    first, second = FakeHead(0), FakeHead(1)
    first.pause_at = first.die_at = 5
    await gateway.add_heads(first)
    body = {"model": "demo-model", "prompt": [3, 4, 5], "max_tokens": 9, "echo": True, "logprobs": 1}
    task = asyncio.create_task(gateway.client.completions.create(**body))
    await until(lambda: bool(first.submits))
    await gateway.add_heads(second)
    first.resumed.set()
    logprobs = (await task).choices[0].logprobs
    assert logprobs.token_logprobs == [None, -1.5, -2.5, *[-0.25 - position for position in range(9)]]
    assert [head.submits[0].prompt_logprobs for head in (first, second)] == [1, -1]


async def test_a_stop_token_ends_the_answer_and_is_no_text(gateway: Gateway) -> None:
    await add_speaker(gateway, "the fox dog")
    [stop] = gateway.text_model.encode(" fox", add_special_tokens=False)
    answer = await gateway.client.completions.create(
        model="demo-model", prompt="a", max_tokens=9, extra_body={"stop_token_ids": [stop]}
    )
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("the", "stop")


async def test_text_to_tokens_and_back(gateway: Gateway) -> None:
    tokens = list(gateway.text_model.encode(TEXT, add_special_tokens=False))
    answer = (await gateway.http.post("/tokenize", json={"prompt": TEXT, "return_token_strs": True})).json()
    assert (answer["tokens"], answer["count"], answer["max_model_len"]) == (tokens, len(tokens), 256)
    assert answer["token_strs"][:5] == list("Hello")
    back = await gateway.http.post("/detokenize", json={"model": "demo-model", "tokens": tokens})
    assert back.json() == {"prompt": TEXT}


async def test_messages_to_tokens_as_a_chat_has_them(gateway: Gateway) -> None:
    head = await add_speaker(gateway)
    messages = [{"role": "user", "content": "hi"}]
    await gateway.client.chat.completions.create(model="demo-model", messages=messages)
    answer = (await gateway.http.post("/tokenize", json={"messages": messages})).json()
    assert tuple(answer["tokens"]) == head.submits[0].prompt
    assert "token_strs" not in answer


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/tokenize", {}, "either prompt or messages"),
        ("/tokenize", {"prompt": "a", "model": "gpt-4"}, "gpt-4"),
        ("/tokenize", {"prompt": "a" * 90_000}, "90000 characters"),
        ("/detokenize", {"tokens": [400]}, "from 0 to 399"),
    ],
)
async def test_wrong_texts_and_tokens(gateway: Gateway, path: str, body: dict[str, object], words: str) -> None:
    answer = await gateway.http.post(path, json=body)
    assert answer.status_code in (400, 404)
    assert words in answer.json()["error"]["message"]
