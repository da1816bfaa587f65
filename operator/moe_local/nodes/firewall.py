"""Cutting nodes off from each other: packet filter rules between the address ranges of their pods.

Packets are dropped where they arrive, so connections go silent and none is refused. What a node says to its own pods,
and what pods of one node say to each other, passes.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterable

from moe_local.errors import LocalError

ALL_PODS = "127.244.0.0/16"
PROGRAM = "nft"
PREFIX = "moe_local_"


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
        await asyncio.to_thread(_run, rules(self._table, cut))
        self._cut = cut


def remove(cluster: str) -> None:
    """Removes what a daemon that was killed may have left; nothing to do where nothing can have been made."""
    if shutil.which(PROGRAM):
        subprocess.run([PROGRAM, "delete", "table", "ip", table_name(cluster)], capture_output=True, check=False)


def table_name(cluster: str) -> str:
    """One per cluster, so that several on a machine do not disturb each other."""
    return PREFIX + re.sub(r"\W", "_", cluster)


def rules(table: str, cut: Iterable[int]) -> str:
    """What nft is to load: the table anew with two rules per node that is cut off, or no table."""
    # Declared first, so that it can be deleted whether it was there or not; all in one transaction.
    lines = [f"table ip {table}", f"delete table ip {table}"]
    drops = [line for subnet in sorted(cut) for line in _drops(f"127.244.{subnet}.0/24")]
    if drops:
        lines += [f"table ip {table} {{", "chain arriving {", "type filter hook input priority 0;", *drops, "}", "}"]
    return "\n".join(lines) + "\n"


def _drops(node: str) -> list[str]:
    return [
        f"ip saddr {node} ip daddr {ALL_PODS} ip daddr != {node} drop",
        f"ip daddr {node} ip saddr {ALL_PODS} ip saddr != {node} drop",
    ]


def _run(text: str) -> None:
    try:
        done = subprocess.run([PROGRAM, "-f", "-"], input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LocalError("--from peers: needs nftables; install the package nftables, or use --from api") from None
    if done.returncode != 0:
        raise LocalError(
            f"--from peers: needs root and nftables, and nft said: {done.stderr.strip().splitlines()[:1]}; bring the"
            " cluster up as root, or use --from api"
        )
