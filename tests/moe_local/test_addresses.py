from __future__ import annotations

import pytest

from moe_local.errors import LocalError
from moe_local.nodes.addresses import Claims, Subnet, loopback


def test_pod_and_service_addresses_have_a_loopback_twin() -> None:
    assert loopback("10.244.3.7") == "127.244.3.7"
    assert loopback("10.96.200.1") == "127.96.200.1"
    assert loopback("127.0.0.1") == "127.0.0.1"
    assert loopback("10.2.44.1") == "10.2.44.1"


def test_a_freed_address_is_reused_as_late_as_possible() -> None:
    subnet = Subnet(5)
    first = subnet.take()
    assert first == "10.244.5.1"
    subnet.give_back(first)
    assert [subnet.take() for _ in range(254)][-1] == first
    with pytest.raises(LocalError, match="all 254 pod addresses are taken"):
        subnet.take()


def test_two_clusters_never_share_a_pod_network() -> None:
    ours, theirs = Claims(), Claims()
    try:
        first = ours.claim(range(250, 256)).take()
        second = theirs.claim(range(250, 256)).take()
        assert first.split(".")[2] != second.split(".")[2]
    finally:
        ours.close()
        theirs.close()
