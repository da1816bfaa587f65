"""Clients of the gateway: some read their answers to the end, some leave, and each compares what it got with what is
right. Knows HTTP and the streams' form, no ranks.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import httpx

from benchmarks.soak.questions import Question

LEAVING = 0.4
"""Share of the requests whose client goes away, half of them after some tokens, half after some time."""
LEAVES_WITHIN_S = 3.0


@dataclass(kw_only=True)
class Answer:
    """What has arrived of one answer. `retry_after` is in seconds: it was turned away with 429."""

    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish: str = ""
    error: str = ""
    retry_after: float = 0.0

    def is_beginning_of(self, whole: "Answer") -> bool:
        return self.tokens == whole.tokens[: len(self.tokens)] and whole.text.startswith(self.text)


@dataclass(kw_only=True)
class Tally:
    """What became of all requests. `wrong` and `failed` hold a line for each."""

    finished: int = 0
    left: int = 0
    turned_away: int = 0
    tokens: int = 0
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def judge(self, question: Question, answer: Answer, right: Answer) -> None:
        """Count an answer; one that was left must be the beginning of the right one."""
        self.tokens += len(answer.tokens)
        is_right = answer.is_beginning_of(right)
        if answer.retry_after:
            self.turned_away += 1
        elif answer.error:
            self.failed.append(f"question {question.number}: {answer.error} after {len(answer.tokens)} tokens")
        elif not answer.finish:
            self.left += 1
        else:
            self.finished += 1
            is_right = (answer.tokens, answer.text, answer.finish) == (right.tokens, right.text, right.finish)
        if not is_right:
            self.wrong.append(
                f"question {question.number}: {answer.tokens} {answer.finish!r} is not {right.tokens} {right.finish!r}"
            )


class Crowd:
    """Clients that ask random ones of the questions; `right` holds the answer of each by its number."""

    def __init__(
        self, http: httpx.AsyncClient, questions: Sequence[Question], right: Mapping[int, Answer], *, seed: int
    ) -> None:
        self.tally = Tally()
        self._http = http
        self._questions = questions
        self._right = right
        self._seed = seed

    async def run(self, num_streams: int, seconds: float) -> None:
        """So many at a time, until the time is over and whoever stays has the whole answer."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(num_streams):
                group.create_task(self._stream(Random(f"{self._seed} {number}"), until))

    async def check(self, questions: Sequence[Question]) -> None:
        """Ask these at once and read all answers to the end."""
        answers = [Answer() for _ in questions]
        pairs = list(zip(questions, answers, strict=True))
        await asyncio.gather(*(ask(self._http, question, answer) for question, answer in pairs))
        for question, answer in pairs:
            self.tally.judge(question, answer, self._right[question.number])

    async def _stream(self, random: Random, until: float) -> None:
        while time.monotonic() < until:
            question, answer = random.choice(self._questions), Answer()
            is_leaving = random.random() < LEAVING
            leave_after = random.randint(1, question.max_tokens) if is_leaving and random.random() < 0.5 else None
            patience = random.uniform(0, LEAVES_WITHIN_S) if is_leaving and leave_after is None else None
            try:
                async with asyncio.timeout(patience):
                    await ask(self._http, question, answer, leave_after=leave_after)
            except TimeoutError:
                pass  # the client has left; what it has read until then is judged all the same
            self.tally.judge(question, answer, self._right[question.number])
            await asyncio.sleep(answer.retry_after)


async def ask(http: httpx.AsyncClient, question: Question, answer: Answer, *, leave_after: int | None = None) -> None:
    """Fill `answer` as it comes; close the connection once it has `leave_after` tokens."""
    try:
        async with http.stream("POST", "/v1/completions", json=question.body()) as reply:
            if reply.status_code != httpx.codes.OK:
                _take_refusal(answer, reply.status_code, (await reply.aread()).decode(), reply.headers)
                return
            async for line in reply.aiter_lines():
                _take(answer, line)
                if leave_after is not None and len(answer.tokens) >= leave_after:
                    return
    except httpx.HTTPError as error:
        answer.error = f"{type(error).__name__} {error}"
        return
    if not answer.finish and not answer.error:
        answer.error = "the stream ended without a finish_reason"


def _take(answer: Answer, line: str) -> None:
    if not line.startswith("data: ") or line == "data: [DONE]":
        return
    event = json.loads(line.removeprefix("data: "))
    if "error" in event:
        answer.error = json.dumps(event["error"])
        return
    [choice] = event["choices"]
    answer.tokens += choice["token_ids"]
    answer.text += choice["text"]
    answer.finish = choice["finish_reason"] or ""


def _take_refusal(answer: Answer, status: int, text: str, headers: Mapping[str, str]) -> None:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        answer.retry_after = float(headers["retry-after"])
    else:
        answer.error = f"HTTP {status}: {text}"
