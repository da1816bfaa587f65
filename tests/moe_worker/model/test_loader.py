import select
import threading

import pytest
import torch

from moe_worker.model.errors import CheckpointError
from moe_worker.model.feed_forward import FeedForward
from moe_worker.model.loader import ExpertLoader
from moe_worker.model.projection import Projection

WEIGHTS = FeedForward(gate_up=Projection(weight=torch.empty(2, 1)), down=Projection(weight=torch.empty(1, 1)))


class Reader:
    """Reads when it is let; expert 13 is broken."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.read: list[int] = []

    def __call__(self, expert: int) -> FeedForward:
        assert self.gate.acquire(timeout=10)
        self.read.append(expert)
        if expert == 13:
            raise CheckpointError("expert 13", "is broken", "mend it")
        return WEIGHTS


def ended(loader: ExpertLoader) -> list[tuple[int, str | None]]:
    """What has ended, once the descriptor says that something has."""
    assert select.select([loader.wakeup_fd], [], [], 10)[0]
    return loader.loaded()


def test_loading_goes_on_beside_and_wakes_the_owner() -> None:
    loader = ExpertLoader(reader := Reader())
    loader.load(4)
    loader.load(4)
    assert loader.loaded() == []
    assert not select.select([loader.wakeup_fd], [], [], 0)[0]
    reader.gate.release()
    assert ended(loader) == [(4, None)]
    assert not select.select([loader.wakeup_fd], [], [], 0)[0]
    assert loader.held(4) is WEIGHTS
    loader.close()


def test_a_broken_expert_is_reported_and_may_be_tried_again() -> None:
    loader = ExpertLoader(reader := Reader())
    for _ in range(2):
        loader.load(13)
        reader.gate.release()
        assert ended(loader) == [(13, "expert 13: is broken; mend it")]
        with pytest.raises(KeyError):
            loader.held(13)
    loader.close()


def test_a_load_that_was_dropped_leaves_nothing() -> None:
    loader = ExpertLoader(reader := Reader())
    loader.load(4)
    loader.drop(4)
    loader.load(5)
    reader.gate.release(2)
    found: list[tuple[int, str | None]] = []
    while not found:
        found += ended(loader)
    assert found == [(5, None)]
    with pytest.raises(KeyError):
        loader.held(4)
    loader.drop(5)
    with pytest.raises(KeyError):
        loader.held(5)
    loader.close()
