"""Values out of a mapping that somebody else wrote, each checked for its type and size. Knows no key's meaning."""

from collections.abc import Mapping
from typing import Any

from moe_planner.errors import PlanError
from moe_planner.limits import MOST_LAYERS, MOST_SIZE, shown

_MOST_LISTED = 20


class Fields:
    """A mapping from a file, read by key. Every complaint is a PlanError that names the key's path.

    A key whose value is null counts as missing, as it does to the programs that write such files. `remedy` is what to
    do where nothing better is known.
    """

    def __init__(self, values: object, path: str, remedy: str) -> None:
        if not isinstance(values, Mapping):
            raise PlanError(path or "planning file", shown(values), "must be a mapping of keys to values", remedy)
        self.path = path
        self.remedy = remedy
        self._values: Mapping[Any, Any] = values

    def has(self, key: str) -> bool:
        return self._values.get(key) is not None

    @property
    def is_empty(self) -> bool:
        return not self._values

    def value(self, key: str) -> object:
        """As it was written; None where it is missing."""
        return self._values.get(key)

    def part(self, key: str) -> "Fields":
        """The mapping under the key, an empty one where it is missing."""
        value = self._values.get(key)
        return Fields({} if value is None else value, self.at(key), self.remedy)

    def at(self, key: str) -> str:
        """The key's path."""
        return f"{self.path}.{key}" if self.path else key

    def refuse_others(self, *known: str) -> None:
        """Raises PlanError for the first key that is none of those known: a misspelt one would be ignored unseen."""
        for key in self._values:
            if key not in known:
                rule = f"is no key that is known; those here are {_listed(known)}"
                raise PlanError(self.at(shown(key)), shown(self._values[key]), rule, "correct or remove it")

    def number(self, *keys: str, default: int | None = None, least: int = 1, most: int = MOST_SIZE) -> int:
        """The whole number under the first of the keys that is there. Without a default it must be."""
        key = next((key for key in keys if self.has(key)), keys[0])
        value = self._values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.error(key, f"must be a whole number of {least} to {most}")
        return value

    def number_or_null(self, key: str) -> int:
        """The whole number under a key that must be there; 0 where it is null."""
        return 0 if key in self._values and self._values[key] is None else self.number(key)

    def flag(self, key: str, *, default: bool = False) -> bool:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def text(self, key: str, *, default: str = "") -> str:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(key, "must be a text")
        return value

    def items(self, key: str, *, most: int = MOST_LAYERS) -> tuple[object, ...]:
        """The list under the key, empty where it is missing."""
        value = self._values.get(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or len(value) > most:
            raise self.error(key, f"must be a list of at most {most} items")
        return tuple(value)

    def layers(self, key: str, num_layers: int) -> tuple[int, ...]:
        """The layer indices under the key, in ascending order and each once."""
        indices = self.items(key)
        if not all(isinstance(index, int) and not isinstance(index, bool) for index in indices):
            raise self.error(key, "must be a list of layer indices")
        return tuple(sorted({index for index in indices if isinstance(index, int) and 0 <= index < num_layers}))

    def error(self, key: str, rule: str, remedy: str = "") -> PlanError:
        return PlanError(self.at(key), shown(self._values.get(key)), rule, remedy or self.remedy)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= _MOST_LISTED else f"{', '.join(names[:_MOST_LISTED])} and more"
