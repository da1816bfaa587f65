"""An API server in memory with the guards of the real one, behind the same `Api`: for tests and for trying things out.

It knows names, UIDs, resource versions, generations, label selectors, preconditions and owner references; no schemas,
no scheduling and no controllers. `before_write` and `after_write` are called around every write and may raise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from moe_operator import errors
from moe_operator.api import Json, Resource

Place = tuple[str, str, str]
OnWrite = Callable[[str, Place], None]


class MemoryApi:
    """Objects by (plural, namespace, name). Everything given out is a copy."""

    def __init__(self, before_write: OnWrite = lambda verb, place: None) -> None:
        self._objects: dict[Place, Json] = {}
        self._last_number = 0
        self.before_write = before_write
        self.after_write: OnWrite = lambda verb, place: None
        self.num_reads = 0
        self.writes: list[tuple[str, Place]] = []

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Json:
        self.num_reads += 1
        return _copy(self._existing((resource.plural, namespace or "", name)))

    async def list_objects(self, resource: Resource, namespace: str | None, labels: Mapping[str, str]) -> list[Json]:
        self.num_reads += 1
        return [
            _copy(found)
            for (plural, where, _), found in sorted(self._objects.items())
            if plural == resource.plural
            and namespace in (None, where)
            and labels.items() <= found["metadata"].get("labels", {}).items()
        ]

    async def create(self, resource: Resource, body: Json) -> Json:
        place = self._place(resource, body)
        self._write("create", place)
        if place in self._objects:
            raise errors.Conflict(f"{place} exists")
        number = self._next_number()
        made = _copy(body) | {"apiVersion": resource.api_version, "kind": resource.kind}
        made["metadata"] |= {"uid": f"uid-{number}", "generation": 1, "resourceVersion": str(number)}
        self._objects[place] = made
        self.after_write("create", place)
        return _copy(made)

    async def apply(self, resource: Resource, body: Json) -> Json:
        place = self._place(resource, body)
        uid = body["metadata"].get("uid")
        if uid is not None and (place not in self._objects or self._objects[place]["metadata"]["uid"] != uid):
            raise errors.Conflict(f"{place} has another uid, or is gone")
        if place not in self._objects:
            return await self.create(resource, body)
        self._write("apply", place)
        return self._stored("apply", place, _merged(self._objects[place], _copy(body)))

    async def replace(self, resource: Resource, body: Json) -> Json:
        place = self._place(resource, body)
        self._write("replace", place)
        self._check_version(place, body)
        kept = {"status": self._objects[place].get("status", {})}
        return self._stored("replace", place, _copy(body) | kept)

    async def replace_status(self, resource: Resource, body: Json) -> Json:
        place = self._place(resource, body)
        self._write("status", place)
        self._check_version(place, body)
        return self._stored("status", place, self._objects[place] | {"status": _copy(body["status"])})

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str, force: bool = False) -> None:
        place = (resource.plural, namespace, name)
        self._write("force-delete" if force else "delete", place)
        if self._existing(place)["metadata"]["uid"] != uid:
            raise errors.Conflict(f"{place} has another uid")
        self._remove(place)
        self.after_write("delete", place)

    def put(self, resource: Resource, body: Json) -> Json:
        """What somebody else does: create or replace without any guard, and without it counting as a write of ours."""
        place = self._place(resource, body)
        if place in self._objects:
            return self._store(place, self._objects[place] | _copy(body))
        number = self._next_number()
        made: Json = {"apiVersion": resource.api_version, "kind": resource.kind, **_copy(body)}
        made["metadata"] = {"uid": f"uid-{number}", "generation": 1, "resourceVersion": str(number)} | made["metadata"]
        self._objects[place] = made
        return _copy(made)

    def version(self) -> dict[Place, str]:
        """Every object and its resourceVersion: equal as long as nothing changed."""
        return {place: found["metadata"]["resourceVersion"] for place, found in self._objects.items()}

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """What somebody else does: the object is gone, and with it what it owns."""
        self._remove((resource.plural, namespace, name))

    def _remove(self, place: Place) -> None:
        uid = self._objects.pop(place)["metadata"]["uid"]
        for other, found in list(self._objects.items()):
            owners = found["metadata"].get("ownerReferences", [])
            if other in self._objects and any(owner["uid"] == uid for owner in owners):
                self._remove(other)

    def _stored(self, verb: str, place: Place, body: Json) -> Json:
        stored = self._store(place, body)
        self.after_write(verb, place)
        return stored

    def _store(self, place: Place, body: Json) -> Json:
        before = self._objects[place]
        if _without_version(body) == _without_version(before):
            return _copy(before)
        generation = before["metadata"].get("generation", 1) + (body.get("spec") != before.get("spec"))
        guarded = {"uid": before["metadata"]["uid"], "generation": generation}
        body["metadata"] = body["metadata"] | guarded | {"resourceVersion": str(self._next_number())}
        self._objects[place] = body
        return _copy(body)

    def _check_version(self, place: Place, body: Json) -> None:
        if self._existing(place)["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise errors.Conflict(f"{place} has moved on")

    def _existing(self, place: Place) -> Json:
        if place not in self._objects:
            raise errors.NotFound(f"no {place}")
        return self._objects[place]

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _write(self, verb: str, place: Place) -> None:
        self.before_write(verb, place)
        self.writes.append((verb, place))

    def _place(self, resource: Resource, body: Json) -> Place:
        return resource.plural, body["metadata"].get("namespace", "") if resource.namespaced else "", _name(body)


def _copy(value: Json) -> Json:
    """Through JSON, as everything that the real one takes and gives."""
    copied: Json = json.loads(json.dumps(value))
    return copied


def _name(body: Json) -> str:
    name: str = body["metadata"]["name"]
    return name


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merged(old.get(key), value) for key, value in new.items()}
    return new


def _without_version(body: Json) -> Json:
    metadata = {k: v for k, v in body["metadata"].items() if k not in ("resourceVersion", "generation", "uid")}
    return body | {"metadata": metadata}
