"""When to dial a peer again, and since when it has been out of reach. Pure: the clock is handed in, sockets are
elsewhere.
"""

from moe_worker.protocol.view import SeatView

FIRST_BACKOFF_S = 0.010
MAX_BACKOFF_S = 0.500
GROWTH = 1.25
"""So that nobody is dialled later than a quarter of the time that he was away: streams wait for a seat that is back."""


class Dialing:
    """One wanted peer. `retry_at` is None while an attempt or a connection lives; `lost_at` is None while the peer
    is connected.
    """

    __slots__ = ("backoff", "lost_at", "retry_at", "seat")

    def __init__(self, seat: SeatView, now: float) -> None:
        self.seat = seat
        self.backoff = FIRST_BACKOFF_S
        self.retry_at: float | None = now
        self.lost_at: float | None = now

    def started(self) -> None:
        """An attempt is under way."""
        self.retry_at = None

    def succeeded(self) -> None:
        self.backoff = FIRST_BACKOFF_S
        self.lost_at = None

    def failed(self, now: float, silent_since: float | None = None) -> None:
        """An attempt failed or the connection was lost, on which the peer may have been silent for a while: again
        after the backoff, which grows.
        """
        if self.lost_at is None:
            self.lost_at = now if silent_since is None else silent_since
        self.retry_at = now + self.backoff
        self.backoff = min(self.backoff * GROWTH, MAX_BACKOFF_S)

    def hurry(self, now: float) -> None:
        """It is there, for it has just dialled us: no backoff is to be waited for."""
        self.backoff = FIRST_BACKOFF_S
        if self.retry_at is not None:
            self.retry_at = now

    def is_due(self, now: float) -> bool:
        return self.retry_at is not None and self.retry_at <= now
