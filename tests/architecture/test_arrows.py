import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ("operator", "worker")
LONGEST_FILE = 400


def sources() -> list[Path]:
    return [
        path
        for root in (*ROOTS, "demo", "setup", "benchmarks", "training")
        for path in sorted((ROOT / root).rglob("*.py"))
    ]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_follow_the_arrows_of_the_design() -> None:
    found = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("root", ROOTS)
def test_the_source_roots_are_no_packages(root: str) -> None:
    assert not (ROOT / root / "__init__.py").exists()


def test_the_standard_library_s_operator_wins_at_the_root_of_the_repo() -> None:
    found = run(sys.executable, "-c", "import collections, operator; print(operator.add(1, 2))")
    assert found.stdout == "3\n", found.stderr


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        (
            "torch",
            {
                "moe_worker/kernels",
                "moe_worker/model",
                "moe_worker/device",
                "moe_worker/fork_server.py",
                "moe_worker/rank_process.py",
                "moe_worker/make_checkpoint",
                "demo/reference.py",
                "benchmarks/engine",
                "training",
            },
        ),
        ("fastapi", {"moe_gateway"}),
        ("kopf", {"moe_operator"}),
    ],
)
def test_a_heavy_library_is_imported_in_its_own_corner_only(library: str, homes: set[str]) -> None:
    strays = [
        str(path.relative_to(ROOT))
        for path in sources()
        if _imports(path, library) and not any(f"/{home}" in str(path) for home in homes)
    ]
    assert strays == []


@pytest.mark.parametrize("package", ["moe_operator", "moe_worker", "moe_gateway", "moe_local", "moe_kubectl"])
def test_one_module_of_a_package_talks_to_the_api_server(package: str) -> None:
    homes = [path for path in sources() if package in path.parts and _imports(path, "kubernetes")]
    assert {path.stem for path in homes} <= {"api"}


def test_no_file_is_longer_than_a_reader_bears() -> None:
    files = [*sources(), *sorted((ROOT / "tests").rglob("*.py"))]
    long = {str(path.relative_to(ROOT)): length for path in files if (length := _length(path)) > LONGEST_FILE}
    assert long == {}


def test_every_package_folder_is_one_of_ours() -> None:
    found = {path.name for root in ROOTS for path in (ROOT / root).iterdir() if (path / "__init__.py").exists()}
    declared = (ROOT / "pyproject.toml").read_text()
    assert all(f'/{name}"' in declared for name in found), found


def _imports(path: Path, library: str) -> bool:
    lines = (line.strip() for line in path.read_text().splitlines())
    starts = (f"import {library}", f"from {library} ", f"from {library}.")
    return any(line.startswith(starts) for line in lines)


def _length(path: Path) -> int:
    return len(path.read_text().splitlines())
