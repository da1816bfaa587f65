from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from moe_local import process


@pytest.fixture
def records(tmp_path: Path) -> process.Records:
    (tmp_path / "records").mkdir()
    return process.Records(tmp_path / "records")


def sleeper(records: process.Records, tmp_path: Path, ignore_term: bool = False) -> process.Identity:
    trap = "trap '' TERM;" if ignore_term else ""
    script = f"{trap} echo up; while :; do sleep 0.05; done"
    identity = process.spawn("sleeper", ["/bin/sh", "-c", script], {"PATH": os.defpath}, tmp_path / "log", records)
    while not (tmp_path / "log").read_text():
        pass
    return identity


def test_a_spawned_process_is_recorded_and_stopped(records: process.Records, tmp_path: Path) -> None:
    identity = sleeper(records, tmp_path)
    assert records.read("sleeper") == identity
    assert records.names() == ["sleeper"]
    process.stop([identity], grace_seconds=5.0)
    assert not process.is_alive(identity)
    assert records.read("sleeper") is None


def test_what_ignores_sigterm_is_killed_after_the_grace(records: process.Records, tmp_path: Path) -> None:
    identity = sleeper(records, tmp_path, ignore_term=True)
    process.stop([identity], grace_seconds=0.1)
    assert not process.is_alive(identity)


def test_a_reused_pid_is_never_signalled() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        real = process.identify(other.pid)
        assert real is not None
        for stranger in (replace(real, start_ticks=real.start_ticks - 1), replace(real, boot="another boot")):
            assert not process.is_alive(stranger)
            process.stop([stranger], grace_seconds=0.0)
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0


def test_a_torn_record_counts_as_none(records: process.Records, tmp_path: Path) -> None:
    (tmp_path / "records" / "torn.json").write_text('{"pid": 1')
    assert records.read("torn") is None
