"""`python -m tests.mutants [NAME ...]`: break each rule in a copy of the code, and see its tests fail."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
TREES = ("operator", "worker")
TESTS_FAILED, TESTS_PASSED = 1, 0
LIMIT_S = 600.0
OPTIONS = ("-x", "-q", "--no-header", "-p", "no:cacheprovider", "-m", "not cluster and not e2e")


def main() -> int:
    """Say of each mutant whether it was found."""
    wanted = sys.argv[1:] or list(MUTANTS)
    survivors = [name for name in wanted if not is_found(name, MUTANTS[name])]
    print(f"{len(wanted) - len(survivors)} of {len(wanted)} mutants were found")
    return 1 if survivors else 0


def is_found(name: str, mutant: Mutant) -> bool:
    """Whether the tests fail with it. A run that does not come to testing finds nothing."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="moe-mutant-") as made:
        copy = Path(made)
        for tree in TREES:
            shutil.copytree(ROOT / tree, copy / tree, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / mutant.file
        file.write_text(mutated(file.read_text(), mutant))
        done = _run_tests(copy, mutant)
    words = {TESTS_FAILED: "found", TESTS_PASSED: "NOT FOUND"}
    word = words.get(done.returncode, f"COULD NOT BE TRIED (pytest ended with {done.returncode})")
    print(f"{word}: {name} ({time.monotonic() - began:.0f} s)", flush=True)
    if done.returncode not in words:
        print(done.stdout[-2000:])
    return done.returncode == TESTS_FAILED


def mutated(source: str, mutant: Mutant) -> str:
    """The file with the mutation; ValueError where the text is not there exactly once."""
    if source.count(mutant.text) != 1:
        raise ValueError(f"{mutant.file} has {source.count(mutant.text)} times, not once: {mutant.text}")
    return source.replace(mutant.text, mutant.instead)


def _run_tests(copy: Path, mutant: Mutant) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(copy / tree) for tree in TREES)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", *OPTIONS, *mutant.tests]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )


if __name__ == "__main__":
    sys.exit(main())
