"""/healthz: the supervisor's loop turns. /readyz: the layout is applied, else what is lacking, a line each. /metrics:
what the ranks have told, for Prometheus.
"""

from collections.abc import Callable

from aiohttp import web


class Probes:
    """`lacks` gives what keeps the pod from being ready, `metrics` the text of a scrape; both are asked at times."""

    def __init__(self, lacks: Callable[[], list[str]], metrics: Callable[[], str]) -> None:
        self._lacks = lacks
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Raises OSError when the port is taken."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._show_metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        lacks = self._lacks()
        return web.Response(status=503 if lacks else 200, text="\n".join(lacks or ["ok"]) + "\n")

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self._metrics())
