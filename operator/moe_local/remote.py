"""The commands' way to the nodes' daemon: HTTPS with the admin's certificate, standard library only."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

from moe_local.errors import ClusterDown, LocalError
from moe_local.state import Settings, State


class Daemon:
    """Asks the daemon of one cluster."""

    def __init__(self, state: State, settings: Settings) -> None:
        self._state = state
        self._port = settings.ports["nodes"]

    def get(self, path: str) -> Any:
        """Reads; raises LocalError with the daemon's own words when it refuses."""
        return self._ask("GET", path)

    def post(self, path: str) -> Any:
        """Orders something done, and returns when it is."""
        return self._ask("POST", path)

    def _ask(self, method: str, path: str) -> Any:
        context = ssl.create_default_context(cafile=str(self._state.pki / "ca.crt"))
        context.load_cert_chain(self._state.pki / "admin.crt", self._state.pki / "admin.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=60, context=context)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read().decode()
        except OSError as error:
            raise ClusterDown(
                f"the nodes of {self._state.root} do not answer ({error}): run `moe-local up` to complete the cluster"
            ) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise LocalError(text)
        return json.loads(text)
