"""A whole pipeline on this machine without Kubernetes: ranks as processes over TCP under one static layout.

For development and tests. The ranks are production's; what a supervisor learns from MoEStages is made up here.
"""

import argparse
import os
import secrets
import selectors
import signal
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from moe_wire.messages import Sampling
from moe_worker import fork_server
from moe_worker.local_client import LocalClient
from moe_worker.logs import Logger
from moe_worker.main import import_rank
from moe_worker.model.families.registry import read_family
from moe_worker.protocol.view import SeatView, StageView, View
from moe_worker.rank_settings import RankSettings
from moe_worker.supervisor.crew import TICK_S, Crew
from moe_worker.supervisor.forks import Forks
from moe_worker.supervisor.incarnations import Incarnations
from moe_worker.supervisor.ports import Ports
from moe_worker.supervisor.seat import Rules, Seat
from moe_worker.supervisor.starvation import run_delay

POD = "local"
START_LIMIT_S = 120.0
STOP_LIMIT_S = 2.0


class LocalCluster:
    """`stages` stages of `ranks` ranks each. A context manager; between calls that wait nothing is supervised.

    `prepare` gives what drives a rank; who measures ranks puts something around it.
    """

    def __init__(
        self,
        model: Path,
        *,
        stages: int,
        ranks: int,
        engine: Mapping[str, int] | None = None,
        transport: str = "tcp",
        prepare: Callable[[], fork_server.RunRank] = import_rank,
    ) -> None:
        self._model = model
        self._prepare = prepare
        self._stages = stages
        self._ranks = ranks
        self._engine = dict(engine or {})
        self._transport = transport
        self._config = read_family(model).config
        if self._config.layers % stages:
            raise ValueError(f"{self._config.layers} layers cannot be cut into {stages} equal stages; use a divisor")
        self._selector = selectors.DefaultSelector()
        self._folder = tempfile.TemporaryDirectory(prefix="moe-local-ranks-")
        self._ports = Ports("127.0.0.1")
        self._next_tick = 0.0

    def __enter__(self) -> Self:
        folder = Path(self._folder.name)
        key = secrets.token_bytes(32)
        self.secret_file.write_bytes(urlsafe_b64encode(key))
        self._incarnations = Incarnations(folder)
        self.fork_server_pid, self._orders = fork_server.start(self._prepare)
        self.crew = self._make_crew(Forks(self._orders))
        self._selector.register(self._orders, selectors.EVENT_READ, self.crew.hear_forks)
        heads = {lane: self._ports.address(lane) for lane in range(self._ranks)}
        self.client = LocalClient(self._selector, key, POD, heads)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        for rank in range(self._stages * self._ranks):
            self.crew.man([Seat(rank, rank, self._ports.address(rank))])
            # One by one: the orders of hundreds do not fit between here and the fork server.
            self.wait(self._is_forked, START_LIMIT_S)
        self.crew.show(self.views(self.layout()))
        self.wait(self.is_ready, START_LIMIT_S)

    def close(self) -> None:
        """End the ranks and the fork server, and leave nothing behind."""
        self.crew.stop()
        deadline = time.monotonic() + STOP_LIMIT_S
        while not self.crew.is_idle() and time.monotonic() < deadline:
            self.pump()
        os.kill(self.fork_server_pid, signal.SIGKILL)
        os.waitpid(self.fork_server_pid, 0)
        self.client.close()
        self.crew.hang_up()
        self._selector.close()
        self._orders.close()
        self._ports.close()
        self._folder.cleanup()

    @property
    def secret_file(self) -> Path:
        """The key of the data path, for gateways."""
        return Path(self._folder.name) / "key"

    def pid(self, rank: int) -> int:
        """Of the process now in the seat."""
        pid = self.crew.members[rank].pid
        assert pid is not None, f"rank {rank} has no process"
        return pid

    def _is_forked(self) -> bool:
        return all(member.pid is not None for member in self.crew.members.values())

    def is_ready(self) -> bool:
        """Every rank serves and holds its experts."""
        errors = [seat.error or seat.reason for seat in self.crew.seats() if seat.error or seat.reason]
        if errors:
            raise RuntimeError(errors[0])
        return all(seat.state == "serving" and seat.epoch and not seat.loading for seat in self.crew.seats())

    def wait(self, is_done: Callable[[], bool], limit_s: float) -> None:
        """Raises TimeoutError."""
        deadline = time.monotonic() + limit_s
        while not is_done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not done within {limit_s:g} s")
            self.pump()

    def pump(self) -> None:
        """Let everything happen that is due, waiting at most one tick for it."""
        for key, _ in self._selector.select(max(min(self._next_tick - time.monotonic(), TICK_S), 0.0)):
            key.data()
        now = time.monotonic()
        if now >= self._next_tick:
            self._next_tick = now + TICK_S
            self.crew.tick()

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
        *,
        sampling: Sampling | None = None,
        on_token: Callable[[int, int], None] | None = None,
        limit_s: float = 60.0,
        streams_per_lane: int = 1,
    ) -> list[list[int]]:
        """The new tokens of each prompt; lanes take turns, so many prompts at a time. `on_token` hears (index of the
        prompt, token).
        """
        streams = self.client.submit(prompts, max_tokens, sampling or Sampling(), on_token, streams_per_lane)
        self.wait(lambda: self.client.turn(streams), limit_s)
        return [stream.generated for stream in streams]

    def layout(self) -> list[StageView]:
        """The static layout: experts in order, as evenly as they go; lane i at the stage's i-th rank."""
        return [self._stage(stage) for stage in range(self._stages)]

    def views(self, layout: Sequence[StageView]) -> dict[int, View]:
        """What each rank sees of the layout."""
        around = {
            stage: View(own=layout[stage], previous=layout[stage - 1], next=layout[(stage + 1) % self._stages])
            for stage in range(self._stages)
        }
        return {rank: around[rank // self._ranks] for rank in range(self._stages * self._ranks)}

    def _stage(self, stage: int) -> StageView:
        layers = self._config.layers // self._stages
        experts = self._config.expert_ids(range(stage * layers, (stage + 1) * layers))
        first_rank = stage * self._ranks
        ranks = range(first_rank, first_rank + self._ranks)
        return StageView(
            stage=stage,
            epoch=1,
            seats={
                rank: SeatView(rank=rank, pod_uid=POD, gpu=rank, address=self._ports.address(rank)) for rank in ranks
            },
            serving={
                expert: (first_rank + index * self._ranks // len(experts),) for index, expert in enumerate(experts)
            },
            loading={},
            lanes={lane: first_rank + lane for lane in range(self._ranks)},
        )

    def _make_crew(self, forks: Forks) -> Crew:
        return Crew(
            forks=forks,
            listener=_SelectorListener(self._selector),
            rules=Rules(heartbeat_seconds=2.0, restart_budget=3),
            make_settings=self._rank_settings,
            changed=lambda: None,
            clock=time.monotonic,
            run_delay=run_delay,
            log=Logger("local", sys.stderr),
        )

    def _rank_settings(self, seat: Seat) -> RankSettings:
        stage, layers = seat.rank // self._ranks, self._config.layers // self._stages
        place = {"stage": stage, "stages": self._stages, "first_layer": stage * layers, "num_layers": layers}
        return RankSettings(
            deployment=POD,
            replica=0,
            rank=seat.rank,
            gpu=seat.gpu,
            pod_uid=POD,
            incarnation=self._incarnations.next(seat.rank),
            address=seat.address,
            secret_file=str(self.secret_file),
            model_path=str(self._model),
            dtype="float32",
            shape={},
            engine={**self._engine, **place},
            transport=self._transport,
        )


class _SelectorListener:
    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector

    def add(self, fileno: int, on_readable: Callable[[], None]) -> None:
        self._selector.register(fileno, selectors.EVENT_READ, on_readable)

    def remove(self, fileno: int) -> None:
        self._selector.unregister(fileno)


def main() -> None:
    """Print the tokens, and the text where the checkpoint has a tokenizer, that follow a prompt."""
    parser = argparse.ArgumentParser(prog="python -m moe_worker.local", description=main.__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder")
    parser.add_argument("--stages", type=int, default=1)
    parser.add_argument("--ranks", type=int, default=1, help="of each stage")
    parser.add_argument("--prompt", default="1 2 3", help="a text, or token ids where there is no tokenizer.json")
    parser.add_argument("--max-tokens", type=int, default=16)
    options = parser.parse_args()
    encode, decode = _tokenizer(options.model)
    with LocalCluster(options.model, stages=options.stages, ranks=options.ranks) as cluster:
        (tokens,) = cluster.generate([encode(options.prompt)], options.max_tokens)
    print(" ".join(map(str, tokens)))
    print(decode(tokens))


def _tokenizer(model: Path) -> tuple[Callable[[str], list[int]], Callable[[Sequence[int]], str]]:
    file = model / "tokenizer.json"
    if not file.is_file():
        return (lambda text: [int(word) for word in text.split()]), (lambda tokens: "")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    return (lambda text: list(tokenizer.encode(text).ids)), (lambda tokens: str(tokenizer.decode(list(tokens))))


if __name__ == "__main__":
    main()
