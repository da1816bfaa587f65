"""The one loop of a rank: sockets, control channel, one unit of work at a time, a beat every 500 ms, or every second
where all is calm. It waits in poll() only.

Brings core, transport, device and control channel together and knows nothing of what they do.
"""

from collections.abc import Callable
from typing import Any, Protocol

from moe_wire.messages import Load
from moe_worker.control import ControlChannel, ControlClosed
from moe_worker.logs import Logger
from moe_worker.protocol.rank import RankCore
from moe_worker.protocol.status import RankStatus
from moe_worker.protocol.view import View
from moe_worker.service_times import ServiceTimes
from moe_worker.transport.tcp import TcpTransport

BEAT_S = 0.5
CALM_BEAT_S = 1.0
"""Where all peers are heard and no gateway waits to hear of a lane's load: half of what hundreds of idle ranks cost."""
UNREACHABLE_S = 1.5
SUSPECT_S = 0.4
STAMP_S = 0.1
"""Between two signs of life, where turns follow each other faster."""
LATE_S = 0.25
LOADS_A_REPORT, MOST_LOAD_S = 5, 30.0
"""How often a rank tells its load while its pod reports it once: each tells at its own time, and reports of ranks that
had told at very different ones would show loads that nobody had.
"""
SETTLED_S = 1.0
"""Until then streams may wait for what a new rank does: dial, load, be dialled, and the first steps."""


class Checked(Protocol):
    """The part of a device that the loop needs."""

    def check(self) -> None:
        """Raises when the device can no longer be trusted."""


