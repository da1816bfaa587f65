"""Every property of the transport is shown for both kinds."""

from collections.abc import Iterator

import pytest

from tests.moe_worker.transport.nodes import Net


@pytest.fixture(params=["tcp", "nixl"])
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    net = Net(request.param)
    yield net
    for node in net.nodes:
        node.transport.close()
