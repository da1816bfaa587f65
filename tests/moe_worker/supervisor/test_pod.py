"""A whole supervisor with real ranks and an invented API server: what it reports while the layout and its GPUs
change.
"""

import asyncio
import os
import shutil
import signal
import socket
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from moe_api.report import Report
from moe_worker import fork_server
from moe_worker.api import ApiUnavailable
from moe_worker.logs import Logger
from moe_worker.main import import_rank
from moe_worker.make_checkpoint import main as make_checkpoint
from moe_worker.settings import PodSettings
from moe_worker.supervisor.forks import Forks
from moe_worker.supervisor.pod import Supervisor

SHAPE = {
    "layers": 1, "experts": 4, "expertsPerToken": 2, "hiddenSize": 64, "heads": 4, "keyValueHeads": 2, "headSize": 16,
    "expertFfnSize": 64, "vocabularySize": 512,
}  # fmt: skip


class InventedApi:
    """One MoEStage, a pod's annotation, and an outage when `is_away`."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.reports: list[Report] = []
        self.is_away = False
        self.ready_at: list[int] = []
        self._changed = asyncio.Condition()

    async def put(self, state: dict[str, Any] | None) -> None:
        async with self._changed:
            self.state = state
            self._changed.notify_all()

    async def follow(self, stage_name: str) -> AsyncIterator[dict[str, Any] | None]:
        while True:
            if self.is_away:
                raise ApiUnavailable("connection refused")
            async with self._changed:
                yield self.state
                await self._changed.wait()

    async def report(self, text: str) -> None:
        if self.is_away:
            raise ApiUnavailable("connection refused")
        self.reports.append(Report.from_json(text))

    async def get_ready(self) -> None:
        self.ready_at.append(len(self.reports))


def stage(generation: int = 1, *, pod_uid: str = "uid", **changed: Any) -> dict[str, Any]:
    spec = {
        "deployment": "d", "replica": 0, "stage": 0, "stages": 1, "ranksPerStage": 2, "firstLayer": 0, "numLayers": 1,
        "model": {"path": "m", "dtype": "float32", "name": "d", "shape": SHAPE}, "engine": {}, "failover": {},
        "ranks": [{"rank": rank, "pod": "p", "podUID": pod_uid, "gpu": rank} for rank in range(2)],
        "experts": [{"expert": expert, "ranks": [expert // 2]} for expert in range(4)],
        "lanes": [{"lane": rank, "rank": rank} for rank in range(2)],
        **changed,
    }  # fmt: skip
    return {"metadata": {"name": "d-r0-s00", "uid": "s", "generation": generation}, "spec": spec}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    sizes = ["--hidden", "64", "--heads", "4", "--kv-heads", "2", "--head-dim", "16", "--ffn", "64", "--vocab", "512"]
    make_checkpoint([str(folder), "--layers", "1", "--experts", "4", "--experts-per-token", "2", *sizes])
    return folder


@pytest.fixture
def settings(model: Path, tmp_path: Path) -> PodSettings:
    (tmp_path / "key").write_bytes(urlsafe_b64encode(b"k" * 32))
    for index in range(2):
        (tmp_path / f"gpu{index}").write_text("healthy\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return PodSettings(
        namespace="default", stage_object="d-r0-s00", deployment="d", node_rank=0, pod_name="p", pod_uid="uid",
        pod_ip="127.0.0.1", node_name="n", model_path=model, secret_file=tmp_path / "key",
        state_dir=tmp_path / "state", probe_port=port,
    )  # fmt: skip


@pytest.fixture
def orders(settings: PodSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.setenv("MOE_CPU_DEVICES", f"{tmp_path}/gpu0,{tmp_path}/gpu1")
    pid, sock = fork_server.start(import_rank)
    yield sock
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    sock.close()


class Pod:
    """A running supervisor."""

    def __init__(self, settings: PodSettings, orders: socket.socket) -> None:
        self.api = InventedApi()
        self.log = StringIO()
        self.settings = settings
        self._orders = orders

    async def __aenter__(self) -> "Pod":
        supervisor = Supervisor(self.settings, self.api, Forks(self._orders), Logger("supervisor", self.log))
        self.status = asyncio.ensure_future(supervisor.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.status.done():
            os.kill(os.getpid(), signal.SIGTERM)
        assert await self.status == 0

    async def until(self, is_true: Callable[[Report], bool], limit_s: float = 20.0) -> Report:
        """The first report for which it holds, of those from now on or the last."""
        checked = max(len(self.api.reports) - 1, 0)
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    for report in self.api.reports[checked:]:
                        if is_true(report):
                            return report
                    checked = max(len(self.api.reports) - 1, 0)
                    await asyncio.sleep(0.002)
        except TimeoutError as error:
            raise AssertionError([*self.api.reports[-1:], self.log.getvalue()]) from error

    async def until_ready(self, is_ready: bool) -> None:
        async with asyncio.timeout(20.0):
            while ((await self.readiness())[0] == 200) != is_ready:  # noqa: ASYNC110  # a probe is asked, not told
                await asyncio.sleep(0.01)

    async def metrics(self) -> list[str]:
        url = f"http://127.0.0.1:{self.settings.probe_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return (await response.text()).splitlines()

    async def readiness(self) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.settings.probe_port}/readyz"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()


def is_applied(report: Report, epoch: int = 1) -> bool:
    return report.epoch == epoch and [seat.experts for seat in report.seats] == [[0, 1], [2, 3]]


async def test_a_pod_starts_its_ranks_when_the_layout_names_it_and_is_ready_when_it_is_applied(
    settings: PodSettings, orders: socket.socket
) -> None:
    async with Pod(settings, orders) as pod:
        await pod.api.put(stage(pod_uid="another"))
        await asyncio.sleep(0.2)
        assert pod.api.reports == []
        assert (await pod.readiness())[0] == 503
        await pod.api.put(stage(2))
        report = await pod.until(lambda report: is_applied(report, 2))
        assert all(seat.address.startswith("127.0.0.1:") and seat.gpu.healthy for seat in report.seats)
        assert await pod.readiness() == (200, "ok\n")
        assert 'moe_rank_serving{rank="0"} 1' in await pod.metrics()
        written = len(pod.api.reports)
        await asyncio.sleep(1.0)
        assert len(pod.api.reports) == written


async def test_a_gpu_that_fails_is_reported_within_a_moment_and_again_when_it_heals(
    settings: PodSettings, orders: socket.socket, tmp_path: Path
) -> None:
    async with Pod(settings, orders) as pod:
        await pod.api.put(stage())
        await pod.until(is_applied)
        num_written = len(pod.api.reports)
        assert pod.api.ready_at == []
        (tmp_path / "gpu1").write_text("failed: XID 79\n")
        failed = await pod.until(lambda report: not report.seats[1].gpu.healthy)
        assert pod.api.ready_at == [num_written], "the connection is made before it is known what to report"
        assert (failed.seats[1].state, failed.seats[1].gpu.reason, failed.seats[1].address) == ("failed", "XID 79", "")
        assert failed.seats[0].state == "serving"
        (tmp_path / "gpu1").write_text("healthy\n")
        healed = await pod.until(is_applied)
        assert healed.seats[1].incarnation > 1


@pytest.mark.parametrize("failure", ["exit", "hang", "device"])
async def test_a_drill_is_carried_out_once_and_the_rank_comes_back(
    settings: PodSettings, orders: socket.socket, failure: str
) -> None:
    async with Pod(settings, orders) as pod:
        await pod.api.put(stage())
        await pod.until(is_applied)
        until = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
        drill = {"name": "one", "rank": 1, "failure": failure, "until": until}
        await pod.api.put(stage(2, drill=drill))
        if failure == "device":
            failed = await pod.until(lambda report: report.seats[1].gpu.reason == "drill one")
            assert failed.seats[1].gpu.is_rehearsed
            assert (failed.seats[1].state, failed.seats[1].address) == ("failed", "")
        back = await pod.until(lambda report: report.seats[1].incarnation == 2 and is_applied(report, 2))
        assert (back.seats[0].incarnation, back.seats[1].gpu.healthy) == (1, True)
        await pod.api.put(stage(3, drill=drill))
        await pod.until(lambda report: is_applied(report, 3))
        assert pod.log.getvalue().count("drill one: rank 1 fails") == 1


async def test_without_the_api_server_ranks_are_forked_again_and_the_report_follows(
    settings: PodSettings, orders: socket.socket
) -> None:
    async with Pod(settings, orders) as pod:
        await pod.api.put(stage())
        await pod.until(is_applied)
        pod.api.is_away = True
        await pod.api.put(pod.api.state)
        os.kill(_child_pid(settings, 1), signal.SIGKILL)
        await pod.until_ready(False)
        await pod.until_ready(True)
        pod.api.is_away = False
        report = await pod.until(lambda report: report.seats[1].incarnation == 2 and is_applied(report))
        assert report.seats[1].restarts == 1


async def test_a_pod_that_no_layout_names_any_more_kills_its_ranks(
    settings: PodSettings, orders: socket.socket
) -> None:
    async with Pod(settings, orders) as pod:
        await pod.api.put(stage())
        await pod.until(is_applied)
        pids = [_child_pid(settings, rank) for rank in range(2)]
        await pod.api.put(stage(2, pod_uid="another"))
        assert (await pod.until(lambda report: not report.seats)).seats == []
        async with asyncio.timeout(5):
            while _any_alive(pids):  # noqa: ASYNC110  # processes notify nobody
                await asyncio.sleep(0.01)


async def test_a_checkpoint_of_another_shape_is_told_with_value_rule_and_remedy(
    settings: PodSettings, orders: socket.socket
) -> None:
    async with Pod(settings, orders) as pod:
        wrong = stage()
        wrong["spec"]["model"] = {**wrong["spec"]["model"], "shape": {**SHAPE, "experts": 8}}
        await pod.api.put(wrong)
        report = await pod.until(lambda report: bool(report.error))
        assert report.error.startswith("spec.model.shape.experts is 8 and the checkpoint's is 4")
        assert all(seat.gpu.healthy for seat in report.seats)
        status, text = await pod.readiness()
        assert (status, text.splitlines()[0]) == (503, report.error)


async def test_an_expert_that_cannot_be_loaded_is_told_with_its_reason_and_loaded_when_it_can_be(
    settings: PodSettings, orders: socket.socket, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(settings.model_path, tmp_path / "model"))
    async with Pod(replace(settings, model_path=folder), orders) as pod:
        await pod.api.put(stage())
        await pod.until(is_applied)
        ranks = [_child_pid(settings, rank) for rank in range(2)]
        files = _cut(folder)
        experts = [{"expert": 0, "ranks": [0], "loading": [1]}, {"expert": 1, "ranks": [0]}]
        experts += [{"expert": expert, "ranks": [1]} for expert in (2, 3)]
        await pod.api.put(stage(2, experts=experts))
        report = await pod.until(lambda report: bool(report.seats[1].failed))
        assert [failed.expert for failed in report.seats[1].failed] == [0]
        assert "(1000 bytes) cannot be read" in report.seats[1].failed[0].reason
        assert (report.seats[1].experts, report.seats[1].state, report.error) == ([2, 3], "serving", "")
        for file, whole in files.items():
            file.write_bytes(whole)
        mended = await pod.until(lambda report: report.seats[1].experts == [0, 2, 3])
        assert (mended.seats[1].failed, mended.seats[1].restarts) == ([], 0)
        assert [_child_pid(settings, rank) for rank in range(2)] == ranks


async def test_an_object_that_cannot_be_read_is_told(settings: PodSettings, orders: socket.socket) -> None:
    async with Pod(settings, orders) as pod:
        await pod.api.put(stage(newField=1))
        report = await pod.until(lambda report: bool(report.error))
        assert "MoEStage d-r0-s00 cannot be read" in report.error


async def test_a_supervisor_without_its_fork_server_ends(settings: PodSettings, orders: socket.socket) -> None:
    pod = Pod(settings, orders)
    await pod.__aenter__()
    await pod.api.put(stage())
    await pod.until(is_applied)
    rank = _child_pid(settings, 0)
    os.kill(_parent(rank), signal.SIGKILL)
    async with asyncio.timeout(5):
        assert await pod.status == 1


def _cut(folder: Path) -> dict[Path, bytes]:
    """Leave of each file with weights its beginning only; what they were."""
    files = {file: file.read_bytes() for file in folder.glob("*.safetensors")}
    for file in files:
        os.truncate(file, 1000)
    return files


def _any_alive(pids: list[int]) -> bool:
    return any(Path(f"/proc/{pid}").exists() for pid in pids)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[1])


def _child_pid(settings: PodSettings, rank: int) -> int:
    """Of the process that has the rank's health file open."""
    wanted = settings.state_dir.parent / f"gpu{rank}"
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and any(_target(link) == str(wanted) for link in _links(entry)):
            return int(entry.name)
    raise AssertionError(f"no process drives {wanted}")


def _links(process: Path) -> list[Path]:
    try:
        return list((process / "fd").iterdir())
    except OSError:
        return []


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
