"""What NIXL adds to the properties of test_tcp.py: which way payloads go, and that nothing false, foreign or stale is
ever delivered.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moe_wire.framing import encode
from moe_wire.messages import Fetched, Message, Parcel, Result, Source
from moe_worker.protocol.transport import Arrived, Connected, ConnectionClosed, Lost
from moe_worker.protocol.view import SeatView, StageView, View
from moe_worker.transport.nixl import NixlTransport
from tests.moe_worker.transport.nodes import (
    SLAB_BYTES,
    Net,
    Node,
    arrived,
    bound,
    connected_pair,
    dispatch,
    introduce,
    rows,
)

ROOT = Path(__file__).parents[3]
ALONE = StageView.unknown(0)


@pytest.fixture
def net() -> Iterator[Net]:
    net = Net("nixl")
    yield net
    for node in net.nodes:
        node.transport.close()


def nixl(node: Node) -> NixlTransport:
    assert isinstance(node.transport, NixlTransport)
    return node.transport


def test_a_large_payload_waits_to_be_fetched_and_a_small_one_goes_on_the_connection(net: Net) -> None:
    a, b = connected_pair(net)
    a.transport.send(1, dispatch(0, 60))
    assert not nixl(a).shelf.is_waiting()
    a.transport.send(1, dispatch(1, 64))
    assert nixl(a).shelf.is_waiting()
    net.until(lambda: arrived(b) == [dispatch(0, 60), dispatch(1, 64)])
    net.until(lambda: not nixl(a).shelf.is_waiting())


def test_small_messages_behind_a_large_one_stay_behind_it(net: Net) -> None:
    a, b = connected_pair(net)
    sent = [dispatch(step, 1 << 18 if step % 5 == 0 else 8) for step in range(40)]
    for message in sent:
        a.transport.send(1, message)
    net.until(lambda: len(arrived(b)) == 40, 30.0)
    assert arrived(b) == sent


def test_what_the_slab_cannot_take_goes_on_the_connection_in_its_turn(net: Net) -> None:
    a, b = connected_pair(net)
    sent = [dispatch(step, SLAB_BYTES // 4) for step in range(12)] + [dispatch(12, 2 * SLAB_BYTES)]
    for message in sent:
        a.transport.send(1, message)
    net.until(lambda: len(arrived(b)) == 13, 30.0)
    assert arrived(b) == sent


def test_a_peer_without_nixl_gets_everything_on_the_connection(net: Net) -> None:
    a, b = net.add(0), net.add(1, kind="tcp")
    net.introduce()
    net.until(lambda: a.transport.num_connected() == b.transport.num_connected() == 1)
    net.until(lambda: not nixl(a).shelf.is_waiting())
    a.transport.send(1, dispatch(0, 1 << 16))
    b.transport.send(0, dispatch(1, 1 << 16))
    net.until(lambda: arrived(a) == [dispatch(1, 1 << 16)] and arrived(b) == [dispatch(0, 1 << 16)])
    assert nixl(a).shelf.num_readers() == 0


HEAD = bytes(encode(dispatch(0, 1 << 10))[0])


@pytest.mark.parametrize(
    "false",
    [
        Parcel(HEAD, SLAB_BYTES - 512, 7),
        Parcel(HEAD, 2**64 - 64, 7),
        Parcel(bytes(encode(dispatch(0, 1 << 27))[0]), 0, 7),
        Parcel(HEAD[:-1], 0, 7),
        Parcel(b"", 1 << 12, 7),
        Fetched(7),
        Source(b"", 0, 1 << 62, 0, 7),
    ],
    ids=["over the end", "far outside", "too large", "no head", "no message", "unknown", "again"],
)
def test_a_false_word_about_parcels_ends_the_connection_and_nothing_is_delivered(net: Net, false: Message) -> None:
    a, b = connected_pair(net)
    a.transport.send(1, false)
    a.transport.send(1, dispatch(1))
    net.until(lambda: bool(a.told(Lost)) and bool(b.told(ConnectionClosed)))
    assert arrived(b) == []
    net.until(lambda: len(a.told(Connected)) == 2 and a.can_be_read())
    a.transport.send(1, dispatch(2, 1 << 12))
    net.until(lambda: arrived(b) == [dispatch(2, 1 << 12)])


def test_a_parcel_that_is_not_there_ends_the_connection(net: Net) -> None:
    """At the latest when its time is over: nothing waits at the sender, which may take no part in the fetch."""
    a, b = connected_pair(net)
    a.transport.send(1, Parcel(HEAD, 0, 7))
    net.until(lambda: bool(nixl(b).incoming.fetching() or a.told(Lost)))
    b.ahead_s = 16.0
    net.until(lambda: bool(a.told(Lost)) and bool(b.told(ConnectionClosed)))
    assert arrived(b) == []


def test_an_answer_in_a_parcel_where_a_request_is_due_ends_the_connection(net: Net) -> None:
    a, b = connected_pair(net)
    a.transport.send(1, Result(0, 1, 2, 0, 0, 0, rows(1 << 10)))
    net.until(lambda: bool(a.told(Lost)))
    assert b.told(Arrived) == []


def test_a_fetch_is_given_up_when_the_layout_no_longer_names_its_sender(net: Net) -> None:
    a, b = connected_pair(net)
    a.transport.send(1, dispatch(0, 1 << 20))
    a.transport.flush()
    b.transport.follow(View(own=ALONE, previous=ALONE, next=ALONE), {})
    net.until(lambda: bool(a.told(Lost)))
    assert arrived(b) == []
    net.until(lambda: not nixl(a).shelf.is_waiting())


def test_a_peer_killed_in_the_middle_of_a_fetch_is_lost_and_its_successor_delivers(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over UCX's own TCP, where the sender must take part: it is killed while it does not, the fetch half done."""
    monkeypatch.setenv("UCX_TLS", "tcp")
    a = net.add(0)
    port = _free_port()
    introduce([a], [SeatView(rank=1, pod_uid="uid-1", gpu=0, address=f"127.0.0.1:{port}")])
    with _peer(port, 1, a, "stop") as first:
        _until_announced(net, first)
        net.until(lambda: len(nixl(a).incoming.fetching()) == 1)
        first.kill()
        net.until(lambda: bool(a.told(Lost)) and bool(a.told(ConnectionClosed)))
    assert arrived(a) == []
    assert nixl(a).incoming.fetching() == []
    with _peer(port, 2, a, "serve") as second:
        _until_announced(net, second)
        net.until(lambda: arrived(a) == [dispatch(2, 1 << 20)], 30.0)
        second.kill()


def _free_port() -> int:
    with bound() as sock:
        return int(sock.getsockname()[1])


@contextmanager
def _peer(port: int, incarnation: int, other: Node, then: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.moe_worker.transport.peer", str(port), str(incarnation)]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, other.address, then], cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def _until_announced(net: Net, peer: subprocess.Popen[bytes]) -> None:
    assert peer.stdout is not None
    said = peer.stdout
    os.set_blocking(said.fileno(), False)
    net.until(lambda: said.read() == b"announced\n", 60.0)
