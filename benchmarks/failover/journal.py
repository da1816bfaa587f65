"""A run's records, one JSON line each, so that a run that was cut off goes on and a report can be made at any time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Journal:
    """The file of one run. `kind` says what a record is about; the rest is its own."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, kind: str, **fields: Any) -> None:
        """Written at once."""
        with self._file.open("a") as file:
            file.write(json.dumps({"kind": kind, **fields}) + "\n")

    def read(self, kind: str, **wanted: Any) -> list[Record]:
        """The records of a kind that have these fields, in order."""
        return [
            record
            for record in self._records()
            if record["kind"] == kind and all(record.get(name) == value for name, value in wanted.items())
        ]

    def _records(self) -> Iterator[Record]:
        if self._file.is_file():
            for line in self._file.read_text().splitlines():
                # The last line may be torn where the run was killed.
                if line.endswith("}"):
                    yield json.loads(line)
