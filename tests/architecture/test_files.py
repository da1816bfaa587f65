import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REGISTRIES = re.compile(
    r"(?:files|test)?\.?python" r"hosted\.org|py" r"pi\.org|proxy\.go" r"lang\.org|sum\.go" r"lang\.org"
    r"|registry\.npm" r"js\.org|index-" r"url|GO" r"PROXY\s*="
)  # fmt: skip


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_crds_are_what_the_models_generate(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "moe_api.crd", str(tmp_path)], check=True)
    generated = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert generated == {path.name: path.read_text() for path in (ROOT / "crds").iterdir()}
    assert len(generated) == 2


def test_no_file_names_a_package_registry() -> None:
    named = [str(path.relative_to(ROOT)) for path in tracked() if REGISTRIES.search(_text(path))]
    assert named == []


def test_everything_that_make_creates_is_ignored() -> None:
    status = subprocess.run(["git", "check-ignore", ".venv", ".venv.lock", ".moe-local"], cwd=ROOT, capture_output=True)
    assert status.stdout.split() == [b".venv", b".venv.lock", b".moe-local"]


def test_every_requirement_has_one_locked_version() -> None:
    locked = {_name(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    assert {_name(one) for one in wanted} - {"moe-operator"} <= locked


@pytest.mark.parametrize("target", ["operator", "worker", "gateway"])
def test_every_image_installs_its_own_extra_and_runs_as_nobody(target: str) -> None:
    stages = (ROOT / "Dockerfile").read_text().split("\nFROM ")
    stage = next(text for text in stages if text.splitlines()[0].endswith(f" AS {target}"))
    assert "USER 65532" in stage
    assert f'ENTRYPOINT ["moe-{target}"]' in stage


def _text(path: Path) -> str:
    return path.read_text(errors="ignore")


def _name(requirement: str) -> str:
    return re.split(r"[\[=<>~! ]", requirement)[0].lower().replace("_", "-")
