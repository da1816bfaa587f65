"""Entry point of the gateway's container: reads the environment once, says what is wrong with it, and serves."""

import asyncio
import logging
import os
import sys


def main() -> None:
    """Serve until SIGTERM. Exit code 2 with a message when the pod is set up wrongly."""
    # Imported here, so that importing this module costs nothing to whoever forks.
    from moe_gateway.api import in_cluster_configuration
    from moe_gateway.server import serve
    from moe_gateway.settings import SettingsError, read_settings
    from moe_gateway.tokenizer import CheckpointError
    from moe_wire.errors import HandshakeError

    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format=form, force=True)
    try:
        asyncio.run(serve(read_settings(os.environ), in_cluster_configuration()))
    except (SettingsError, CheckpointError, HandshakeError, OSError) as error:
        print(f"moe-gateway: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
