import os

import pytest

from moe_worker.errors import TransportError
from moe_worker.transport.nixl_agent import Agent, FetchError, Reading, agent_name
from moe_worker.transport.nixl_slab import Slab


def test_a_process_reads_what_another_agent_registered_and_nothing_beside_it() -> None:
    reader, owner = Agent("reader"), Agent("owner")
    slab, into = Slab(4096), Slab(4096)
    slab.view(0, 4)[:] = b"rows"
    metadata = owner.metadata(owner.register(slab))
    reader.register(into)
    reader.add("owner", metadata)
    reading = reader.read("owner", slab.address, 4, into.address)
    _finish(reading, owner)
    assert bytes(into.view(0, 4)) == b"rows"
    with pytest.raises(FetchError, match="64 bytes cannot be read"):
        reader.read("owner", slab.address + 4096 - 32, 64, into.address)
    reading.drop()


def test_an_agent_that_was_removed_is_read_no_more() -> None:
    reader, owner = Agent("reader"), Agent("owner")
    slab, into = Slab(4096), Slab(4096)
    metadata = owner.metadata(owner.register(slab))
    reader.register(into)
    reader.add("owner", metadata)
    reader.remove("owner")
    with pytest.raises(FetchError):
        reader.read("owner", slab.address, 4, into.address)


def test_an_agent_is_no_other_than_the_handshake_proved() -> None:
    reader, owner = Agent("reader"), Agent(agent_name(3, "uid-3", 1))
    metadata = owner.metadata(owner.register(Slab(4096)))
    with pytest.raises(FetchError, match=r"calls itself 3\.uid-3\.1"):
        reader.add(agent_name(3, "uid-3", 2), metadata)


def test_metadata_that_is_none_is_refused() -> None:
    with pytest.raises(FetchError, match="cannot be reached"):
        Agent("reader").add("owner", b"nonsense")


def test_no_device_that_ucx_may_use_is_the_operators_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UCX_TLS", "self")
    with pytest.raises(TransportError, match=r"NIXL cannot start .* set spec\.engine\.transport to tcp"):
        Agent("reader")


def test_what_the_pod_says_about_logs_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UCX_LOG_LEVEL", "error")
    Agent("reader")
    assert os.environ["UCX_LOG_LEVEL"] == "error"


def _finish(reading: Reading, owner: Agent) -> None:
    while not reading.is_done():
        owner.progress()
