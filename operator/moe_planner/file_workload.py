"""The `workload` part of a planning file -> Workload. What it leaves out is as in the reference document."""

from math import ceil

from moe_planner.fields import Fields
from moe_planner.inputs import Workload
from moe_planner.units import Kind, number

_BATCH, _SHORTEST, _LONGEST = 128, 128, 10_240
# Chunks of 512 tokens in each of the document's 16 lanes make steps of 8,192 tokens.
_STEP_TOKENS, _STEPS_IN_FLIGHT = 512, 4

_LENGTHS = ("min_sequence_length", "max_sequence_length")
_ENGINE = ("kv_tokens_per_lane", "lanes_per_rank", "step_tokens", "steps_in_flight")
_KEYS = ("batch_size", *_LENGTHS, *_ENGINE, "requests_per_second")
_REQUESTS = Kind(name="requests per second", example="12.5", base="requests/s", units={"": 1.0}, most=1e12)


def read_workload(part: Fields, *, lanes: int, max_positions: int | None) -> Workload:
    """`lanes` share the batch; each keeps the KV cache of its sequences at full length, and of no other's.

    `max_positions`: what the model can look back on, None where it is made for this workload.
    """
    part.refuse_others(*_KEYS)
    batch = part.number("batch_size", default=_BATCH)
    longest = part.number("max_sequence_length", default=min(_LONGEST, max_positions or _LONGEST))
    if max_positions is not None and longest > max_positions:
        raise part.error("max_sequence_length", f"the model has {max_positions} positions", f"use 1 to {max_positions}")
    rate = part.value("requests_per_second")
    return Workload(
        batch_size=batch,
        min_sequence_length=part.number("min_sequence_length", default=min(_SHORTEST, longest)),
        max_sequence_length=longest,
        kv_tokens_per_lane=part.number("kv_tokens_per_lane", default=ceil(batch / lanes) * longest),
        lanes_per_rank=part.number("lanes_per_rank", default=1),
        step_tokens=part.number("step_tokens", default=_STEP_TOKENS),
        steps_in_flight=part.number("steps_in_flight", default=_STEPS_IN_FLIGHT),
        requests_per_second=None if rate is None else number(part.at("requests_per_second"), rate, _REQUESTS),
    )
