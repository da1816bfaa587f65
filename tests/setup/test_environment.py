from pathlib import Path

import pytest

from setup.environment import INPUTS, Environment


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    for name in INPUTS:
        (tmp_path / name).write_text(name)
    bin_folder = tmp_path / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").write_text("#!/bin/sh\nexit 0\n")
    (bin_folder / "python").chmod(0o755)
    return Environment(tmp_path)


def test_it_is_complete_only_once_it_was_marked(environment: Environment) -> None:
    assert not environment.is_complete()
    environment.mark_complete()
    assert environment.is_complete()


@pytest.mark.parametrize("name", INPUTS)
def test_other_requirements_make_it_incomplete(environment: Environment, name: str) -> None:
    environment.mark_complete()
    (environment.root / name).write_text("changed")
    assert not environment.is_complete()


def test_other_kernels_make_it_incomplete(environment: Environment) -> None:
    source = environment.root / "worker" / "moe_worker" / "kernels" / "source"
    source.mkdir(parents=True)
    environment.mark_complete()
    (source / "product.cpp").write_text("changed")
    assert not environment.is_complete()


def test_an_install_that_was_cut_off_is_forgotten(environment: Environment) -> None:
    site = environment.folder / "lib" / "python3.11" / "site-packages"
    for name, is_whole in (("whole-1.dist-info", True), ("cut-1.dist-info", False), ("~orch", False)):
        (site / name).mkdir(parents=True)
        if is_whole:
            (site / name / "INSTALLER").write_text("pip")
    environment.forget_interrupted_installs()
    assert [path.name for path in site.iterdir()] == ["whole-1.dist-info"]
