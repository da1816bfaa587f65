"""The simulation can fail: it finds every broken rule within a bounded number of histories."""

import pytest

from tests.moe_worker.protocol.simulation.history import run_history
from tests.moe_worker.protocol.simulation.mutants import MUTANTS

MAX_HISTORIES = 600


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_found(name: str) -> None:
    mutant = MUTANTS[name]
    for seed in range(MAX_HISTORIES):
        try:
            run_history(seed, mutant.make_core, menu=mutant.menu)
        except Exception:  # noqa: BLE001  # however it shows
            return
    pytest.fail(f"a core that {name} passed {MAX_HISTORIES} histories")


@pytest.mark.parametrize("menu", sorted({mutant.menu for mutant in MUTANTS.values()}, key=len))
def test_without_the_mutation_the_same_histories_pass(menu: tuple[object, ...]) -> None:
    for seed in range(50):
        run_history(seed, menu=menu)  # type: ignore[arg-type]
