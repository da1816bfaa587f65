"""Whatever is sent arrives equal, however the network cuts it; whatever is no message ends in WireError and
nothing else.
"""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_wire.errors import WireError
from moe_wire.framing import PREFIX, Decoder, encode, payload_bytes_of
from moe_wire.messages import (
    Broken,
    Cancel,
    Challenge,
    Dispatch,
    DType,
    Emitted,
    Fetched,
    Hello,
    Load,
    Logprobs,
    Message,
    NotHere,
    Parcel,
    Payload,
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

ITEM_BYTES = {DType.FLOAT32: 4, DType.BFLOAT16: 2, DType.FLOAT16: 2, DType.INT64: 8}
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
numbers = st.lists(u32, max_size=5).map(tuple)
texts = st.text(max_size=40)
ranks = st.integers(-1, 9)
sequences = st.lists(u64, max_size=3).map(tuple)
requests = st.binary(min_size=16, max_size=16)


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    dtype = draw(st.sampled_from(DType))
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    num_bytes = ITEM_BYTES[dtype]
    for size in shape:
        num_bytes *= size
    return Payload(dtype, shape, draw(st.binary(min_size=num_bytes, max_size=num_bytes)))


i32 = st.integers(-(2**31), 2**31 - 1)
floats = st.floats(allow_nan=False)
weighted = st.lists(st.tuples(u32, floats), max_size=3).map(tuple)
samplings = st.builds(Sampling, floats, u32, floats, i64, floats, floats, floats, floats, weighted, i32, u32)
scores = st.builds(Logprobs, floats, weighted)
logprobs = st.none() | scores
all_scores = st.lists(scores, max_size=3).map(tuple)
segments = st.builds(Segment, u64, u32, u32, numbers, st.none() | samplings, numbers,
                     st.none() | st.builds(Scoring, u32, numbers))  # fmt: skip
names = (u32, u64, u64, u32, u32, u32)
messages = st.one_of(
    st.builds(Challenge, st.binary(max_size=40)),
    st.builds(Hello, u32, texts, texts, ranks, ranks, texts, u64, u64, st.binary(), st.binary()),
    st.builds(Welcome, ranks, texts, u64, u64, st.binary()),
    st.builds(Dispatch, *names, payloads()),
    st.builds(Result, *names, payloads()),
    st.builds(NotHere, *names),
    st.builds(Step, u32, u64, u64, st.lists(segments, max_size=3).map(tuple), sequences, payloads()),
    st.builds(Tokens, u32, u64, u64, st.lists(st.tuples(u64, u32), max_size=4).map(tuple),
              st.lists(logprobs, max_size=3).map(tuple), st.lists(st.tuples(u64, all_scores), max_size=2).map(tuple)),
    st.builds(Reset, u32, u64),
    st.builds(Source, st.binary(), u64, u64, u64, u64),
    st.builds(Parcel, st.binary(), u64, u64),
    st.builds(Fetched, u64),
    st.builds(Broken, u32, u64),
    st.builds(Submit, requests, numbers, numbers, samplings, u32, numbers, i32, i32, texts),
    st.builds(Scored, requests, u32, all_scores),
    st.builds(Cancel, requests),
    st.builds(Emitted, requests, u32, u32, st.sampled_from(("", "stop", "length")), logprobs),
    st.builds(Returned, requests, st.text()),
    st.builds(Load, u32, u32, u64, u64, u64, u64),
    st.builds(Ping),
    st.builds(Pong, u32),
    st.builds(Refused, requests, st.text(), st.text()),
)  # fmt: skip


def to_bytes(message: Message) -> bytes:
    return b"".join(bytes(buffer) for buffer in encode(message))


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(messages, max_size=4))
def test_messages_arrive_equal_and_in_order(sent: list[Message]) -> None:
    assert Decoder().feed(b"".join(map(to_bytes, sent))) == sent


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(messages, min_size=1, max_size=3))
def test_a_cut_at_any_byte_changes_nothing(sent: list[Message]) -> None:
    stream = b"".join(map(to_bytes, sent))
    for cut in range(len(stream) + 1):
        decoder = Decoder()
        assert decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) == sent


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(messages, min_size=1, max_size=3))
def test_bytes_may_come_one_by_one(sent: list[Message]) -> None:
    decoder = Decoder()
    stream = b"".join(map(to_bytes, sent))
    assert [message for i in range(len(stream)) for message in decoder.feed(stream[i : i + 1])] == sent


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=200))
def test_garbage_is_a_wire_error_or_waits_for_more(garbage: bytes) -> None:
    with contextlib.suppress(WireError):
        Decoder(4096).feed(garbage)


@settings(deadline=None)  # a busy machine is no failure
@given(messages, st.data())
def test_a_damaged_header_is_a_wire_error_or_another_message(message: Message, data: st.DataObject) -> None:
    damaged = bytearray(to_bytes(message))
    damaged[data.draw(st.integers(8, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(WireError):
        Decoder().feed(bytes(damaged))


def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError, match="at most 4096 bytes"):
        Decoder(4096).feed(PREFIX.pack(4000, 1000, 1))


def test_a_payload_must_be_as_long_as_its_shape_says() -> None:
    whole = to_bytes(Dispatch(0, 1, 2, 3, 4, 5, Payload(DType.FLOAT32, (1, 2), b"x" * 8)))
    header_bytes = len(whole) - 8 - PREFIX.size
    short = PREFIX.pack(header_bytes, 7, 10) + whole[PREFIX.size : -1]
    with pytest.raises(WireError, match="needs 8 bytes, the payload has 7"):
        Decoder().feed(short)


def test_a_whole_payload_is_not_copied() -> None:
    stream = to_bytes(Dispatch(0, 1, 2, 3, 4, 5, Payload(DType.FLOAT32, (1, 2), b"x" * 8)))
    (message,) = Decoder().feed(stream)
    assert isinstance(message, Dispatch)
    assert isinstance(message.rows.data, memoryview)
    assert message.rows.data.obj is stream


def test_what_does_not_fit_its_field_cannot_be_sent() -> None:
    with pytest.raises(WireError, match="Reset cannot be sent"):
        encode(Reset(-1, 0))


def test_a_frames_head_alone_says_how_long_its_payload_is() -> None:
    rows = Payload(DType.FLOAT32, (2, 3), bytes(24))
    head = encode(Dispatch(0, 1, 2, 3, 4, 5, rows))[0]
    assert payload_bytes_of(bytes(head)) == 24


@pytest.mark.parametrize("head", [b"", b"\x00" * 8, PREFIX.pack(1, 24, 10), PREFIX.pack(0, 24, 10) + b"x"])
def test_a_head_of_another_length_than_it_says_is_no_head(head: bytes) -> None:
    with pytest.raises(WireError, match="a head of"):
        payload_bytes_of(head)
