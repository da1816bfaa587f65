"""The line of the table about how many requests come: whether those in flight leave as fast as new ones arrive."""

from moe_planner.amounts import decimal, seconds
from moe_planner.candidates import Candidate
from moe_planner.result import Check, verdict_of
from moe_planner.timing import DECODE_STEP, error_of


def rate_line(chosen: Candidate) -> tuple[Check, ...]:
    """Little's law with every request as long as it may get; nothing where no rate was given or no times are known."""
    workload, times = chosen.problem.workload, chosen.times
    wanted = workload.requests_per_second
    if wanted is None or times is None:
        return ()
    new_tokens = workload.max_sequence_length - workload.min_sequence_length
    stay = times.time_to_first_token + new_tokens * times.decode_step
    reached = workload.batch_size / stay
    return (
        Check(
            name="Request rate",
            formula=f"{workload.batch_size} sequences / ({seconds(times.time_to_first_token)} + {new_tokens} x "
            f"{seconds(times.decode_step)}) = {decimal(reached, 'requests/s')} >= {decimal(wanted, 'requests/s')}",
            value=reached,
            limit=wanted,
            unit="requests/s",
            verdict=verdict_of(reached >= wanted),
            basis="assumed",
            bound="workload.batchSize and the decode step",
            margin=(reached - wanted) / wanted,
            error=error_of(DECODE_STEP, times.decode.error, chosen.problem.calibration),
            note=f"of requests with {workload.min_sequence_length} tokens of prompt that go on to the longest sequence",
        ),
    )
