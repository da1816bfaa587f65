"""The lines of the table that judge the user's targets, in the reference document's order, each with its numbers.

`unreachable` is what no layout meets even at the data sheet's peaks; what only the assumed efficiencies rule out fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from moe_planner.amounts import decimal, gib, seconds
from moe_planner.candidates import Candidate
from moe_planner.goals import Goal
from moe_planner.memory import Memory
from moe_planner.result import Basis, Check
from moe_planner.timing import (
    DECODE_STEP,
    DECODE_THROUGHPUT,
    FIRST_TOKEN,
    PREFILL_THROUGHPUT,
    Times,
    error_of,
)

_ORDER = (
    "time_to_first_token",
    "prefill_throughput_per_gpu",
    "decode_throughput_per_gpu",
    "time_per_output_token",
    "memory_share",
    "flops_share",
)


@dataclass(frozen=True, kw_only=True)
class _Words:
    """How one line is written."""

    name: str
    unit: str
    formula: str
    error: float | None = None
    note: str = ""


def target_lines(chosen: Candidate, goals: tuple[Goal, ...], memory: Memory) -> tuple[Check, ...]:
    """One line for each target that something is known of."""
    words = _words(chosen, memory)
    return tuple(
        _line(chosen, goal, words[goal.target]) for goal in sorted(goals, key=lambda g: _ORDER.index(g.target))
    )


def _line(chosen: Candidate, goal: Goal, words: _Words) -> Check:
    margin = (goal.reached - goal.wanted) / goal.wanted if goal.wanted else None
    return Check(
        name=words.name,
        formula=words.formula,
        value=goal.reached,
        limit=goal.wanted,
        unit=words.unit,
        verdict="holds" if goal.is_met else "unreachable" if goal.is_unreachable else "fails",
        basis=_basis(chosen, words.name),
        bound="" if goal.bound is None else goal.bound.name,
        margin=margin if margin is None or goal.is_least else -margin,
        error=words.error,
        note="; ".join(part for part in (words.note, _bound(goal, words.unit)) if part),
    )


def _basis(chosen: Candidate, name: str) -> Basis:
    return "assumed" if chosen.problem.calibration.correction(name) is None else "measured"


def _bound(goal: Goal, unit: str) -> str:
    """The bound with its numbers, where the line does not hold."""
    bound = goal.bound
    if goal.is_met or bound is None:
        return ""
    at_peak = f", {_amount(bound.at_peak, unit)} at the data sheet's peak" if bound.at_peak != bound.value else ""
    return f"{bound.name}: {bound.formula} = {_amount(bound.value, unit)}{at_peak}"


def _amount(value: float, unit: str) -> str:
    if unit == "s":
        return seconds(value)
    return f"{value:.3%}" if unit == "share" else decimal(value, unit)


def _words(chosen: Candidate, memory: Memory) -> Mapping[str, _Words]:
    hardware = chosen.problem.hardware
    share = _Words(
        name="Memory share",
        unit="share",
        formula=f"{gib(memory.total)} / {gib(hardware.gpu_memory_bytes)}",
    )
    return {"memory_share": share, **({} if chosen.times is None else _timed_words(chosen, chosen.times))}


def _timed_words(chosen: Candidate, times: Times) -> Mapping[str, _Words]:
    calibration, length = chosen.problem.calibration, chosen.problem.workload.max_sequence_length
    prefill, decode = times.prefill, times.decode
    pace = seconds(prefill.pace.seconds * prefill.starved)
    return {
        "time_to_first_token": _Words(
            name=FIRST_TOKEN,
            unit="s",
            formula=_first_token(times),
            error=error_of(FIRST_TOKEN, prefill.error, calibration),
            note=f"{chosen.sequences} prompts of {length} tokens at once; {prefill.pace.name} sets the pace; in one "
            f"piece, without chunks, it would be {seconds(prefill.pace.seconds * prefill.stages)}",
        ),
        "prefill_throughput_per_gpu": _Words(
            name=PREFILL_THROUGHPUT,
            unit="tokens/s",
            formula=f"{prefill.tokens} tokens / {pace} / {prefill.gpus} GPUs",
            error=error_of(PREFILL_THROUGHPUT, prefill.pace.error, calibration),
            note="of a pipeline that is always full",
        ),
        "decode_throughput_per_gpu": _Words(
            name=DECODE_THROUGHPUT,
            unit="tokens/s",
            formula=f"{decode.sequences:g} tokens / {seconds(decode.seconds)} / {decode.gpus} GPUs",
            error=error_of(DECODE_THROUGHPUT, decode.error, calibration),
        ),
        "time_per_output_token": _Words(
            name=DECODE_STEP,
            unit="s",
            formula=f"{' + '.join(term.formula for term in decode.terms)} = {seconds(decode.seconds)}",
            error=error_of(DECODE_STEP, decode.error, calibration),
            note=f"{', '.join(term.name.removeprefix('decode ') for term in decode.terms)}, at {length} tokens each",
        ),
        "flops_share": _Words(
            name="MFU, prefill",
            unit="share",
            formula=f"{decimal(times.prefill_throughput, 'tokens')}/s x {decimal(chosen.problem.prefill_flops, 'FLOP')}"
            f" / {decimal(times.speeds.peak_flops, 'FLOP')}/s",
            error=error_of(PREFILL_THROUGHPUT, prefill.pace.error, calibration),
            note=f"follows from the {chosen.problem.hardware.flops_efficiency:.0%} that kernels are assumed to reach; "
            f"decode uses {times.decode_flops_share:.2%}",
        ),
    }


def _first_token(times: Times) -> str:
    prefill = times.prefill
    starved = f" x {prefill.starved:.3g} starved" if prefill.starved > 1 else ""
    return (
        f"{prefill.pace.formula} = {seconds(prefill.pace.seconds)}, x ({prefill.chunks} + {prefill.stages} - 1)/"
        f"{prefill.chunks}{starved} + {seconds(prefill.latency.seconds)} of waiting = {seconds(prefill.seconds)}"
    )
