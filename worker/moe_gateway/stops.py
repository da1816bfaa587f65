"""Finds stop strings in text that comes in pieces. Knows nothing of tokens."""

from collections.abc import Sequence


class StopFinder:
    """Passes text on, holding back only what may still become a stop string; cuts before the first that is complete."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.is_hit = False

    def push(self, text: str) -> str:
        """The text that is now certain to belong to the answer."""
        if self.is_hit or not self._stops:
            return "" if self.is_hit else text
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.is_hit = True
            return self._release(min(found))
        return self._release(len(self._held) - self._length_of_possible_beginning())

    def flush(self) -> str:
        """What was held back, once no more text comes."""
        return "" if self.is_hit else self._release(len(self._held))

    def _release(self, end: int) -> str:
        text, self._held = self._held[:end], self._held[end:]
        return text

    def _length_of_possible_beginning(self) -> int:
        longest = max(len(stop) for stop in self._stops) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
