import json
from collections.abc import Sequence

import httpx

from benchmarks.soak.clients import Answer, Tally, ask
from benchmarks.soak.questions import make_questions

[QUESTION] = make_questions(1, 0)
RIGHT = Answer(tokens=[5, 6, 7], text="abc", finish="stop")


def judged(answer: Answer) -> Tally:
    tally = Tally()
    tally.judge(QUESTION, answer, RIGHT)
    return tally


def test_a_whole_answer_is_right_only_when_tokens_text_and_finish_are() -> None:
    assert judged(Answer(tokens=[5, 6, 7], text="abc", finish="stop")) == Tally(finished=1, tokens=3)
    assert len(judged(Answer(tokens=[5, 6, 8], text="abc", finish="stop")).wrong) == 1
    assert len(judged(Answer(tokens=[5, 6, 7], text="abd", finish="stop")).wrong) == 1
    assert len(judged(Answer(tokens=[5, 6, 7], text="abc", finish="length")).wrong) == 1
    assert len(judged(Answer(tokens=[5, 6], text="ab", finish="stop")).wrong) == 1


def test_what_a_client_has_read_before_it_left_is_judged_too() -> None:
    assert judged(Answer()) == Tally(left=1)
    assert judged(Answer(tokens=[5, 6], text="ab")) == Tally(left=1, tokens=2)
    assert judged(Answer(tokens=[5, 7], text="ab")).wrong == [f"question 0: [5, 7] '' is not {RIGHT.tokens} 'stop'"]


def test_an_error_is_a_failure_and_a_429_is_none() -> None:
    assert judged(Answer(tokens=[5], error="gone")).failed == ["question 0: gone after 1 tokens"]
    assert judged(Answer(retry_after=2.0)) == Tally(turned_away=1)


async def answered(response: httpx.Response, *, leave_after: int | None = None) -> Answer:
    answer = Answer()
    async with httpx.AsyncClient(
        base_url="http://gateway", transport=httpx.MockTransport(lambda _: response), verify=False
    ) as http:
        await ask(http, QUESTION, answer, leave_after=leave_after)
    return answer


def stream(*choices: tuple[Sequence[int], str, str | None]) -> httpx.Response:
    events = [
        {"choices": [{"token_ids": tokens, "text": text, "finish_reason": finish}]} for tokens, text, finish in choices
    ]
    return httpx.Response(200, text="".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n")


async def test_an_answer_is_read_to_its_end() -> None:
    assert await answered(stream(([5], "a", None), ([6, 7], "bc", None), ([], "", "stop"))) == RIGHT


async def test_a_client_leaves_once_it_has_enough_tokens() -> None:
    read = await answered(stream(([5], "a", None), ([6], "b", None), ([7], "c", "stop")), leave_after=2)
    assert read == Answer(tokens=[5, 6], text="ab")


async def test_a_stream_without_an_end_is_an_error() -> None:
    assert (await answered(stream(([5], "a", None)))).error == "the stream ended without a finish_reason"


async def test_errors_are_told_from_being_turned_away() -> None:
    assert (await answered(httpx.Response(503, text="no"))).error == "HTTP 503: no"
    assert await answered(httpx.Response(429, headers={"Retry-After": "2"})) == Answer(retry_after=2.0)
    assert (await answered(httpx.Response(200, text='data: {"error": {"code": "x"}}\n\n'))).error == '{"code": "x"}'