class RankLoop:
    """`run` ends when the supervisor says so or is gone; whatever the core or the device raises goes through.

    `settled` is called once, when the rank has served for a while and loads nothing.
    """

    def __init__(
        self,
        *,
        core: RankCore,
        transport: TcpTransport,
        control: ControlChannel,
        device: Checked,
        times: ServiceTimes,
        settled: Callable[[], object],
        clock: Callable[[], float],
        log: Logger,
        loads_every_seconds: float,
    ) -> None:
        self._core = core
        self._is_first = core.settings.is_first
        self._transport = transport
        self._control = control
        self._device = device
        self._times = times
        self._settled: Callable[[], object] | None = settled
        self._clock = clock
        self._log = log
        self._is_woken = False
        self._is_stopped = False
        self._may_have_changed = True
        self._was_calm = False
        self._told: dict[str, Any] = {"unreachable": []}
        self._num_changes_told = -1
        self._num_done_told = 0
        self._told_gateways: Load | None = None
        self._next_load = 0.0
        self._load_s = _load_period(loads_every_seconds)
        self._told_service_us: dict[int, int] = {}
        self._next_beat = self._next_stamp = 0.0
        self._now = clock()
        self._settled_at = self._now + SETTLED_S
        self._suspects: list[int] = []
        self._load_started: dict[int, float] = {}
        self._terms: dict[int, int] = {}

    def run(self, wakeup_fd: int) -> None:
        """`wakeup_fd` becomes readable when the compute has loaded something."""
        self._transport.watch(self._control.fileno(), self._hear)
        self._transport.watch(wakeup_fd, self._wake)
        while not self._is_stopped:
            self._turn()

    def _turn(self) -> None:
        """Every message of every rank comes this way: what need not be done at each turn is done at a beat."""
        core, transport = self._core, self._transport
        events = transport.poll(0.0 if core.has_work() else self._wait())
        self._now = now = self._clock()
        if now >= self._next_stamp:
            self._next_stamp = now + STAMP_S
            self._control.pulse.beat(now)
        for event in events:
            core.on_event(event, now)
        if self._is_woken or (core.deadline is not None and core.deadline <= now):
            self._is_woken, self._may_have_changed = False, True
            core.tick(now)
        core.run_one(now)
        transport.flush()
        if core.has_notes:
            for note in core.take_notes():
                self._log.info(note)
        if now >= self._next_beat:
            self._beat(now)
        elif self._may_have_changed:
            self._tell_changes(now)

    def _beat(self, now: float) -> None:
        """Little where nothing has happened: hundreds of ranks beat while few have news. The device is looked at here
        too, for those that have nothing to compute.
        """
        late_s = now - self._next_beat if self._next_beat else 0.0
        self._device.check()
        self._control.flush()
        self._transport.beat(late_s if late_s > LATE_S else 0.0)
        if self._settled is not None and now >= self._settled_at and not self._told.get("loading"):
            self._settled()
            self._settled = None
        if self._may_have_changed:
            self._tell_changes(now)
        has_window_ended = self._times.tick(now)
        if has_window_ended:
            self._transport.service_us = self._times.figure_us
        is_calm = self._transport.is_calm()
        if not (is_calm and self._was_calm):
            self._tell_peers(now)
        if has_window_ended or not self._was_calm:
            self._tell_service()
        self._was_calm = is_calm
        self._next_beat = now + (CALM_BEAT_S if is_calm and not self._is_first else BEAT_S)
        if self._is_first:
            self._tell_gateways()
        if now >= self._next_load and self._core.num_done() != self._num_done_told:
            self._tell_load(now)

    def _tell_changes(self, now: float) -> None:
        self._may_have_changed = False
        if self._core.num_changes() != self._num_changes_told:
            self._tell(now)

    def _tell_peers(self, now: float) -> None:
        """Find out who is missing before it is put in words."""
        self._tell_suspects()
        if sorted(self._transport.unreachable(UNREACHABLE_S)) != self._told["unreachable"]:
            self._tell(now)

    def _tell_gateways(self) -> None:
        load = self._core.load()
        if load is not None and load != self._told_gateways:
            self._told_gateways = load
            self._transport.tell_gateways(load)

    def _tell_suspects(self) -> None:
        """Whom one rank does not hear the whole pod is to ask."""
        suspects = self._transport.suspects(SUSPECT_S)
        if set(suspects) - set(self._suspects):
            self._control.send({"suspects": suspects})
        self._suspects = suspects

    def _wait(self) -> float:
        """Reckoned from when the turn before began: by as much as that took the wait is too long, which saves a look at
        the clock for every message.
        """
        deadline = self._core.deadline
        until = self._next_beat if deadline is None or deadline > self._next_beat else deadline
        return until - self._now if until > self._now else 0.0

    def _wake(self) -> None:
        self._is_woken = True

    def _hear(self) -> None:
        try:
            messages = self._control.read()
        except ControlClosed:
            self._is_stopped = True
            return
        for message in messages:
            if "view" in message:
                self._follow(View.from_dict(message["view"]))
            elif "ask_all" in message:
                self._transport.ask_all()
                self._next_beat = min(self._next_beat, self._clock())
            elif "loads_every" in message:
                self._load_s, self._next_load = _load_period(message["loads_every"]), 0.0
            elif "stop" in message:
                self._is_stopped = True
            # What else is said, {"answer": true}, is to wake the loop: every turn is a sign of life.

    def _follow(self, view: View) -> None:
        now = self._clock()
        self._may_have_changed = True
        self._core.on_view(view, now)
        self._transport.follow(view, self._core.wanted_peers())

    def _tell(self, now: float) -> None:
        """Tell the supervisor what has changed: news of the core at once, all else with a beat."""
        self._num_changes_told = self._core.num_changes()
        unreachable = self._transport.unreachable(UNREACHABLE_S)
        status = self._core.status()
        words = {
            "epoch": status.epoch,
            "held": sorted(status.held),
            "loading": sorted(status.loading),
            "failed": sorted(status.failed.items()),
            "unreachable": sorted(unreachable),
        }
        if words == self._told:
            return
        self._log_changes(status, now)
        self._told = words
        self._control.send({**words, "unreachable": sorted(unreachable.items())})

    def _tell_service(self) -> None:
        """Tell the supervisor how fast this rank and those that it watches are, where that has changed by much."""
        figures = self._transport.peers_service_us() | {self._core.identity.rank: self._times.figure_us}
        told = self._told_service_us
        if figures.keys() != told.keys() or any(_differs(figures[rank], told[rank]) for rank in told):
            self._told_service_us = figures
            self._control.send({"service_us": sorted(figures.items())})

    def _tell_load(self, now: float) -> None:
        """Tell the supervisor how much there was to do."""
        self._num_done_told, self._next_load = self._core.num_done(), now + self._load_s
        status = self._core.status()
        lanes = [lane.figures() for lane in status.headed if lane.tokens_admitted]
        figures = {
            "num_passes": status.passes,
            "passes": self._times.passes.figures(),
            "steps": self._times.steps.figures(),
            "sent_again": status.sent_again,
            "breaks": dict(status.breaks),
            "traffic": self._transport.traffic(),
        }
        experts = sorted(status.rows_served.items())
        self._control.send({"load": {"experts": experts, "lanes": lanes, "figures": figures}})

    def _log_changes(self, status: RankStatus, now: float) -> None:
        if status.epoch != self._told.get("epoch"):
            self._log.info(f"follows epoch {status.epoch}: experts {sorted(status.held)}, lanes {sorted(status.lanes)}")
        for expert in status.loading:
            self._load_started.setdefault(expert, now)
        for expert in set(status.held) & set(self._load_started):
            self._log.info(f"expert {expert} loaded in {(now - self._load_started.pop(expert)) * 1000:.0f} ms")
        for expert, reason in status.failed.items():
            if [expert, reason] not in [list(pair) for pair in self._told.get("failed", [])]:
                self._log.error(f"expert {expert} cannot be loaded: {reason}")
        for lane in status.headed:
            if self._terms.get(lane.lane) != lane.term:
                self._terms[lane.lane] = lane.term
                self._log.info(f"lane {lane.lane} begins term {lane.term:#x}")


def _load_period(loads_every_seconds: float) -> float:
    return min(loads_every_seconds / LOADS_A_REPORT, MOST_LOAD_S)


def _differs(one: int, other: int) -> bool:
    return 2 * max(one, other) > 3 * min(one, other)
