"""What this machine must have before anything is installed: Python, disk, memory, Go. Looks only; changes nothing."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from setup.errors import SetupError

Free = Callable[[Path], int]
GIB = 1 << 30
PYTHON = (3, 11)
GO = (1, 26)
ENVIRONMENT_BYTES = 13 * GIB // 2
"""Disk for .venv: PyTorch's wheel with its libraries is most of it."""
DOWNLOAD_BYTES = 3 * GIB
"""Disk for the wheels, which lie in the temporary folder until all are installed."""
CONTROL_PLANE_BYTES = 5 * GIB
"""Disk for Go's modules, its build cache and the five binaries."""
WORK_BYTES = 1 * GIB // 2
"""Disk for etcd, logs and a small checkpoint."""
MEMORY_BYTES = {"setup": 3 * GIB, "demo": 7 * GIB, "test": 7 * GIB}
"""Memory that must be available, by what is asked for; the demo's 256 ranks are most of it."""


def check_system() -> None:
    """Refuse another system than Linux, a Python that is too old or cannot make virtual environments, no compiler."""
    if sys.platform != "linux":
        raise SetupError(f"This system is {sys.platform}; the embedded cluster needs Linux. Use a Linux machine or VM.")
    if sys.version_info < PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(f"Python is {found}; 3.11 or newer is needed. Install it, or `make PYTHON=python3.11 ...`.")
    try:
        import ensurepip  # noqa: F401 - Debian ships it apart; only whether it is there matters
        import venv  # noqa: F401
    except ImportError:
        raise SetupError(
            f"{sys.executable} cannot make virtual environments (no ensurepip). On Debian: apt install python3-venv."
        ) from None
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        raise SetupError(
            "There is no C++ compiler (c++), which makes the worker's CPU kernels. On Debian: apt install g++."
        )


def check_disk(root: Path, cache: Path, *, has_environment: bool, has_control_plane: bool, free: Free) -> None:
    """Refuse when a file system has less room than what is still to be written to it. `free` tells a folder's bytes."""
    needs: dict[int, tuple[Path, int]] = {}
    for folder, size in (
        (root, WORK_BYTES + (0 if has_environment else ENVIRONMENT_BYTES)),
        (Path(tempfile.gettempdir()), 0 if has_environment else DOWNLOAD_BYTES),
        (cache, 0 if has_control_plane else CONTROL_PLANE_BYTES),
    ):
        place = _existing(folder)
        device = place.stat().st_dev
        needs[device] = (place, needs.get(device, (place, 0))[1] + size)
    for place, needed in needs.values():
        if free(place) < needed:
            raise SetupError(
                f"the disk of {place} has {free(place) / GIB:.1f} GiB free; {needed / GIB:.1f} GiB are needed. Free"
                " some, clone to a larger disk, or name another one by XDG_CACHE_HOME (the built control plane) or"
                " TMPDIR (downloads)."
            )


def free_bytes(folder: Path) -> int:
    """Room on the file system of a folder."""
    return shutil.disk_usage(folder).free


def check_memory(purpose: str, available: int) -> None:
    """Refuse when fewer bytes are `available` than `purpose` (setup, demo or test) needs."""
    needed = MEMORY_BYTES[purpose]
    if available < needed:
        raise SetupError(
            f"{available / GIB:.1f} GiB of memory are available; make {purpose} needs {needed / GIB:.0f} GiB."
            " Close something, or try the small deployment: make e2e-small."
        )


def available_memory() -> int:
    """Bytes that processes started now can use: the kernel's estimate, or what a container's limit leaves."""
    meminfo = Path("/proc/meminfo").read_text()
    found = re.search(r"MemAvailable:\s+(\d+)", meminfo)
    available = int(found[1]) * 1024 if found else 0
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = re.search(r"^anon (\d+)", Path("/sys/fs/cgroup/memory.stat").read_text(), re.M)
    except (OSError, ValueError):
        return available
    return min(available, limit - int(used[1]) if used else limit)


def has_go() -> bool:
    """Whether PATH holds a Go that can build the control plane."""
    go = shutil.which("go")
    if go is None:
        return False
    answer = subprocess.run(
        [go, "env", "GOVERSION"],
        env={**os.environ, "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    version = re.match(r"go(\d+)\.(\d+)", answer)
    return version is not None and (int(version[1]), int(version[2])) >= GO


def cache_folder() -> Path:
    """Where moe-local keeps the binaries it built, by the hash of their inputs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moe-operator"


def has_control_plane() -> bool:
    """Whether some control plane is there already; only for the estimate of disk, moe-local decides for itself."""
    if os.environ.get("KUBEBUILDER_ASSETS"):
        return True
    return any(cache_folder().glob("[!.]*/kube-apiserver"))


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
