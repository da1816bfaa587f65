"""A sample of chaos (`make chaos` has the whole): some strikes of the kinds that are over soonest, one seed."""

import subprocess
import sys

import pytest

from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]
KINDS = ("exit", "hang", "device", "two-at-once", "evacuate", "pod", "supervisor")
STRIKES, MINUTES = 16, 1.5


def test_nothing_fails_and_all_is_as_planned_after_a_sample_of_chaos() -> None:
    options = ("--seed", "1", "--kills", str(STRIKES), "--minutes", str(MINUTES), "--only", *KINDS)
    command = [sys.executable, "-m", "benchmarks.chaos", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-8000:]}"
