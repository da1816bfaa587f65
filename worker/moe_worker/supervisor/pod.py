"""The supervisor itself: joins the stage objects, the crew, the report and the probes in one asyncio loop.

The API server is never needed to go on: a rank is forked again, and views are kept, while it is away.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from moe_api.stage import MoEStage
from moe_worker.api import ApiUnavailable, PodGone, StageApi
from moe_worker.logs import Logger
from moe_worker.rank_settings import RankFiles, RankSettings
from moe_worker.settings import PodSettings
from moe_worker.supervisor.crew import TICK_S, Crew
from moe_worker.supervisor.drills import Drills
from moe_worker.supervisor.exposition import exposition
from moe_worker.supervisor.following import Follower
from moe_worker.supervisor.forks import Forks, ForkServerGone
from moe_worker.supervisor.incarnations import Incarnations
from moe_worker.supervisor.layout import Ring, pod_seats, unapplied, view_of
from moe_worker.supervisor.ports import Ports
from moe_worker.supervisor.probes import Probes
from moe_worker.supervisor.reporting import Reporter, ReportWriter
from moe_worker.supervisor.seat import Rules, Seat
from moe_worker.supervisor.slowness import Slowness
from moe_worker.supervisor.starvation import run_delay

STOP_LIMIT_S = 2.0
JUDGE_EVERY_S = 1.0


class Supervisor:
    """One pod's. `run` returns the exit status."""

    def __init__(self, settings: PodSettings, api: StageApi, forks: Forks, log: Logger) -> None:
        self._settings = settings
        self._api = api
        self._forks = forks
        self._log = log
        self._ports = Ports(settings.pod_ip)
        self._incarnations = Incarnations(settings.state_dir)
        self._drills = Drills(settings.state_dir, lambda: datetime.now(UTC))
        self._reporter = Reporter(lambda: datetime.now(UTC))
        self._writer = ReportWriter()
        self._is_report_near = False
        self._slowness = Slowness()
        self._judged_at = 0.0
        self._report_wanted = asyncio.Event()
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._probes = Probes(self._lacks, lambda: exposition(self._crew.seats()))
        self._own = Follower(api, settings.stage_object, self._layout_changed, log)
        self._neighbours: dict[str, Follower] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._unhealthy: frozenset[int] = frozenset()
        self._num_restarts = 0
        self._epoch = 0
        self._crew = Crew(
            forks=forks,
            listener=LoopListener(),
            rules=Rules(heartbeat_seconds=2.0, restart_budget=3),
            make_settings=self._rank_settings,
            changed=self._report_changed,
            clock=time.monotonic,
            run_delay=run_delay,
            log=log,
        )

    async def run(self) -> int:
        """Until SIGTERM (0), or until the fork server is gone (1): the pod's container then starts anew in place."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, 0)
        loop.add_reader(self._forks.fileno(), self._guarded, self._crew.hear_forks)
        await self._probes.start(self._settings.pod_ip, self._settings.probe_port)
        self._start(self._own.run())
        self._start(self._tick())
        self._start(self._write_reports())
        self._log.info(f"waiting for MoEStage {self._settings.stage_object} to name pod {self._settings.pod_uid}")
        status = await self._ended
        await self._stop(loop)
        return status

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._task_done)
        self._tasks.append(task)

    def _task_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error(f"{type(error).__name__}: {error}")
            self._end(1)

    def _end(self, status: int) -> None:
        if not self._ended.done():
            self._ended.set_result(status)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except ForkServerGone as error:
            self._log.error(f"fork server: {error}")
            self._end(1)

    async def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._crew.stop()
        if self._ended.result() == 0:
            await self._wait_for_ranks()
        loop.remove_reader(self._forks.fileno())
        for task in self._tasks:
            task.cancel()
        # Bounded: what does not end in time ends with the process.
        await asyncio.wait([*self._tasks, asyncio.ensure_future(self._probes.stop())], timeout=STOP_LIMIT_S)
        self._crew.hang_up()
        self._ports.close()
        self._log.info("stopped")

    async def _wait_for_ranks(self) -> None:
        deadline = time.monotonic() + STOP_LIMIT_S
        while not self._crew.is_idle() and time.monotonic() < deadline:  # noqa: ASYNC110  # it is no coroutine's doing
            await asyncio.sleep(0.01)

    async def _tick(self) -> None:
        while True:
            self._guarded(self._crew.tick)
            self._judge_speeds(time.monotonic())
            await asyncio.sleep(TICK_S)

    def _judge_speeds(self, now: float) -> None:
        stage = self._own.stage
        if stage is None or now < self._judged_at + JUDGE_EVERY_S:
            return
        self._judged_at = now
        named = {seat.rank for seat in stage.spec.ranks}
        told = (item for seat in self._crew.seats() for item in seat.service_us.items())
        if self._slowness.judge(
            {rank: figure for rank, figure in told if rank in named}, stage.spec.failover.slow_factor, now
        ):
            self._log.warning(f"slow ranks: {sorted(self._slowness.slow)}")
            self._report_changed()

    def _layout_changed(self) -> None:
        """A stage object is new, or gone: man or dismiss the seats, then show the ranks what is known."""
        stage = self._own.stage
        if stage is None or not pod_seats(stage, self._settings.pod_uid):
            if self._crew.members:
                self._log.warning("the layout no longer names this pod, its ranks are killed")
                self._guarded(self._crew.dismiss)
            if self._own.error:
                self._report_changed()
            return
        failover = stage.spec.failover
        self._crew.rules = Rules(heartbeat_seconds=failover.heartbeat_seconds, restart_budget=failover.restart_budget)
        self._reporter.loads_every = timedelta(seconds=stage.spec.loads_every_seconds)
        self._crew.want_loads(stage.spec.loads_every_seconds)
        self._follow_neighbours(stage)
        if stage.metadata.generation != self._epoch:
            self._epoch = stage.metadata.generation
            self._log.info(f"epoch {self._epoch} of {stage.metadata.name}")
        missing = [seat for seat in pod_seats(stage, self._settings.pod_uid) if seat.rank not in self._crew.members]
        if missing:
            seats = [Seat(seat.rank, seat.gpu, self._ports.address(seat.rank)) for seat in missing]
            self._guarded(lambda: self._crew.man(seats))
        self._show_view()
        self._rehearse(stage)
        self._report_changed()

    def _rehearse(self, stage: MoEStage) -> None:
        drill = stage.spec.drill
        if drill is None:
            return
        try:
            seconds = self._drills.take(drill, self._crew.members)
        except (OSError, ValueError) as error:
            self._log.error(f"drill {drill.name} is left out: {error}")
            return
        if seconds is not None:
            self._guarded(lambda: self._crew.rehearse(drill, seconds))

    def _follow_neighbours(self, stage: MoEStage) -> None:
        ring = Ring.around(stage)
        for name in {ring.previous, ring.next} - {ring.own, *self._neighbours}:
            self._neighbours[name] = Follower(self._api, name, self._layout_changed, self._log)
            self._start(self._neighbours[name].run())

    def _show_view(self) -> None:
        stage = self._own.stage
        if stage is None or not self._crew.members:
            return
        ring = Ring.around(stage)
        known = {name: follower.stage for name, follower in self._neighbours.items()} | {ring.own: stage}
        own = {
            (seat.rank, self._settings.pod_uid): "" if seat.state == "failed" else seat.address
            for seat in self._crew.seats()
        }
        view = view_of(stage, known[ring.previous], known[ring.next], own)
        self._crew.show(dict.fromkeys(self._crew.members, view))

    def _rank_settings(self, seat: Seat) -> RankSettings:
        stage = self._own.stage
        assert stage is not None, "ranks are forked for a stage only"
        return RankSettings.for_seat(
            stage,
            rank=seat.rank,
            gpu=seat.gpu,
            pod_uid=self._settings.pod_uid,
            incarnation=self._incarnations.next(seat.rank),
            address=seat.address,
            files=RankFiles(secret=str(self._settings.secret_file), model=str(self._settings.model_path)),
        )

    def _report_changed(self) -> None:
        """A GPU that failed or healed is reported without delay, a rank's death with what follows at once."""
        seats = self._crew.seats()
        num_restarts = sum(seat.restarts for seat in seats)
        if num_restarts > self._num_restarts:
            self._writer.hold(time.monotonic())
            self._is_report_near = True
        self._num_restarts = num_restarts
        unhealthy = frozenset(seat.rank for seat in seats if seat.reason)
        is_urgent, self._unhealthy = unhealthy != self._unhealthy, unhealthy
        if is_urgent:
            self._show_view()
        following = [seat.epoch for seat in seats if seat.is_running and seat.state == "serving"]
        report = self._reporter.build(min(following, default=0), seats, self._own.error, self._slowness.slow)
        self._writer.offer(report.to_json(), time.monotonic(), is_urgent=is_urgent)
        self._report_wanted.set()

    async def _write_reports(self) -> None:
        is_away = False
        while True:
            await self._report_wanted.wait()
            if self._is_report_near:
                self._is_report_near = False
                await self._api.get_ready()
            text = self._writer.due(time.monotonic())
            if text is None:
                await self._until_due()
                continue
            try:
                await self._api.report(text)
            except ApiUnavailable as error:
                self._writer.failed(time.monotonic())
                if not is_away:
                    self._log.warning(f"the report cannot be written, trying again: {error}")
                is_away = True
            except PodGone as error:
                self._log.error(f"this pod is no more: {error}")
                self._end(1)
                return
            else:
                is_away = False
                self._writer.written(text, time.monotonic())

    async def _until_due(self) -> None:
        """Sleep until the next write is due, or until something new is wanted."""
        self._report_wanted.clear()
        due = self._writer.next_due()
        if due is None:
            return
        try:
            # Not wait_for: until Python 3.12 it loses a cancellation that comes together with the event.
            async with asyncio.timeout(max(due - time.monotonic(), 0.0)):
                await self._report_wanted.wait()
        except TimeoutError:
            self._report_wanted.set()

    def _lacks(self) -> list[str]:
        stage = self._own.stage
        if stage is None:
            return [self._own.error or f"MoEStage {self._settings.stage_object} is not known yet"]
        serving = [seat for seat in self._crew.seats() if seat.state == "serving" and seat.is_running]
        held = {seat.rank: frozenset(seat.experts) for seat in serving}
        errors = [seat.error for seat in self._crew.seats() if seat.error]
        return errors[:1] + unapplied(stage, self._settings.pod_uid, held, {seat.rank: seat.epoch for seat in serving})


class LoopListener:
    """The running event loop's readers."""

    def add(self, fileno: int, on_readable: Callable[[], None]) -> None:
        asyncio.get_running_loop().add_reader(fileno, on_readable)

    def remove(self, fileno: int) -> None:
        asyncio.get_running_loop().remove_reader(fileno)
