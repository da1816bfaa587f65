"""What the gateway's container runs, given an API server that is not a cluster's."""

import asyncio
import logging
import os
import sys

from kubernetes.aio.client import Configuration

from moe_gateway.server import serve
from moe_gateway.settings import read_settings

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(serve(read_settings(os.environ), Configuration(host=os.environ["API_SERVER"])))
