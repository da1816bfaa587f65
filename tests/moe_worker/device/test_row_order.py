import os
from pathlib import Path

import pytest

from moe_worker.device.row_order import SETTING, STRICT, keep_row_order


@pytest.mark.parametrize(
    ("cpu", "already", "then"),
    [
        ("GenuineIntel", None, STRICT),
        ("GenuineIntel", "COMPATIBLE", "COMPATIBLE"),
        ("AuthenticAMD", None, None),
    ],
)
def test_only_on_intels_cpus_products_are_kept_to_one_order_and_a_users_word_stays(
    cpu: str, already: str | None, then: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SETTING, raising=False)
    if already is not None:
        monkeypatch.setenv(SETTING, already)
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nvendor_id\t: {cpu}\n")
    keep_row_order(file)
    found = os.environ.get(SETTING)
    assert found == then


def test_where_the_cpu_is_not_told_nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTING, raising=False)
    keep_row_order(tmp_path / "none")
    assert SETTING not in os.environ
