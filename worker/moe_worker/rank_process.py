"""What a forked process does to become a rank: open its device, read its stage's weights, then loop until told to stop.

The only module that joins the protocol with torch; the fork server imports it so that its forks have it all.
"""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from moe_wire.framing import MAX_FRAME_BYTES
from moe_wire.handshake import Identity as PeerIdentity
from moe_wire.handshake import read_secret
from moe_worker.control import ControlChannel, take_channel
from moe_worker.device.base import Device, DeviceError
from moe_worker.device.cpu import CpuDevice
from moe_worker.device.opening import find_device
from moe_worker.device.probe import Probe
from moe_worker.errors import EXIT_DEVICE, EXIT_MODEL
from moe_worker.logs import Logger
from moe_worker.model.engine import Engine, open_engine
from moe_worker.model.errors import CheckpointError
from moe_worker.protocol.rank import RankCore
from moe_worker.protocol.settings import Identity
from moe_worker.rank_loop import RankLoop
from moe_worker.rank_settings import RankSettings
from moe_worker.service_times import ServiceTimes, TimedCompute
from moe_worker.transport.nixl import open_nixl
from moe_worker.transport.tcp import TcpTransport

MAX_QUEUED_BYTES = 1024 * 1024 * 1024
YIELD_TO_REPAIR = 10
"""Niceness that a settled rank adds: where ranks compute on the CPU, those that mend a failure go first."""


@torch.inference_mode()
def run_rank(order: dict[str, Any], control_fd: int) -> int:
    """Drive one rank; the exit status. Its last words go to the supervisor, who reports them."""
    settings = RankSettings.from_json(order)
    log = Logger(f"rank {settings.rank}")
    control = take_channel(socket.socket(fileno=control_fd))
    os.environ["RANK"], os.environ["LOCAL_RANK"] = str(settings.rank), str(settings.gpu)
    try:
        _serve(settings, control, log)
    except DeviceError as error:
        return _end(control, log, f"device: {error}", str(error), EXIT_DEVICE)
    except CheckpointError as error:
        return _end(control, log, f"model: {error}", str(error), EXIT_MODEL)
    except Exception as error:
        control.send({"last_words": f"{type(error).__name__}: {error}"})
        raise
    return 0


def warm_up(order: dict[str, Any]) -> None:
    """Read the stage's weights and an expert once and compute something, where that takes no device: the next time is
    far shorter.

    What is in the way of it is left for the rank to find.
    """
    settings = RankSettings.from_json(order)
    with suppress(DeviceError, CheckpointError):
        if isinstance(find_device(settings.gpu, os.environ), CpuDevice):
            device = CpuDevice(None)
            device.open()
            engine = _open_engine(settings, device)
            # One expert: the first of a process takes longer than those after it.
            for expert in engine.config.expert_ids(engine.settings.layers)[:1]:
                engine.load(expert)
            engine.close()
            Probe(device, time.perf_counter)()


def _end(control: ControlChannel, log: Logger, line: str, last_words: str, status: int) -> int:
    log.error(line)
    control.send({"last_words": last_words, "code": status})
    return status


def _serve(settings: RankSettings, control: ControlChannel, log: Logger) -> None:
    started = time.monotonic()
    # First of all: a device that is still broken is to be known at once.
    device = find_device(settings.gpu, os.environ)
    control.send({"gpu_id": device.id})
    device.open()
    # Peers may get through to the kernel at once; they are greeted when the weights are here.
    transport = _make_transport(settings, log)
    engine = _open_engine(settings, device)
    who = Identity(rank=settings.rank, pod_uid=settings.pod_uid, incarnation=settings.incarnation)
    times = ServiceTimes(Probe(device, time.perf_counter))
    core = RankCore(who, settings.settings(), TimedCompute(engine, times, time.perf_counter), transport)
    means = "kernels" if engine.is_native else "torch's operations"
    took_ms = (time.monotonic() - started) * 1000
    log.info(f"up in {took_ms:.0f} ms on {device.name} with {means} at {settings.address}")
    loop = RankLoop(
        core=core,
        transport=transport,
        control=control,
        device=device,
        times=times,
        settled=lambda: os.nice(YIELD_TO_REPAIR),
        clock=time.monotonic,
        log=log,
        loads_every_seconds=settings.loads_every_seconds,
    )
    loop.run(engine.wakeup_fd)


def _open_engine(settings: RankSettings, device: Device) -> Engine:
    try:
        return open_engine(
            Path(settings.model_path),
            device=device,
            settings=settings.settings(),
            dtype=settings.dtype,
            declared=settings.shape,
        )
    except OSError as error:  # no fault of the device's: the rank is tried again, ever more slowly
        raise CheckpointError(
            f"{settings.model_path} cannot be read ({error})",
            "the volume with the checkpoint must be there when a rank starts",
            "bring it back; it is tried again",
        ) from error


def _make_transport(settings: RankSettings, log: Logger) -> TcpTransport:
    options: dict[str, Any] = {
        "identity": PeerIdentity(
            kind="rank",
            deployment=settings.deployment,
            replica=settings.replica,
            rank=settings.rank,
            pod_uid=settings.pod_uid,
            incarnation=settings.incarnation,
        ),
        "secret": read_secret(Path(settings.secret_file).read_bytes()),
        "listener": bind_seat(settings.address),
        "clock": time.monotonic,
        "log": log.warning,
        "max_frame_bytes": MAX_FRAME_BYTES,
        "max_queued_bytes": MAX_QUEUED_BYTES,
    }
    transport = open_nixl(**options) if settings.transport == "nixl" else TcpTransport(**options)
    transport.listen()
    return transport


def bind_seat(address: str) -> socket.socket:
    """A socket on the seat's port, which the supervisor keeps bound too so that nobody else gets it."""
    host, _, port = address.rpartition(":")
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, int(port)))
    return sock
