"""Random histories of production's own state machines: every request gives exactly the right tokens, and nothing is
left over.

MOE_HISTORIES says how many (10,000 unless told), MOE_FIRST_SEED where the seeds begin. One failing seed is one command
to look at.
"""

import os

import pytest

from tests.moe_worker.protocol.simulation.history import run_history

HISTORIES = int(os.environ.get("MOE_HISTORIES", "10000"))
FIRST_SEED = int(os.environ.get("MOE_FIRST_SEED", "0"))
CHUNK = 250


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + HISTORIES, CHUNK))
def test_every_request_of_every_history_gets_its_tokens(first: int) -> None:
    for seed in range(first, min(first + CHUNK, FIRST_SEED + HISTORIES)):
        try:
            run_history(seed)
        except Exception as error:
            raise AssertionError(
                f"history {seed}: {error!r}; python -m tests.moe_worker.protocol.simulation {seed} tells it"
            ) from error


def test_a_seed_is_a_history() -> None:
    told: list[list[str]] = [[], []]
    for lines in told:
        run_history(8, tracer=lambda turn, text, lines=lines: lines.append(f"{turn} {text}"))
    assert told[0] == told[1]
    assert len(told[0]) > 50
