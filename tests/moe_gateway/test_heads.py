from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from moe_gateway.balancer import HeadLink
from moe_gateway.heads import HeadPool
from moe_wire.messages import Emitted, Message, Sampling, Submit
from tests.moe_gateway.conftest import until
from tests.moe_gateway.fakes import CREDENTIALS, FakeHead

SUBMIT = Submit(b"0123456789abcdef", (1, 2), (), Sampling(), 3, ())


class Ear:
    """Remembers what the pool says."""

    def __init__(self) -> None:
        self.links: list[HeadLink] = []
        self.num_lost = 0
        self.messages: list[Message] = []

    def connected(self, link: HeadLink) -> None:
        self.links.append(link)

    def lost(self, link: HeadLink) -> None:
        self.num_lost += 1

    def received(self, link: HeadLink, message: Message) -> None:
        self.messages.append(message)


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
async def pool(ear: Ear) -> AsyncIterator[HeadPool]:
    pool = HeadPool(CREDENTIALS, ear)
    yield pool
    await pool.close()


@pytest.fixture
async def head() -> AsyncIterator[FakeHead]:
    head = await FakeHead().start()
    yield head
    head.kill()


async def test_messages_pass_both_ways(pool: HeadPool, ear: Ear, head: FakeHead) -> None:
    pool.apply({head.key: head.target})
    await until(lambda: bool(ear.links))
    ear.links[0].send(SUBMIT)
    await until(lambda: len(ear.messages) == 3)
    assert head.submits == [SUBMIT]
    assert ear.messages[-1] == Emitted(SUBMIT.request, 2, 17, "length")


async def test_a_head_that_comes_later_is_found(pool: HeadPool, ear: Ear, head: FakeHead) -> None:
    target = head.target
    assert target.address is not None
    head.kill()
    pool.apply({head.key: target})
    back = await FakeHead().start(target.address[1])
    await until(lambda: bool(ear.links))
    back.kill()


async def test_a_broken_connection_is_told_and_made_again(pool: HeadPool, ear: Ear, head: FakeHead) -> None:
    pool.apply({head.key: head.target})
    await until(lambda: bool(ear.links))
    head.drop_connections()
    await until(lambda: len(ear.links) == 2)
    assert ear.num_lost == 1


async def test_an_acceptor_without_the_secret_is_no_head(pool: HeadPool, ear: Ear, head: FakeHead) -> None:
    head.secret = b"x" * 32
    pool.apply({head.key: head.target})
    await until(lambda: head.num_connections >= 2)
    assert ear.links == []
    assert ear.num_lost == 0


async def test_another_pod_at_the_address_is_not_the_head(pool: HeadPool, ear: Ear, head: FakeHead) -> None:
    target = replace(head.target, key=replace(head.key, pod_uid="another"))
    pool.apply({target.key: target})
    await until(lambda: head.num_connections >= 2)
    assert ear.links == []


async def test_a_head_that_the_layout_drops_is_let_go(pool: HeadPool, ear: Ear, head: FakeHead) -> None:
    pool.apply({head.key: head.target})
    await until(lambda: bool(ear.links))
    pool.apply({})
    await until(lambda: ear.num_lost == 1)
    assert len(ear.links) == 1


async def test_an_address_that_is_only_forgotten_breaks_nothing(pool: HeadPool, ear: Ear, head: FakeHead) -> None:
    pool.apply({head.key: head.target})
    await until(lambda: bool(ear.links))
    pool.apply({head.key: replace(head.target, address=None, num_lanes=3)})
    assert ear.links[0].num_lanes == 3
    ear.links[0].send(SUBMIT)
    await until(lambda: len(ear.messages) == 3)
    assert ear.num_lost == 0


async def test_a_head_is_followed_to_its_new_address(pool: HeadPool, ear: Ear, head: FakeHead) -> None:
    pool.apply({head.key: replace(head.target, address=None)})
    pool.apply({head.key: head.target})
    await until(lambda: len(ear.links) == 1)
    moved = await FakeHead().start()
    pool.apply({moved.key: moved.target})
    await until(lambda: len(ear.links) == 2)
    assert moved.num_connections == 1
    moved.kill()
