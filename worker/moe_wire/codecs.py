"""How each message is laid out in a frame's header. The only place that knows the number (`kind`) of a message type.

`pack` returns the header's bytes; `unpack` gets them back with the payload's. Dispatch and Result, the two that a rank
exchanges thousands of times a second, have one struct each for everything they say.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moe_wire import greetings
from moe_wire.errors import WireError
from moe_wire.fields import DTYPES, ITEM_BYTES, Reader, pack_integers, pack_shape, pack_text
from moe_wire.messages import (
    Broken,
    Cancel,
    Challenge,
    Dispatch,
    Emitted,
    Hello,
    NotHere,
    Payload,
    Refused,
    Reset,
    Result,
    Returned,
    Sampling,
    Segment,
    Step,
    Submit,
    Tokens,
    Welcome,
)

_NAME = struct.Struct("<IQQIII")
_NAME_2D = struct.Struct("<IQQIIIBBII")
_STEP = struct.Struct("<IQQ")
_TERM = struct.Struct("<IQ")
_SEGMENT = struct.Struct("<QIIB")
_SAMPLING = struct.Struct("<dIdq")
_TOKEN = struct.Struct("<QI")
_COUNT = struct.Struct("<I")
_REQUEST = struct.Struct("<16s")
_EMITTED = struct.Struct("<16sIIB")

FINISHES = ("", "stop", "length")


def _pack_rows(message: Dispatch | Result) -> bytes:
    rows = message.rows
    name = (message.lane, message.term, message.step, message.layer, message.expert, message.attempt)
    if len(rows.shape) == 2:
        return _NAME_2D.pack(*name, rows.dtype, 2, rows.shape[0], rows.shape[1])
    return _NAME.pack(*name) + pack_shape(rows)


def _unpack_rows(make: Callable[..., Dispatch | Result]) -> Callable[[memoryview, memoryview], Dispatch | Result]:
    def unpack(header: memoryview, data: memoryview) -> Dispatch | Result:
        if len(header) == _NAME_2D.size:
            lane, term, step, layer, expert, attempt, code, num_dims, num_rows, width = _NAME_2D.unpack(header)
            if num_dims == 2 and num_rows * width * ITEM_BYTES.get(code, 0) == len(data):
                return make(lane, term, step, layer, expert, attempt, Payload(DTYPES[code], (num_rows, width), data))
        reader = Reader(header)
        name = reader.take(_NAME)
        rows = reader.payload(data)
        reader.end()
        return make(*name, rows)

    return unpack


def _pack_not_here(message: NotHere) -> bytes:
    return _NAME.pack(message.lane, message.term, message.step, message.layer, message.expert, message.attempt)


def _unpack_not_here(header: memoryview, _: memoryview) -> NotHere:
    return NotHere(*_NAME.unpack(header))


def _pack_sampling(sampling: Sampling) -> bytes:
    return _SAMPLING.pack(sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed)


def _pack_segment(segment: Segment) -> bytes:
    fixed = _SEGMENT.pack(segment.sequence, segment.start, segment.count, segment.sampling is not None)
    sampling = b"" if segment.sampling is None else _pack_sampling(segment.sampling)
    return fixed + pack_integers(segment.new_blocks) + sampling


def _unpack_segment(reader: Reader) -> Segment:
    sequence, start, count, is_sampled = reader.take(_SEGMENT)
    new_blocks = reader.integers()
    return Segment(sequence, start, count, new_blocks, Sampling(*reader.take(_SAMPLING)) if is_sampled else None)


def _pack_step(message: Step) -> bytes:
    parts = [_STEP.pack(message.lane, message.term, message.step), pack_shape(message.hidden)]
    parts.append(_COUNT.pack(len(message.segments)))
    parts += [_pack_segment(segment) for segment in message.segments]
    parts.append(struct.pack(f"<I{len(message.freed)}Q", len(message.freed), *message.freed))
    return b"".join(parts)


def _unpack_step(header: memoryview, data: memoryview) -> Step:
    reader = Reader(header)
    lane, term, step = reader.take(_STEP)
    hidden = reader.payload(data)
    (num_segments,) = reader.take(_COUNT)
    segments = tuple(_unpack_segment(reader) for _ in range(num_segments))
    (num_freed,) = reader.take(_COUNT)
    if num_freed * 8 > len(header):
        raise WireError(f"a list of {num_freed} sequences in a header of {len(header)} bytes")
    freed = reader.take(struct.Struct(f"<{num_freed}Q"))
    reader.end()
    return Step(lane, term, step, segments, freed, hidden)


def _pack_tokens(message: Tokens) -> bytes:
    parts = [_STEP.pack(message.lane, message.term, message.step), _COUNT.pack(len(message.tokens))]
    return b"".join(parts + [_TOKEN.pack(sequence, token) for sequence, token in message.tokens])


def _unpack_tokens(header: memoryview, _: memoryview) -> Tokens:
    reader = Reader(header)
    lane, term, step = reader.take(_STEP)
    (count,) = reader.take(_COUNT)
    pairs = tuple(reader.take(_TOKEN) for _ in range(count))
    reader.end()
    return Tokens(lane, term, step, pairs)  # type: ignore[arg-type]  # a struct's tuple has no length for mypy


def _pack_term(message: Reset | Broken) -> bytes:
    return _TERM.pack(message.lane, message.term)


def _pack_submit(message: Submit) -> bytes:
    lists = [pack_integers(numbers) for numbers in (message.prompt, message.generated, message.stop_tokens)]
    fixed = [_REQUEST.pack(message.request), _pack_sampling(message.sampling), _COUNT.pack(message.max_tokens)]
    return b"".join([*fixed, *lists])


def _unpack_submit(header: memoryview, _: memoryview) -> Submit:
    reader = Reader(header)
    (request,) = reader.take(_REQUEST)
    sampling = Sampling(*reader.take(_SAMPLING))
    (max_tokens,) = reader.take(_COUNT)
    prompt, generated, stop_tokens = reader.integers(), reader.integers(), reader.integers()
    reader.end()
    return Submit(request, prompt, generated, sampling, max_tokens, stop_tokens)  # type: ignore[arg-type]  # struct knows no bytes


def _pack_cancel(message: Cancel) -> bytes:
    return _REQUEST.pack(message.request)


def _unpack_cancel(header: memoryview, _: memoryview) -> Cancel:
    return Cancel(*_REQUEST.unpack(header))


def _pack_emitted(message: Emitted) -> bytes:
    return _EMITTED.pack(message.request, message.position, message.token, FINISHES.index(message.finish))


def _unpack_emitted(header: memoryview, _: memoryview) -> Emitted:
    request, position, token, finish = _EMITTED.unpack(header)
    return Emitted(request, position, token, FINISHES[finish])


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


@dataclass(frozen=True, slots=True)
class Codec:
    kind: int
    pack: Callable[[Any], bytes]
    unpack: Callable[[memoryview, memoryview], Any]


CODECS: dict[type, Codec] = {
    Challenge: Codec(1, greetings.pack_challenge, greetings.unpack_challenge),
    Hello: Codec(2, greetings.pack_hello, greetings.unpack_hello),
    Welcome: Codec(3, greetings.pack_welcome, greetings.unpack_welcome),
    Dispatch: Codec(10, _pack_rows, _unpack_rows(Dispatch)),
    Result: Codec(11, _pack_rows, _unpack_rows(Result)),
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
}
UNPACKERS = {codec.kind: codec.unpack for codec in CODECS.values()}
