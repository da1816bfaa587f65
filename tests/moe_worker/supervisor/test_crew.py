"""A crew with invented processes and an invented clock: what is forked, shown, killed and forgotten, and when."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any

import pytest

from moe_api.stage import StageDrillSpec
from moe_worker.control import ControlChannel, open_channel, take_channel
from moe_worker.errors import EXIT_DEVICE
from moe_worker.logs import Logger
from moe_worker.protocol.view import SeatView, StageView, View
from moe_worker.rank_settings import RankSettings
from moe_worker.supervisor.crew import Crew
from moe_worker.supervisor.forks import Exited, Forked
from moe_worker.supervisor.seat import Rules, Seat

STATUS = {"epoch": 1, "held": [0], "loading": [], "failed": [], "unreachable": []}


@dataclass
class World:
    """Stands for the fork server, the event loop, the clock and the kernel."""

    now: float = 100.0
    starved_s: float = 0.0
    orders: list[str] = field(default_factory=list)
    pending: list[Forked | Exited] = field(default_factory=list)
    ends: dict[int, ControlChannel] = field(default_factory=dict)
    readers: dict[int, Callable[[], None]] = field(default_factory=dict)
    num_changes: int = 0
    next_pid: int = 100
    incarnation: int = 0
    is_disk_full: bool = False

    def fork(self, settings: dict[str, Any]) -> ControlChannel:
        ours, theirs = open_channel()
        rank = settings["rank"]
        self.orders.append(f"fork {rank}")
        if rank in self.ends:
            self.ends[rank].close()
        self.ends[rank] = take_channel(theirs)
        self.pending.append(Forked(rank=rank, pid=self.next_pid))
        self.next_pid += 1
        return ours

    def kill(self, rank: int) -> None:
        self.orders.append(f"kill {rank}")

    def freeze(self, rank: int) -> None:
        self.orders.append(f"freeze {rank}")

    def news(self) -> list[Forked | Exited]:
        heard, self.pending = self.pending, []
        return heard

    def add(self, fileno: int, on_readable: Callable[[], None]) -> None:
        self.readers[fileno] = on_readable

    def remove(self, fileno: int) -> None:
        del self.readers[fileno]

    def changed(self) -> None:
        self.num_changes += 1

    def settings(self, seat: Seat) -> RankSettings:
        if self.is_disk_full:
            raise OSError("No space left on device")
        self.incarnation += 1
        return RankSettings(
            deployment="d", replica=0, rank=seat.rank, gpu=seat.gpu, pod_uid="u", incarnation=self.incarnation,
            address=seat.address, secret_file="", model_path="", dtype="float32", shape={}, engine={},
        )  # fmt: skip

    def run_readers(self) -> None:
        for on_readable in list(self.readers.values()):
            on_readable()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for end in world.ends.values():
        end.close()


@pytest.fixture
def crew(world: World) -> Iterator[Crew]:
    crew = Crew(
        forks=world, listener=world, rules=Rules(heartbeat_seconds=2.0, restart_budget=3), changed=world.changed,
        make_settings=world.settings, clock=lambda: world.now, run_delay=lambda pid: world.starved_s,
        log=Logger("test", StringIO()),
    )  # fmt: skip
    crew.man([Seat(0, 0, "a:1"), Seat(1, 1, "a:2")])
    crew.hear_forks()
    for rank in (0, 1):
        say(world, rank, STATUS)
    crew.tick()
    yield crew
    crew.hang_up()


def say(world: World, rank: int, words: dict[str, Any] | None = None) -> None:
    """The rank says something; nothing means a sign of life."""
    if words is None:
        world.ends[rank].pulse.beat(world.now)
    else:
        world.ends[rank].send(words)
    world.run_readers()


def advance(world: World, crew: Crew, seconds: float, *, beating: tuple[int, ...]) -> None:
    """Time passes in steps of 100 ms; these ranks beat."""
    for _ in range(round(seconds * 10)):
        world.now += 0.1
        for rank in beating:
            say(world, rank)
        crew.tick()


def test_each_seat_is_forked_and_a_death_is_answered_by_a_fork_at_once(world: World, crew: Crew) -> None:
    world.pending.append(Exited(rank=1, pid=101, code=None, how="SIGKILL"))
    crew.hear_forks()
    assert world.orders == ["fork 0", "fork 1", "fork 1"]


def test_views_are_sent_when_they_change_and_to_every_new_process(world: World, crew: Crew) -> None:
    view = View(own=StageView.unknown(0), previous=StageView.unknown(1), next=StageView.unknown(1))
    crew.show({0: view, 1: view})
    crew.show({0: view, 1: view})
    assert world.ends[0].read() == [{"view": view.to_dict()}]
    world.pending.append(Exited(rank=1, pid=101, code=1, how="exit status 1"))
    crew.hear_forks()
    assert world.ends[1].read() == [{"view": view.to_dict()}]


def test_a_rank_is_told_of_a_neighbour_only_what_concerns_it(world: World, crew: Crew) -> None:
    own = replace(StageView.unknown(0), lanes={0: 0, 1: 1})
    seats = {rank: SeatView(rank=rank, pod_uid=f"pod{rank}", gpu=0, address=f"10.0.0.{rank}:7") for rank in (2, 3)}
    following = replace(StageView.unknown(1), seats=seats, lanes={0: 2, 1: 2})
    view = View(own=own, previous=StageView.unknown(1), next=following)
    crew.show({0: view, 1: view})
    for rank in (0, 1):
        world.ends[rank].read()
    moved = replace(view, next=replace(following, epoch=1, lanes={0: 2, 1: 3}))
    crew.show({0: moved, 1: moved})
    assert world.ends[0].read() == []
    assert world.ends[1].read() == [{"view": moved.of_rank(1).to_dict()}]


def test_ranks_are_told_how_often_loads_are_wanted_once_for_each_change(world: World, crew: Crew) -> None:
    for seconds in (600.0, 600.0, 5.0):
        crew.want_loads(seconds)
    assert world.ends[0].read() == [{"loads_every": 600.0}, {"loads_every": 5.0}]


def test_a_silent_rank_is_killed_once_and_a_beating_one_never(world: World, crew: Crew) -> None:
    for rank in (0, 1):
        say(world, rank)
    advance(world, crew, 3.5, beating=(0,))
    assert world.orders == ["fork 0", "fork 1", "kill 1"]


def test_a_rank_is_asked_before_its_silence_counts_as_a_hang(world: World, crew: Crew) -> None:
    for rank in (0, 1):
        say(world, rank)
    advance(world, crew, 1.1, beating=())
    assert world.ends[1].read() == []
    advance(world, crew, 0.3, beating=(0,))
    assert (world.ends[0].read(), world.ends[1].read()) == ([], [{"answer": True}])
    advance(world, crew, 0.3, beating=(0, 1))
    assert world.orders == ["fork 0", "fork 1"]


def test_time_in_which_the_supervisor_slept_is_no_silence(world: World, crew: Crew) -> None:
    for rank in (0, 1):
        say(world, rank)
    world.now += 30.0
    crew.tick()
    assert world.orders == ["fork 0", "fork 1"]
    advance(world, crew, 2.5, beating=(0,))
    assert world.orders[-1] == "kill 1"


def test_a_rank_that_gets_no_cpu_is_no_hang(world: World, crew: Crew) -> None:
    for rank in (0, 1):
        say(world, rank)
    for _ in range(40):
        world.starved_s += 0.1
        advance(world, crew, 0.1, beating=(0,))
    assert world.orders == ["fork 0", "fork 1"]


def test_last_words_are_the_reason_of_a_failed_device(world: World, crew: Crew) -> None:
    world.pending.append(Exited(rank=1, pid=101, code=None, how="SIGKILL"))
    crew.hear_forks()
    crew.hear_forks()
    world.ends[1].send({"last_words": "XID 79"})
    world.pending.append(Exited(rank=1, pid=102, code=EXIT_DEVICE, how="exit status 86"))
    crew.hear_forks()
    assert crew.members[1].seat.reason == "XID 79"
    assert world.orders == ["fork 0", "fork 1", "fork 1"]
    advance(world, crew, 1.1, beating=(0,))
    assert world.orders == ["fork 0", "fork 1", "fork 1", "fork 1"]


@pytest.mark.parametrize(("failure", "order"), [("exit", "kill 1"), ("hang", "freeze 1"), ("device", "kill 1")])
def test_a_drill_makes_its_rank_fail_and_only_a_broken_gpu_is_told(
    world: World, crew: Crew, failure: str, order: str
) -> None:
    drill = StageDrillSpec.model_validate({"name": "d", "rank": 1, "failure": failure, "until": ""})
    crew.rehearse(drill, 5.0)
    assert world.orders[2:] == [order]
    reasons = [seat.reason for seat in crew.seats()]
    assert reasons == ["", "drill d" if failure == "device" else ""]


def test_a_gpu_broken_by_a_drill_is_tried_again_when_the_drill_is_over(world: World, crew: Crew) -> None:
    crew.rehearse(StageDrillSpec(name="d", rank=1, failure="device", until=""), 5.0)
    world.pending.append(Exited(rank=1, pid=101, code=None, how="SIGKILL"))
    crew.hear_forks()
    advance(world, crew, 4.9, beating=(0,))
    assert world.orders[2:] == ["kill 1"]
    advance(world, crew, 0.2, beating=(0,))
    assert world.orders[2:] == ["kill 1", "fork 1"]


def test_a_rank_that_cannot_be_forked_for_want_of_disk_is_told_and_tried_again(world: World, crew: Crew) -> None:
    world.is_disk_full = True
    world.pending.append(Exited(rank=1, pid=101, code=None, how="SIGKILL"))
    crew.hear_forks()
    seat = crew.members[1].seat
    # Its GPU is what is lost, so that its experts go to another; the model itself can be served.
    assert (seat.state, seat.error) == ("failed", "")
    assert seat.reason.startswith("the pod's state folder cannot be written (No space left on device)")
    world.is_disk_full = False
    advance(world, crew, 1.1, beating=(0,))
    assert world.orders == ["fork 0", "fork 1", "fork 1"]
    say(world, 1, STATUS)
    assert (seat.state, seat.reason) == ("serving", "")


def test_when_one_rank_has_a_suspect_all_are_to_ask(world: World, crew: Crew) -> None:
    say(world, 0, {"suspects": [9]})
    assert [end.read() for end in world.ends.values()] == [[{"ask_all": True}], [{"ask_all": True}]]


def test_dismissed_ranks_are_killed_and_news_of_them_ignored(world: World, crew: Crew) -> None:
    crew.dismiss()
    assert world.orders[-2:] == ["kill 0", "kill 1"]
    world.pending += [Exited(rank=0, pid=100, code=None, how="SIGKILL"), Forked(rank=1, pid=300)]
    crew.hear_forks()
    assert world.orders[-1] == "kill 1"
    assert crew.seats() == []


def test_the_end_of_an_earlier_process_says_nothing_about_the_present_one(world: World, crew: Crew) -> None:
    world.pending.append(Exited(rank=1, pid=99, code=None, how="SIGKILL"))
    crew.hear_forks()
    assert crew.members[1].seat.is_running
    assert world.orders == ["fork 0", "fork 1"]


def test_after_stop_nothing_is_forked_again(world: World, crew: Crew) -> None:
    crew.stop()
    assert json.loads(json.dumps(world.ends[0].read())) == [{"stop": True}]
    world.pending += [Exited(rank=rank, pid=100 + rank, code=0, how="exit status 0") for rank in (0, 1)]
    crew.hear_forks()
    assert crew.is_idle()
    assert world.orders == ["fork 0", "fork 1"]
