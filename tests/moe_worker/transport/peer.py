"""A rank of its own process for test_nixl.py: announces one large message, then does nothing, or serves on.

Arguments: its address's port, its incarnation, the other rank's address, "stop" or "serve".
"""

import sys

from moe_worker.protocol.view import SeatView
from tests.moe_worker.transport.nodes import Net, dispatch, introduce


def main(port: str, incarnation: str, other: str, then: str) -> None:
    net = Net("nixl")
    node = net.add(1, port=int(port), incarnation=int(incarnation))
    introduce([node], [SeatView(rank=0, pod_uid="uid-0", gpu=0, address=other)])
    net.until(node.can_be_read, 60.0)
    node.transport.send(0, dispatch(int(incarnation), 1 << 20))
    node.transport.flush()
    print("announced", flush=True)
    while then == "serve":
        node.poll()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
