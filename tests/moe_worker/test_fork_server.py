"""Ranks are forked with their settings and channel, their ends are told at once and in words, and none outlives
its parents.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY

import pytest

from moe_worker import fork_server
from moe_worker.control import ControlChannel
from moe_worker.logs import Logger
from moe_worker.supervisor.forks import Exited, Forked, Forks, ForkServerGone


def play(settings: dict[str, Any], control_fd: int) -> int:
    """Stands for a rank: exits with `exit`, dies by `signal`, or stays; says its pid, and which files it has, first."""
    files = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    os.write(control_fd, f'{{"pid":{os.getpid()},"files":{files}}}\n'.encode())
    if "says" in settings:
        Logger("rank").error(settings["says"])
    if "signal" in settings:
        os.kill(os.getpid(), settings["signal"])
    while "exit" not in settings:
        signal.pause()
    return int(settings["exit"])


class KeptForks(Forks):
    """Closes its channels at the end."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.channels: list[ControlChannel] = []

    def fork(self, settings: dict[str, Any]) -> ControlChannel:
        self.channels.append(super().fork(settings))
        return self.channels[-1]


@pytest.fixture
def forks() -> Iterator[Forks]:
    pid, sock = fork_server.start(lambda: play, spare_after_s=0.02)
    forks = KeptForks(sock)
    yield forks
    for channel in forks.channels:
        channel.close()
    sock.close()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def news(forks: Forks, kind: type, limit_s: float = 10.0) -> Any:
    """The next news of that kind."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if select.select([forks], [], [], 0.1)[0]:
            for heard in forks.news():
                if isinstance(heard, kind):
                    return heard
    raise AssertionError(f"no {kind.__name__}")


@pytest.fixture
def full_log() -> Iterator[None]:
    """Standard output is on a disk without room."""
    kept, full = os.dup(1), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)
    yield
    os.dup2(kept, 1)
    os.close(kept)
    os.close(full)


def test_a_log_without_room_changes_no_end_and_keeps_no_rank_from_being_forked(full_log: None, forks: Forks) -> None:
    for rank in (1, 2):
        forks.fork({"rank": rank, "says": "something", "exit": 86})
        assert news(forks, Exited) == Exited(rank=rank, pid=ANY, code=86, how="exit status 86")


def first_words(channel: ControlChannel) -> dict[str, Any]:
    select.select([channel], [], [], 10.0)
    return channel.read()[0]


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split(")")[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # the latter when it goes while the file is open
        return True


def until(is_true: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < deadline


def test_a_fork_has_its_channel_and_no_other_inherited_file(forks: Forks) -> None:
    with open(os.devnull) as left_open:
        channel = forks.fork({"rank": 7})
        words = first_words(channel)
        assert words["pid"] == news(forks, Forked).pid
        assert len([fd for fd in words["files"] if fd > 2]) == 2  # the channel, and the listing itself
        assert left_open.fileno() > 2


@pytest.mark.parametrize(
    ("ending", "code", "how"),
    [({"exit": 0}, 0, "exit status 0"), ({"exit": 86}, 86, "exit status 86"), ({"signal": 9}, None, "SIGKILL")],
)
def test_an_end_is_told_with_its_code_and_in_words(
    forks: Forks, ending: dict[str, Any], code: int | None, how: str
) -> None:
    forks.fork({"rank": 3, **ending})
    exited = news(forks, Exited)
    assert (exited.rank, exited.code, exited.how) == (3, code, how)


def test_a_kill_is_known_within_milliseconds(forks: Forks) -> None:
    channel = forks.fork({"rank": 1})
    first_words(channel)
    started = time.monotonic()
    forks.kill(1)
    assert news(forks, Exited).how == "SIGKILL"
    assert time.monotonic() - started < 0.5


def test_a_frozen_rank_stands_still_until_it_is_killed(forks: Forks) -> None:
    pid = first_words(forks.fork({"rank": 1}))["pid"]
    forks.freeze(1)
    until(lambda: state_of(pid) == "T")
    forks.kill(1)
    assert news(forks, Exited).how == "SIGKILL"


def test_a_rank_that_raises_ends_with_status_1(forks: Forks) -> None:
    forks.fork({"rank": 1, "exit": "no number"})
    assert news(forks, Exited).code == 1


def test_ranks_die_with_the_fork_server(forks: Forks) -> None:
    pids = [first_words(forks.fork({"rank": rank}))["pid"] for rank in range(3)]
    os.kill(parent_of(pids[0]), signal.SIGKILL)
    until(lambda: all(is_gone(pid) for pid in pids))
    until(lambda: fails(forks))


def test_everything_dies_with_the_supervisor() -> None:
    reader, writer = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        _, sock = fork_server.start(lambda: play)
        words = first_words(Forks(sock).fork({"rank": 0}))
        os.write(writer, f"{words['pid']}\n".encode())
        signal.pause()
        os._exit(0)
    rank = int(os.read(reader, 100))
    server = parent_of(rank)
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    until(lambda: is_gone(rank) and is_gone(server))
    os.close(reader)
    os.close(writer)


def test_the_next_order_makes_the_spare_a_rank(forks: Forks) -> None:
    spare = spare_beside(first_words(forks.fork({"rank": 0}))["pid"])
    channel = forks.fork({"rank": 7, "exit": 86})
    words = first_words(channel)
    assert words["pid"] == spare
    assert len([fd for fd in words["files"] if fd > 2]) == 2  # the channel, and the listing itself
    exited = news(forks, Exited)
    assert (exited.rank, exited.pid, exited.code) == (7, spare, 86)


def test_each_spare_is_one_rank_and_another_takes_its_place(forks: Forks) -> None:
    ranks = [first_words(forks.fork({"rank": 0}))["pid"]]
    for rank in (1, 2):
        spare = spare_beside(*ranks)
        ranks.append(first_words(forks.fork({"rank": rank}))["pid"])
        assert ranks[-1] == spare
    assert len(set(ranks)) == 3


def test_a_spare_is_warmed_up_by_the_settings_of_the_last_rank() -> None:
    reader, writer = os.pipe()
    path = f"/proc/{os.getpid()}/fd/{writer}"

    def tell(settings: dict[str, Any]) -> None:
        with open(path, "w") as file:  # a spare has none of our files
            file.write(f"{settings['rank']}\n")

    pid, sock = fork_server.start(lambda: play, warm_up=tell, spare_after_s=0.02)
    channel = Forks(sock).fork({"rank": 5})
    assert os.read(reader, 100) == b"5\n"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for end in (channel, sock):
        end.close()
    os.close(reader)
    os.close(writer)


def test_a_spare_that_dies_is_nobodys_news_and_harms_no_order(forks: Forks) -> None:
    rank = first_words(forks.fork({"rank": 0}))["pid"]
    spare = spare_beside(rank)
    os.kill(spare, signal.SIGKILL)
    until(lambda: is_gone(spare))
    channel = forks.fork({"rank": 1, "exit": 86})
    assert first_words(channel)["pid"] not in (rank, spare)
    assert news(forks, Exited).rank == 1
    assert spare_beside(rank) != spare


def test_an_order_that_dies_with_the_spare_is_told_as_a_ranks_death(forks: Forks) -> None:
    spare = spare_beside(first_words(forks.fork({"rank": 0}))["pid"])
    assert news(forks, Forked).rank == 0
    os.kill(spare, signal.SIGSTOP)
    until(lambda: state_of(spare) == "T")
    forks.fork({"rank": 1})
    assert news(forks, Forked).pid == spare
    os.kill(spare, signal.SIGKILL)
    exited = news(forks, Exited)
    assert (exited.rank, exited.pid, exited.how) == (1, spare, "SIGKILL")


def test_a_spare_dies_with_the_fork_server(forks: Forks) -> None:
    rank = first_words(forks.fork({"rank": 0}))["pid"]
    spare = spare_beside(rank)
    os.kill(parent_of(rank), signal.SIGKILL)
    until(lambda: is_gone(spare))


def spare_beside(*ranks: int) -> int:
    """The pid of the fork server's child that is none of these, once there is one."""
    server = parent_of(ranks[0])
    found: set[int] = set()

    def look() -> bool:
        with open(f"/proc/{server}/task/{server}/children") as file:
            found.update({int(pid) for pid in file.read().split()} - set(ranks))
        found.difference_update([pid for pid in found if is_gone(pid)])
        return bool(found)

    until(look)
    [spare] = found
    return spare


def parent_of(pid: int) -> int:
    return int(stat(pid)[1])


def state_of(pid: int) -> str:
    return stat(pid)[0]


def stat(pid: int) -> list[str]:
    """What the kernel says of the process, from its state on."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().split(")")[1].split()


def fails(forks: Forks) -> bool:
    try:
        forks.news()
    except ForkServerGone:
        return True
    return False
