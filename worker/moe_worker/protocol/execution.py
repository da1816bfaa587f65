"""One step inside one rank: through the stage's layers in turn, waiting at each for every expert it was routed to.

It knows layers and answers, nothing of terms above its own or of what made the step. A layer is combined only when the
last of its answers is there, so a step is never finished with a hole; an abandoned step gives up its sub-batches and
is never touched again.
"""

from collections.abc import Sequence

from moe_wire.messages import Payload, Step
from moe_worker.protocol.compute import Compute, Sampled
from moe_worker.protocol.requests import Requests


class Execution:
    """A step under way. It can advance whenever `is_ready`."""

    __slots__ = ("_answers", "_awaited", "_batch", "_compute", "_layer", "_layers", "_requests", "is_ready", "step")

    def __init__(self, compute: Compute, requests: Requests, layers: range, step: Step) -> None:
        self.step = step
        self._compute = compute
        self._requests = requests
        self._layers = layers
        self._layer = layers.start
        self._awaited: set[int] = set()
        self._answers: dict[int, Payload] = {}
        self.is_ready = False

    def begin(self, tokens: Sequence[Sequence[int]] | None, hidden: Payload | None) -> None:
        """Free what the step frees, place its rows, and ask the experts of the first layer."""
        step = self.step
        if step.freed:
            self._compute.free(step.lane, step.freed)
        self._batch = self._compute.begin(step.lane, step.segments, tokens, hidden)
        self._attend()

    def on_answer(self, expert: int, rows: Payload) -> bool:
        """Take an answer that counts; True if it was the last that the layer waited for."""
        self._awaited.discard(expert)
        self._answers[expert] = rows
        self.is_ready = not self._awaited
        return self.is_ready

    def advance(self) -> Payload | Sampled | None:
        """Combine the layer and ask for the next; after the last, what the stage hands on."""
        self._compute.combine(self._batch, self._layer, self._answers)
        self._layer += 1
        if self._layer < self._layers.stop:
            self._answers = {}
            self._attend()
            return None
        return self._compute.finish(self._batch)

    def abandon(self) -> None:
        step = self.step
        self._requests.abandon(step.lane, self._awaited)
        self._awaited = set()
        self.is_ready = False

    def _attend(self) -> None:
        routed = self._compute.attend(self._batch, self._layer)
        self._awaited = {one.expert for one in routed}
        self.is_ready = not routed
        self._requests.ask(self.step, self._layer, routed)
