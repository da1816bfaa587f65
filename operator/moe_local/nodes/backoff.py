"""How long a container that ended waits for its restart. Knows no clock: the caller says how long it ran."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class Backoff:
    """Doubles from `first` to `limit` seconds; forgets everything after a run of `reset` seconds."""

    first: float = 0.5
    limit: float = 300.0
    reset: float = 600.0
    _next: float = 0.0

    def after(self, ran_seconds: float) -> float:
        """The seconds to wait now."""
        if ran_seconds >= self.reset or not self._next:
            self._next = self.first
        delay = self._next
        self._next = min(delay * 2, self.limit)
        return delay


def restarts(policy: str, exit_code: int) -> bool:
    """Whether a container that ended with this code is started again."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)
