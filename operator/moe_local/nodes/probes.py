"""One look at a container, as the kubelet looks: httpGet, tcpSocket or exec. Says why it failed, or nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
# Runs a command inside the container with a time limit; gives its exit code and output.
Execute = Callable[[list[str], float], Awaitable[tuple[int, str]]]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How often to look and how many looks decide."""

    delay: float
    period: float
    timeout: float
    successes: int
    failures: int

    @classmethod
    def read(cls, probe: Json) -> Timing:
        """With Kubernetes' defaults for what is left out."""
        return cls(
            delay=float(probe.get("initialDelaySeconds") or 0),
            period=float(probe.get("periodSeconds") or 10),
            timeout=float(probe.get("timeoutSeconds") or 1),
            successes=int(probe.get("successThreshold") or 1),
            failures=int(probe.get("failureThreshold") or 3),
        )


@dataclass(kw_only=True)
class Verdict:
    """Turns single looks into a state: it flips after enough equal looks in a row."""

    timing: Timing
    good: bool
    _run: int = 0

    def look(self, failure: str) -> bool:
        """Counts one look (empty: success); True when the state flips."""
        if self.good == (not failure):
            self._run = 0
            return False
        self._run += 1
        if self._run < (self.timing.failures if failure else self.timing.successes):
            return False
        self._run, self.good = 0, not failure
        return True


async def look(probe: Json, address: str, ports: dict[str, int], execute: Execute) -> str:
    """Empty when the container is well, else what is wrong."""
    timeout = Timing.read(probe).timeout
    try:
        if spec := probe.get("httpGet"):
            async with asyncio.timeout(timeout):
                return await _http(spec, address, ports)
        if spec := probe.get("tcpSocket"):
            async with asyncio.timeout(timeout):
                return await _tcp(spec, address, ports)
        if spec := probe.get("exec"):
            code, output = await execute(list(spec["command"]), timeout)
            return "" if code == 0 else f"command ended with {code}: {output}"
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except OSError as error:
        return str(error)
    return "this kind of probe is not supported by embedded nodes; use httpGet, tcpSocket or exec"


def resolve_port(port: int | str, ports: dict[str, int]) -> int:
    """A port by number, or by the name of a containerPort."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    if port not in ports:
        raise OSError(f"port {port}: the container names no such port; it names {', '.join(ports) or 'none'}")
    return ports[port]


async def _tcp(spec: Json, address: str, ports: dict[str, int]) -> str:
    _, writer = await asyncio.open_connection(spec.get("host") or address, resolve_port(spec["port"], ports))
    writer.close()
    return ""


async def _http(spec: Json, address: str, ports: dict[str, int]) -> str:
    host, port = spec.get("host") or address, resolve_port(spec["port"], ports)
    secure = ssl.create_default_context() if spec.get("scheme") == "HTTPS" else None
    if secure:
        secure.check_hostname, secure.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=secure)
    try:
        headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/embedded", "Connection": "close"}
        headers |= {header["name"]: header["value"] for header in spec.get("httpHeaders") or []}
        lines = [f"GET {spec.get('path') or '/'} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        status = (await reader.readline()).split()
    finally:
        writer.close()
    code = int(status[1]) if len(status) > 1 and status[1].isdigit() else 0
    return "" if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}"
