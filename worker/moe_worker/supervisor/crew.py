"""A pod's ranks: forks them, hears them, kills what hangs, and keeps each told of the newest view.

Joins the pure seats with real processes. Knows no Kubernetes: seats and views are handed in. Not asynchronous: the
event loop calls it when a socket has something, and tick() every TICK_S.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from moe_api.stage import StageDrillSpec
from moe_worker.control import ControlChannel, ControlClosed
from moe_worker.logs import Logger
from moe_worker.protocol.view import View
from moe_worker.rank_settings import RankSettings
from moe_worker.supervisor.forks import Exited, Forked
from moe_worker.supervisor.seat import Rules, Seat

TICK_S = 0.25
LATE_S = 0.5
SUSPICIOUS_SHARE = 0.6
"""Of the silence that counts as a hang: longer than a calm rank's beat where it is 2 s. Then the rank is asked."""


class ForkOrders(Protocol):
    """The part of Forks that a crew needs."""

    def fork(self, settings: dict[str, Any]) -> ControlChannel: ...

    def kill(self, rank: int) -> None: ...

    def freeze(self, rank: int) -> None: ...

    def news(self) -> list[Forked | Exited]: ...


class Listener(Protocol):
    """Where a crew asks to be called when a channel has something to read."""

    def add(self, fileno: int, on_readable: Callable[[], None]) -> None: ...

    def remove(self, fileno: int) -> None: ...


@dataclass(kw_only=True)
class Member:
    """A seat, the process in it, and the channel to it."""

    seat: Seat
    pid: int | None = None
    channel: ControlChannel | None = None
    view: View | None = None
    starved_s: float | None = None
    forked_at: float = 0.0


