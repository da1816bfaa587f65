"""How much one rank can be made to hold, whatever its peers do: the numbers the planner counts and the simulation
checks.

The head admits at most M = `max_steps_in_flight` steps of at most T = `max_step_tokens` tokens, those included that
earlier lives may have left on the links, until a Reset has come round the ring behind them; so no link and no rank of
the ring ever has more than M steps of a lane. A rank takes steps of as many lanes as it may have seats for, executes
one step of a lane at a time, one layer at a time; a token goes to at most k = `experts_per_token` experts; and a host
owes at most one answer for each (connection, lane, expert).
"""

from dataclasses import dataclass

from moe_worker.protocol.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Rows of hidden size, at one rank, at any moment."""

    step_rows: int
    asked_rows: int
    queued_rows: int

    @property
    def total_rows(self) -> int:
        return self.step_rows + 2 * self.asked_rows + 2 * self.queued_rows


def bounds(settings: Settings, *, ranks_per_stage: int, experts_per_token: int) -> Bounds:
    """With L = `lanes_per_rank` and R ranks in the stage:

    step_rows   = L * M * T      steps that wait or are under way
    asked_rows  = L * T * k      sub-batches asked of others; as many rows again of their answers
    queued_rows = R * L * T * k  sub-batches of all ranks waiting at this host; as many again of their answers

    R * L counts a lane once for each rank that might believe to hold it; in a settled layout all lanes of the stage
    are R, not R * L.
    """
    lane_rows = settings.lanes_per_rank * settings.max_step_tokens
    return Bounds(
        step_rows=lane_rows * settings.max_steps_in_flight,
        asked_rows=lane_rows * experts_per_token,
        queued_rows=ranks_per_stage * lane_rows * experts_per_token,
    )
