"""Cutting nodes off from each other: packet filter rules between the address ranges of their pods.

Packets are dropped where they arrive, so connections go silent and none is refused. What a node says to its own pods,
and what pods of one node say to each other, passes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from moe_local.errors import LocalError

ALL_PODS = "127.244.0.0/16"
CHAIN = "arriving"
PREFIX = "moe_local_"
DROP, ACCEPT = 0, 1
"""The kernel's numbers (linux/netfilter.h)."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Packets from one address range to another, and whether they are dropped; the first rule that fits counts."""

    source: str
    destination: str
    is_drop: bool


class Firewall:
    """The table of one cluster in the machine's packet filter; it is there only while some node is cut off."""

    def __init__(self, cluster: str) -> None:
        self._table = table_name(cluster)
        self._cut: set[int] = set()

    def is_cut(self, subnet: int) -> bool:
        """Whether the node with this pod network is cut off from the others."""
        return subnet in self._cut

    async def cut(self, subnet: int) -> None:
        """Nothing passes any more between this pod network and the others; raises LocalError without the means."""
        await self._load(self._cut | {subnet})

    async def mend(self, subnet: int) -> None:
        """Lets everything pass again."""
        if subnet in self._cut:
            await self._load(self._cut - {subnet})

    async def _load(self, cut: set[int]) -> None:
        await asyncio.to_thread(_replace, self._table, rules(cut))
        self._cut = cut


def remove(cluster: str) -> None:
    """Removes what a daemon that was killed may have left; nothing to do where nothing can have been made."""
    # In a thread of its own: pyroute2 runs an event loop, and the caller's may be running.
    with ThreadPoolExecutor(max_workers=1) as thread, suppress(LocalError):
        thread.submit(_replace, table_name(cluster), []).result()


def table_name(cluster: str) -> str:
    """One per cluster, so that several on a machine do not disturb each other."""
    return PREFIX + re.sub(r"\W", "_", cluster)


def rules(cut: Iterable[int]) -> list[Rule]:
    """Three for each node that is cut off: its own pods hear each other, nobody else passes in or out."""
    nodes = [f"127.244.{subnet}.0/24" for subnet in sorted(cut)]
    own = [Rule(source=node, destination=node, is_drop=False) for node in nodes]
    ways = [(node, ALL_PODS) for node in nodes] + [(ALL_PODS, node) for node in nodes]
    return own + [Rule(source=source, destination=destination, is_drop=True) for source, destination in ways]


def _replace(table: str, wanted: list[Rule]) -> None:
    """The table anew with these rules, or no table, in one transaction."""
    # Here, because only who pulls a cable needs it, and it takes a third of a second.
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.nftables.expressions import ipv4addr, verdict
    from pyroute2.nftables.main import NFTables

    try:
        with NFTables(nfgen_family=2) as nft:
            nft.begin()
            # Made first, so that it can be removed whether it was there or not.
            nft.table("add", name=table)
            nft.table("del", name=table)
            if wanted:
                nft.table("add", name=table)
                nft.chain("add", table=table, name=CHAIN, hook="input", type="filter", policy=ACCEPT)
            for rule in wanted:
                ends = ipv4addr(src=rule.source, dst=rule.destination)
                code = verdict(code=DROP if rule.is_drop else ACCEPT)
                nft.rule("add", table=table, chain=CHAIN, expressions=(ends, code))
            nft.commit()
    except (NetlinkError, OSError) as error:
        raise LocalError(
            f"--from peers: needs root and the kernel's packet filter (nf_tables), which said: {error}; bring the"
            " cluster up as root, or use --from api"
        ) from error
