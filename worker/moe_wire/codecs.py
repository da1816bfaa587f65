"""How each message is laid out in a frame's header. The only place that knows the number (`kind`) of a message type.

`pack` returns the header's bytes; `unpack` gets them back with the payload's.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from moe_wire import greetings
from moe_wire.errors import WireError
from moe_wire.fields import Reader, pack_bytes, pack_integers, pack_shape, pack_text
from moe_wire.messages import (
    Broken,
    Cancel,
    Challenge,
    Dispatch,
    Emitted,
    Fetched,
    Hello,
    Load,
    Logprobs,
    NotHere,
    Parcel,
    Ping,
    Pong,
    Refused,
    Reset,
    Result,
    Returned,
    Sampling,
    Scored,
    Scoring,
    Segment,
    Source,
    Step,
    Submit,
    Tokens,
    Welcome,
)
from moe_wire.rows import NAME, pack_rows, unpack_rows

_STEP = struct.Struct("<IQQ")
_TERM = struct.Struct("<IQ")
_SEGMENT = struct.Struct("<QIIB")
_SAMPLING = struct.Struct("<dIdqddddiII")
_TOKEN = struct.Struct("<QI")
_COUNT = struct.Struct("<I")
_SCORED = struct.Struct("<16sI")
_SCORED_COUNT = struct.Struct("<QI")
_FLAG = struct.Struct("<B")
_REQUEST = struct.Struct("<16s")
_SUBMIT = struct.Struct("<16sIii")
_EMITTED = struct.Struct("<16sIIB")
_LOAD = struct.Struct("<IIQQQQ")
_PING = struct.Struct("<")
_PONG = struct.Struct("<I")
_SOURCE = struct.Struct("<QQQQ")
_PARCEL = struct.Struct("<QQ")
_STAMP = struct.Struct("<Q")
_CHOSEN = struct.Struct("<dI")
_WEIGHTED = struct.Struct("<Id")

FINISHES = ("", "stop", "length")
_IS_SAMPLED, _IS_SCORED = 1, 2


def _pack_not_here(message: NotHere) -> bytes:
    return NAME.pack(message.lane, message.term, message.step, message.layer, message.expert, message.attempt)


def _unpack_not_here(header: memoryview, _: memoryview) -> NotHere:
    return NotHere(*NAME.unpack(header))


def _pack_sampling(sampling: Sampling) -> bytes:
    bias = sampling.logit_bias
    fixed = _SAMPLING.pack(
        sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed, sampling.min_p,
        sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty, sampling.logprobs,
        sampling.num_prompt, len(bias),
    )  # fmt: skip
    return fixed + b"".join([_WEIGHTED.pack(token, value) for token, value in bias]) if bias else fixed


def _unpack_sampling(reader: Reader) -> Sampling:
    sampling, num_bias = _fixed_sampling(reader.part(_SAMPLING.size))
    return replace(sampling, logit_bias=_unpack_weighted(reader, num_bias)) if num_bias else sampling


@lru_cache(maxsize=1024)
def _fixed_sampling(fixed: bytes) -> tuple[Sampling, int]:
    """Without its bias, and how many of that there are. Every step of a sequence says the same once more."""
    (
        temperature, top_k, top_p, seed, min_p, repetition, presence, frequency, logprobs, num_prompt, num_bias
    ) = _SAMPLING.unpack(fixed)  # fmt: skip
    return Sampling(
        temperature, top_k, top_p, seed, min_p, repetition, presence, frequency, (), logprobs, num_prompt
    ), num_bias


def _unpack_weighted(reader: Reader, count: int) -> tuple[tuple[int, float], ...]:
    reader.expect(count * _WEIGHTED.size)
    return tuple([reader.take(_WEIGHTED) for _ in range(count)])  # type: ignore[misc]  # a struct's tuple has no length


def _pack_logprobs(logprobs: Logprobs | None) -> bytes:
    """A byte that says whether there are any, then the chosen token's and the likeliest tokens'."""
    if logprobs is None:
        return _FLAG.pack(0)
    parts = [_FLAG.pack(1), _CHOSEN.pack(logprobs.chosen, len(logprobs.top))]
    return b"".join(parts + [_WEIGHTED.pack(token, value) for token, value in logprobs.top])


def _unpack_logprobs(reader: Reader) -> Logprobs | None:
    (is_there,) = reader.take(_FLAG)
    if not is_there:
        return None
    chosen, num_top = reader.take(_CHOSEN)
    return Logprobs(chosen, _unpack_weighted(reader, num_top))


def _pack_all_logprobs(several: Sequence[Logprobs]) -> bytes:
    return b"".join([_pack_logprobs(logprobs) for logprobs in several])


def _unpack_all_logprobs(reader: Reader, count: int) -> tuple[Logprobs, ...]:
    reader.expect(count * _FLAG.size)
    told = [_unpack_logprobs(reader) for _ in range(count)]
    if None in told:
        raise WireError("a token of a prompt came without its logprob")
    return tuple(told)  # type: ignore[arg-type]  # none of them is None


def _pack_segment(segment: Segment) -> bytes:
    scoring = segment.scoring
    flags = (segment.sampling is not None) * _IS_SAMPLED | (scoring is not None) * _IS_SCORED
    fixed = _SEGMENT.pack(segment.sequence, segment.start, segment.count, flags)
    sampling = b"" if segment.sampling is None else _pack_sampling(segment.sampling)
    packed = fixed + pack_integers(segment.new_blocks) + sampling + pack_integers(segment.history)
    return packed if scoring is None else packed + _COUNT.pack(scoring.num_top) + pack_integers(scoring.targets)


def _unpack_segment(reader: Reader) -> Segment:
    sequence, start, count, flags = reader.take(_SEGMENT)
    new_blocks = reader.integers()
    sampling = _unpack_sampling(reader) if flags & _IS_SAMPLED else None
    history = reader.integers()
    scoring = _unpack_scoring(reader) if flags & _IS_SCORED else None
    return Segment(sequence, start, count, new_blocks, sampling, history, scoring)


def _unpack_scoring(reader: Reader) -> Scoring:
    (num_top,) = reader.take(_COUNT)
    return Scoring(num_top, reader.integers())


def _pack_step(message: Step) -> bytes:
    where = _STEP.pack(message.lane, message.term, message.step) + pack_shape(message.hidden)
    return where + (message.packed or _pack_segments(message))


def _pack_segments(message: Step) -> bytes:
    parts = [_COUNT.pack(len(message.segments))]
    parts += [_pack_segment(segment) for segment in message.segments]
    parts.append(struct.pack(f"<I{len(message.freed)}Q", len(message.freed), *message.freed))
    return b"".join(parts)


def _unpack_step(header: memoryview, data: memoryview) -> Step:
    reader = Reader(header)
    lane, term, step = reader.take(_STEP)
    hidden = reader.payload(data)
    packed = reader.rest()
    (num_segments,) = reader.take(_COUNT)
    segments = tuple([_unpack_segment(reader) for _ in range(num_segments)])
    (num_freed,) = reader.take(_COUNT)
    reader.expect(num_freed * 8)
    freed = reader.take(struct.Struct(f"<{num_freed}Q")) if num_freed else ()
    reader.end()
    return Step(lane, term, step, segments, freed, hidden, packed)


def _pack_tokens(message: Tokens) -> bytes:
    parts = [_STEP.pack(message.lane, message.term, message.step), _COUNT.pack(len(message.tokens))]
    parts += [_TOKEN.pack(sequence, token) for sequence, token in message.tokens]
    parts.append(_COUNT.pack(len(message.logprobs)))
    parts += [_pack_logprobs(logprobs) for logprobs in message.logprobs]
    parts.append(_COUNT.pack(len(message.scored)))
    for sequence, scores in message.scored:
        parts += [_SCORED_COUNT.pack(sequence, len(scores)), _pack_all_logprobs(scores)]
    return b"".join(parts)


def _unpack_tokens(header: memoryview, _: memoryview) -> Tokens:
    reader = Reader(header)
    lane, term, step = reader.take(_STEP)
    (count,) = reader.take(_COUNT)
    reader.expect(count * _TOKEN.size)
    pairs = tuple(reader.take(_TOKEN) for _ in range(count))
    (num_logprobs,) = reader.take(_COUNT)
    reader.expect(num_logprobs * _FLAG.size)
    logprobs = tuple(_unpack_logprobs(reader) for _ in range(num_logprobs))
    scored: list[tuple[int, tuple[Logprobs, ...]]] = []
    (num_scored,) = reader.take(_COUNT)
    for _place in range(num_scored):
        sequence, num_scores = reader.take(_SCORED_COUNT)
        scored.append((sequence, _unpack_all_logprobs(reader, num_scores)))
    reader.end()
    return Tokens(lane, term, step, pairs, logprobs, tuple(scored))  # type: ignore[arg-type]  # a struct's tuple has no length for mypy


def _pack_term(message: Reset | Broken) -> bytes:
    return _TERM.pack(message.lane, message.term)


def _pack_submit(message: Submit) -> bytes:
    lists = [pack_integers(numbers) for numbers in (message.prompt, message.generated, message.stop_tokens)]
    fixed = _SUBMIT.pack(message.request, message.max_tokens, message.priority, message.prompt_logprobs)
    return b"".join([fixed, _pack_sampling(message.sampling), *lists, pack_text(message.name)])


def _unpack_submit(header: memoryview, _: memoryview) -> Submit:
    reader = Reader(header)
    request, max_tokens, priority, prompt_logprobs = reader.take(_SUBMIT)
    sampling = _unpack_sampling(reader)
    prompt, generated, stop_tokens = reader.integers(), reader.integers(), reader.integers()
    name = reader.text()
    reader.end()
    return Submit(request, prompt, generated, sampling, max_tokens, stop_tokens, priority, prompt_logprobs, name)  # type: ignore[arg-type]  # struct knows no bytes


def _pack_cancel(message: Cancel) -> bytes:
    return _REQUEST.pack(message.request)


def _unpack_cancel(header: memoryview, _: memoryview) -> Cancel:
    return Cancel(*_REQUEST.unpack(header))


def _pack_emitted(message: Emitted) -> bytes:
    fixed = _EMITTED.pack(message.request, message.position, message.token, FINISHES.index(message.finish))
    return fixed + _pack_logprobs(message.logprobs)


def _unpack_emitted(header: memoryview, _: memoryview) -> Emitted:
    reader = Reader(header)
    request, position, token, finish = reader.take(_EMITTED)
    logprobs = _unpack_logprobs(reader)
    reader.end()
    return Emitted(request, position, token, FINISHES[finish], logprobs)  # type: ignore[arg-type]  # struct knows no bytes


def _pack_scored(message: Scored) -> bytes:
    fixed = _SCORED.pack(message.request, message.position) + _COUNT.pack(len(message.logprobs))
    return fixed + _pack_all_logprobs(message.logprobs)


def _unpack_scored(header: memoryview, _: memoryview) -> Scored:
    reader = Reader(header)
    request, position = reader.take(_SCORED)
    logprobs = _unpack_all_logprobs(reader, *reader.take(_COUNT))
    reader.end()
    return Scored(request, position, logprobs)  # type: ignore[arg-type]  # struct knows no bytes


def _pack_returned(message: Returned) -> bytes:
    return _REQUEST.pack(message.request) + pack_text(message.reason)


def _unpack_returned(header: memoryview, _: memoryview) -> Returned:
    reader = Reader(header, _REQUEST.size)
    return Returned(header[: _REQUEST.size].tobytes(), reader.text())


def _pack_refused(message: Refused) -> bytes:
    return _REQUEST.pack(message.request) + pack_text(message.code) + pack_text(message.message)


def _unpack_refused(header: memoryview, _: memoryview) -> Refused:
    reader = Reader(header, _REQUEST.size)
    return Refused(header[: _REQUEST.size].tobytes(), reader.text(), reader.text())


def _pack_load(message: Load) -> bytes:
    return _LOAD.pack(
        message.waiting, message.running, message.blocks, message.blocks_used, message.tokens_admitted,
        message.tokens_found,
    )  # fmt: skip


def _pack_source(message: Source) -> bytes:
    place = _SOURCE.pack(message.address, message.num_bytes, message.offset, message.stamp)
    return pack_bytes(message.metadata) + place


def _unpack_source(header: memoryview, _: memoryview) -> Source:
    reader = Reader(header)
    source = Source(reader.bytes(), *reader.take(_SOURCE))
    reader.end()
    return source


def _unpack_parcel(header: memoryview, _: memoryview) -> Parcel:
    reader = Reader(header)
    parcel = Parcel(reader.bytes(), *reader.take(_PARCEL))
    reader.end()
    return parcel


@dataclass(frozen=True, slots=True)
class Codec:
    kind: int
    pack: Callable[[Any], bytes]
    unpack: Callable[[memoryview, memoryview], Any]


CODECS: dict[type, Codec] = {
    Challenge: Codec(1, greetings.pack_challenge, greetings.unpack_challenge),
    Hello: Codec(2, greetings.pack_hello, greetings.unpack_hello),
    Welcome: Codec(3, greetings.pack_welcome, greetings.unpack_welcome),
    Ping: Codec(4, lambda _: b"", lambda header, _: Ping(*_PING.unpack(header))),
    Pong: Codec(5, lambda message: _PONG.pack(message.service_us), lambda header, _: Pong(*_PONG.unpack(header))),
    Dispatch: Codec(10, pack_rows, unpack_rows(Dispatch)),
    Result: Codec(11, pack_rows, unpack_rows(Result)),
    NotHere: Codec(12, _pack_not_here, _unpack_not_here),
    Step: Codec(20, _pack_step, _unpack_step),
    Tokens: Codec(21, _pack_tokens, _unpack_tokens),
    Reset: Codec(22, _pack_term, lambda header, _: Reset(*_TERM.unpack(header))),
    Broken: Codec(23, _pack_term, lambda header, _: Broken(*_TERM.unpack(header))),
    Submit: Codec(30, _pack_submit, _unpack_submit),
    Cancel: Codec(31, _pack_cancel, _unpack_cancel),
    Emitted: Codec(32, _pack_emitted, _unpack_emitted),
    Returned: Codec(33, _pack_returned, _unpack_returned),
    Refused: Codec(34, _pack_refused, _unpack_refused),
    Load: Codec(35, _pack_load, lambda header, _: Load(*_LOAD.unpack(header))),
    Scored: Codec(36, _pack_scored, _unpack_scored),
    Source: Codec(40, _pack_source, _unpack_source),
    Parcel: Codec(
        41, lambda message: pack_bytes(message.head) + _PARCEL.pack(message.offset, message.stamp), _unpack_parcel
    ),
    Fetched: Codec(42, lambda message: _STAMP.pack(message.stamp), lambda header, _: Fetched(*_STAMP.unpack(header))),
}
UNPACKERS = {codec.kind: codec.unpack for codec in CODECS.values()}
