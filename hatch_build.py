"""Compiles the worker's CPU kernels when the distribution is built or installed for development.

Only for x86-64, the one architecture they are written for; elsewhere, and where there is no C++ compiler, the worker
computes with torch's own operations.
"""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("worker/moe_worker/kernels")
LIBRARY = FOLDER / "libkernels.so"
# Contraction is off: what is one rounding and what are two is said in the code, so bits are no compiler's choice.
FLAGS = [
    "-std=c++17",
    "-O3",
    "-march=x86-64-v3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-shared",
    "-fPIC",
]


class CustomBuildHook(BuildHookInterface[Any]):
    """Makes `LIBRARY` from the sources beside it and puts it into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        compiler = shutil.which(os.environ.get("CXX", "c++"))
        if self.target_name != "wheel" or platform.machine() != "x86_64":
            return
        if compiler is None:
            self.app.display_warning("no C++ compiler (c++): the worker will compute with torch's operations, slower")
            return
        root = Path(self.root)
        sources = sorted(str(source) for source in (root / FOLDER / "source").glob("*.cpp"))
        partial = root / LIBRARY.with_suffix(".partial")
        subprocess.run([compiler, *FLAGS, *sources, "-o", str(partial)], check=True)
        # At once, since ranks of a running deployment may have the old one mapped.
        partial.rename(root / LIBRARY)
        build_data["artifacts"].append(str(LIBRARY))
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-linux_x86_64"
