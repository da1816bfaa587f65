"""`python -m moe_local.nodes --state DIR`: the nodes of one embedded cluster."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from moe_local.nodes.daemon import serve
from moe_local.state import State


def main() -> None:
    """Reads the settings and serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the cluster's state folder")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(serve(State(options.state)))


if __name__ == "__main__":
    main()