@dataclass(kw_only=True)
class Crew:
    """`make_settings(seat, incarnation)` gives a fork its settings; `changed` is called after whatever may change
    the report.
    """

    forks: ForkOrders
    listener: Listener
    rules: Rules
    make_settings: Callable[[Seat], RankSettings]
    changed: Callable[[], None]
    clock: Callable[[], float]
    run_delay: Callable[[int], float]
    log: Logger
    members: dict[int, Member] = field(default_factory=dict)
    is_stopping: bool = False
    _last_tick: float | None = None
    _loads_every: float | None = None

    def seats(self) -> list[Seat]:
        return [member.seat for member in self.members.values()]

    def man(self, seats: Iterable[Seat]) -> None:
        """Take these seats and start their ranks."""
        for seat in seats:
            self.members[seat.rank] = Member(seat=seat)
        self._fork_due(self.clock())
        self.changed()

    def show(self, views: Mapping[int, View]) -> None:
        """Tell each rank what is news to it of its surroundings, also the processes to come."""
        for rank, view in views.items():
            member, part = self.members[rank], view.of_rank(rank)
            if part.is_news_after(member.view):
                member.view = part
                if member.channel is not None:
                    member.channel.send({"view": part.to_dict()})

    def want_loads(self, every_seconds: float) -> None:
        """Tell the ranks how often their loads are reported, where that has changed; a new one's settings say it."""
        if every_seconds != self._loads_every:
            self._loads_every = every_seconds
            for member in self.members.values():
                if member.channel is not None:
                    member.channel.send({"loads_every": every_seconds})

    def dismiss(self) -> None:
        """Kill all ranks and forget the seats: no layout names this pod."""
        for rank, member in self.members.items():
            if member.seat.is_running:
                self.forks.kill(rank)
            self._hang_up(member)
        self.members.clear()
        self.changed()

    def rehearse(self, drill: StageDrillSpec, seconds: float) -> None:
        """Make the drill's rank fail, a GPU for that long."""
        member = self.members[drill.rank]
        self.log.warning(f"drill {drill.name}: rank {drill.rank} fails ({drill.failure})")
        if drill.failure == "device":
            member.seat.take_for_broken(f"drill {drill.name}", self.clock() + seconds)
        if member.seat.is_running:
            (self.forks.freeze if drill.failure == "hang" else self.forks.kill)(drill.rank)
        self.changed()

    def stop(self) -> None:
        """Ask all ranks to end; nothing is forked again."""
        self.is_stopping = True
        for member in self.members.values():
            if member.channel is not None:
                member.channel.send({"stop": True})

    def hang_up(self) -> None:
        """Close every channel."""
        for member in self.members.values():
            self._hang_up(member)

    def is_idle(self) -> bool:
        return not any(member.seat.is_running for member in self.members.values())

    def hear_forks(self) -> None:
        """The fork server has news. Raises ForkServerGone."""
        now = self.clock()
        for news in self.forks.news():
            member = self.members.get(news.rank)
            if member is None:
                if isinstance(news, Forked):
                    self.forks.kill(news.rank)
            elif isinstance(news, Forked):
                member.pid = news.pid
            elif member.pid == news.pid:
                self._exited(member, news, now)

    def tick(self) -> None:
        """What only time brings about: hangs, retries, healing."""
        now = self.clock()
        self._forgive_own_sleep(now)
        for member in self.members.values():
            self._watch_over(member, now)
        self._fork_due(now)

    def _forgive_own_sleep(self, now: float) -> None:
        slept = now - (self._last_tick if self._last_tick is not None else now)
        self._last_tick = now
        if slept > LATE_S:
            for member in self.members.values():
                member.seat.forgive(slept)

    def _watch_over(self, member: Member, now: float) -> None:
        seat = member.seat
        before = (seat.state, seat.reason)
        seat.tick(now)
        if before != (seat.state, seat.reason):
            self.changed()
        if member.channel is not None:
            member.channel.flush()
            if last := member.channel.pulse.last():
                seat.beat(last)
        if member.pid is None or seat.silence(now) < SUSPICIOUS_SHARE * self.rules.heartbeat_seconds:
            member.starved_s = None
            return
        starved_s = self.run_delay(member.pid)
        if member.starved_s is not None:
            seat.forgive(max(starved_s - member.starved_s, 0.0))
        elif member.channel is not None:
            member.channel.send({"answer": True})
        member.starved_s = starved_s
        if seat.is_hung(now, self.rules):
            seat.hung(now)
            self.log.warning(f"rank {seat.rank} (pid {member.pid}) gives no sign of life, killed")
            self.forks.kill(seat.rank)

    def _fork_due(self, now: float) -> None:
        for member in self.members.values():
            if not self.is_stopping and member.seat.may_fork(now):
                self._fork(member, now)

    def _fork(self, member: Member, now: float) -> None:
        try:
            settings = self.make_settings(member.seat)
        except OSError as error:
            self._could_not_fork(member.seat, error, now)
            return
        channel = self.forks.fork(settings.to_json())
        member.channel, member.pid, member.starved_s, member.forked_at = channel, None, None, now
        member.seat.forked(settings.incarnation, now)
        if member.view is not None:
            channel.send({"view": member.view.to_dict()})
        self.listener.add(channel.fileno(), lambda: self._hear(member, channel))
        self.log.info(f"rank {member.seat.rank} forked, incarnation {settings.incarnation}")

    def _could_not_fork(self, seat: Seat, error: OSError, now: float) -> None:
        found = f"the pod's state folder cannot be written ({error}); make room on its disk, it is tried again"
        self.log.error(f"rank {seat.rank}: {found}")
        seat.could_not_fork(found, now)
        self.changed()

    def _hear(self, member: Member, channel: ControlChannel) -> None:
        try:
            messages = channel.read()
        except ControlClosed:
            self._hang_up(member)
            return
        now = self.clock()
        for words in messages:
            if "suspects" in words:
                self._have_all_ask()
            else:
                self._heard(member.seat, words, now)

    def _have_all_ask(self) -> None:
        """One rank does not hear a peer: soon it is known whether that is the peer's pod or the peer alone."""
        for member in self.members.values():
            if member.channel is not None:
                member.channel.send({"ask_all": True})

    def _heard(self, seat: Seat, words: dict[str, Any], now: float) -> None:
        before = (seat.state, seat.reason)
        seat.heard(words, now)
        if before != (seat.state, seat.reason):
            self.log.info(f"rank {seat.rank} is {seat.state}" + (f": {seat.reason}" if seat.reason else ""))
        self.changed()

    def _exited(self, member: Member, news: Exited, now: float) -> None:
        seat = member.seat
        if member.channel is not None:
            self._hear(member, member.channel)
        self._hang_up(member)
        reason_before = seat.reason
        seat.exited(news.code, news.how, now, self.rules)
        member.pid = None
        if not self.is_stopping:
            alive_ms = (now - member.forked_at) * 1000
            self.log.warning(f"rank {seat.rank} (pid {news.pid}) ended after {alive_ms:.0f} ms: {news.how}")
        if seat.reason and seat.reason != reason_before:
            self.log.error(f"GPU {seat.gpu} of rank {seat.rank} counts as failed: {seat.reason}")
        self._fork_due(now)
        self.changed()

    def _hang_up(self, member: Member) -> None:
        if member.channel is not None:
            self.listener.remove(member.channel.fileno())
            member.channel.close()
            member.channel = None
