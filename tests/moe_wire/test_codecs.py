from dataclasses import replace

from moe_wire.framing import Decoder, encode
from moe_wire.messages import DType, Payload, Sampling, Segment, Step


def payload(byte: bytes) -> Payload:
    return Payload(DType.FLOAT32, (2, 1), byte * 8)


STEP = Step(
    3, 9, 4,
    (
        Segment(7, 30, 1, (5,), Sampling(temperature=0.5, seed=8, logit_bias=((1, -2.0),)), (6, 7)),
        Segment(8, 0, 1, (2, 3), Sampling(temperature=0.5, seed=8)),
    ),
    (11, 12), payload(b"\x01"),
)  # fmt: skip


def test_a_step_that_is_passed_on_has_the_bytes_of_one_packed_anew() -> None:
    (came,) = Decoder().feed(b"".join(encode(STEP)))
    assert isinstance(came, Step)
    passed_on = replace(came, hidden=payload(b"\x02"))
    assert passed_on.packed
    assert encode(passed_on) == encode(replace(STEP, hidden=payload(b"\x02")))
