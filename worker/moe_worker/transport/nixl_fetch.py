"""One parcel on its way in: its payload is read, and after that its stamp, which says whether the payload was whole.

Nothing that the peer says decides where bytes are written, and nothing outside the memory that it offered is read.
"""

from dataclasses import dataclass

from moe_wire.errors import WireError
from moe_wire.framing import Decoder, payload_bytes_of
from moe_wire.messages import Dispatch, Parcel, Result, Source, Step
from moe_worker.transport.nixl_agent import Agent, FetchError, Reading
from moe_worker.transport.nixl_landing import Landing, Place
from moe_worker.transport.nixl_shelf import STAMP, STAMP_BYTES

Rows = Dispatch | Result | Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Memory that the agent `name` lets us read."""

    name: str
    source: Source


class Fetch:
    """`num_bytes` is the payload's. Without a `head` it is a trial, which carries no message."""

    def __init__(self, agent: Agent, landing: Landing, offer: Offer, parcel: Parcel) -> None:
        """Raises WireError for a parcel that does not lie in the memory offered, or is larger than what can land."""
        self.parcel = parcel
        self.num_bytes = payload_bytes_of(parcel.head) if parcel.head else 0
        self._agent = agent
        self._landing = landing
        self._offer = offer
        self._place: Place | None = None
        self._reading: Reading | None = None
        self._is_whole = self.num_bytes == 0
        end = parcel.offset + STAMP_BYTES + self.num_bytes
        if end > offer.source.num_bytes or STAMP_BYTES + self.num_bytes > landing.num_bytes:
            rule = f"it must end within {offer.source.num_bytes} bytes and fit into {landing.num_bytes}"
            raise WireError(f"a parcel of {self.num_bytes} bytes at {parcel.offset}; {rule}")

    def advance(self) -> bool:
        """Do what can be done now; whether all is here. Raises FetchError."""
        if self._place is None:
            self._place = self._landing.take(STAMP_BYTES + self.num_bytes)
            if self._place is None:
                return False
        while True:
            if self._reading is None:
                self._reading = self._begin(self._place)
            if not self._reading.is_done():
                return False
            self._reading.drop()
            self._reading = None
            if self._is_whole:
                return self._is_valid(self._place)
            self._is_whole = True

    def take(self) -> Rows | None:
        """The message that is here now, its payload copied, so that the place is free again. Raises WireError."""
        assert self._place is not None
        if not self.parcel.head:
            self._release()
            return None
        frame = b"".join([self.parcel.head, self._place.view()[STAMP_BYTES:]])
        self._release()
        messages = Decoder(len(frame)).feed(frame)
        if len(messages) != 1 or not isinstance(messages[0], Dispatch | Result | Step):
            raise WireError("a parcel that is no message with rows")
        return messages[0]

    def drop(self) -> None:
        """Not wanted any more."""
        if self._reading is not None and self._place is not None:
            self._reading.drop()
            self._landing.abandon(self._place)
            self._place = None
        self._release()

    def _begin(self, place: Place) -> Reading:
        """Of the payload, and when that is here of the stamp."""
        start = self._offer.source.address + self.parcel.offset
        if self._is_whole:
            return self._agent.read(self._offer.name, start, STAMP.size, place.address)
        return self._agent.read(self._offer.name, start + STAMP_BYTES, self.num_bytes, place.address + STAMP_BYTES)

    def _is_valid(self, place: Place) -> bool:
        (stamp,) = STAMP.unpack_from(place.view())
        if stamp != self.parcel.stamp:
            raise FetchError(f"parcel {self.parcel.stamp} is no longer there")
        return True

    def _release(self) -> None:
        if self._place is not None:
            self._landing.give(self._place)
            self._place = None
