from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from moe_local.nodes.way import Way

Result = TypeVar("Result")


def run(story: Coroutine[Any, Any, Result]) -> Result:
    """Runs a story, which hangs when bytes are lost."""

    async def bounded() -> Result:
        async with asyncio.timeout(10):
            return await story

    return asyncio.run(bounded())


def test_a_cut_way_is_silent_and_what_waited_passes_when_it_is_mended() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(b"heard " + line)
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        way = Way(server.sockets[0].getsockname()[1])
        await way.start()
        reader, writer = await asyncio.open_connection(*way.address)
        writer.write(b"one\n")
        assert await reader.readline() == b"heard one\n"

        way.cut()
        assert not way.is_open()
        writer.write(b"two\n")
        late_reader, late_writer = await asyncio.open_connection(*way.address)
        late_writer.write(b"three\n")
        waiting = [asyncio.create_task(one.readline()) for one in (reader, late_reader)]
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert done == set()

        way.mend()
        assert await asyncio.gather(*waiting) == [b"heard two\n", b"heard three\n"]
        for one in (writer, late_writer):
            one.close()
        await way.close()
        server.close()

    run(story())


def test_the_end_of_either_side_is_passed_on() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"all: " + await reader.read())
        writer.close()

    async def story() -> bytes:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        way = Way(server.sockets[0].getsockname()[1])
        await way.start()
        reader, writer = await asyncio.open_connection(*way.address)
        writer.write(b"said")
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await way.close()
        server.close()
        return answer

    assert run(story()) == b"all: said"


def test_without_an_api_server_a_connection_is_closed() -> None:
    async def story() -> bytes:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        way = Way(port)
        await way.start()
        reader, writer = await asyncio.open_connection(*way.address)
        answer = await reader.read()
        writer.close()
        await way.close()
        return answer

    assert run(story()) == b""
