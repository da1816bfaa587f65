"""The environment of a container, resolved from its spec. Pure: what the references name is passed in."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moe_local.errors import StartError

Json = dict[str, Any]
# (kind, name) -> the object, None when there is none.
Lookup = Callable[[str, str], Json | None]

REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.\-][A-Za-z0-9_.\-]*)\))")
SUFFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the downward API may tell of a pod. `pod_ip` is the loopback address the pod can really bind."""

    pod: Json
    pod_ip: str
    host_ip: str
    allocatable: Mapping[str, str]


def resolve(container: Json, base: Mapping[str, str], facts: Facts, lookup: Lookup) -> dict[str, str]:
    """All variables: the base's, then envFrom's, then env's. Raises StartError for what cannot be resolved."""
    result = dict(base)
    for source in container.get("envFrom") or []:
        result |= _whole_object(source, lookup)
    for variable in container.get("env") or []:
        value = _value(variable, container, result, facts, lookup)
        if value is not None:
            result[variable["name"]] = value
    return result


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replaces $(NAME) by the variable; leaves unknown names as they are; $$ is a dollar sign."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else variables.get(match[2], match[0])

    return REFERENCE.sub(replace, text)


def references(container: Json) -> set[tuple[str, str]]:
    """The (kind, name) of every ConfigMap and Secret that the environment needs."""
    found = set()
    for source in container.get("envFrom") or []:
        for field, kind in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if source.get(field):
                found.add((kind, source[field]["name"]))
    for variable in container.get("env") or []:
        source = variable.get("valueFrom") or {}
        for field, kind in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if source.get(field):
                found.add((kind, source[field]["name"]))
    return found


def field_value(path: str, facts: Facts) -> str:
    """A fieldRef's value; raises StartError for a path the downward API does not have."""
    metadata, spec = facts.pod["metadata"], facts.pod["spec"]
    plain = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "metadata.labels": _lines(metadata.get("labels")),
        "metadata.annotations": _lines(metadata.get("annotations")),
        "spec.nodeName": spec["nodeName"],
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.podIP": facts.pod_ip,
        "status.podIPs": facts.pod_ip,
        "status.hostIP": facts.host_ip,
        "status.hostIPs": facts.host_ip,
    }
    if path in plain:
        return str(plain[path])
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    raise _config_error(f"fieldPath {path}: not known; use one of {', '.join(plain)}")


def resource_value(reference: Json, container: Json, facts: Facts) -> str:
    """A resourceFieldRef's value in units of its divisor, rounded up; an unset limit is the node's."""
    kind, _, name = reference["resource"].partition(".")
    amount = ((container.get("resources") or {}).get(kind) or {}).get(name)
    if amount is None:
        amount = facts.allocatable.get(name, "0") if kind == "limits" else "0"
    divisor = parse_quantity(str(reference.get("divisor") or "1")) or 1.0
    return str(int(-(-parse_quantity(amount) // divisor)))


def requests_processor(container: Json) -> bool:
    """Whether the container is promised processor time, which it then gets before those that are not."""
    resources = container.get("resources") or {}
    return any(parse_quantity(str((resources.get(kind) or {}).get("cpu", "0"))) > 0 for kind in ("requests", "limits"))


def parse_quantity(text: str) -> float:
    """`500m` -> 0.5, `2Gi` -> 2147483648."""
    if text.endswith("m"):
        return float(text[:-1]) / 1000
    for suffix, factor in SUFFIXES.items():
        if text.endswith(suffix):
            return float(text[: -len(suffix)]) * factor
    return float(text)


def decode(kind: str, found: Json) -> dict[str, bytes]:
    """The keys and contents of a ConfigMap or Secret."""
    if kind == "secrets":
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    texts = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    return texts | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}


def _value(variable: Json, container: Json, known: Mapping[str, str], facts: Facts, lookup: Lookup) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", known)
    if reference := source.get("fieldRef"):
        return field_value(reference["fieldPath"], facts)
    if reference := source.get("resourceFieldRef"):
        return resource_value(reference, container, facts)
    for field, kind in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
        if reference := source.get(field):
            return _key_of_object(kind, reference, lookup)
    raise _config_error(f"env {variable['name']}: valueFrom {', '.join(source)} is not supported by embedded nodes")


def _key_of_object(kind: str, reference: Json, lookup: Lookup) -> str | None:
    found = lookup(kind, reference["name"])
    contents = decode(kind, found) if found else {}
    if reference["key"] in contents:
        return contents[reference["key"]].decode()
    if reference.get("optional"):
        return None
    if found is None:
        raise _config_error(f'{kind.removesuffix("s")} "{reference["name"]}" not found: create it')
    raise _config_error(f"couldn't find key {reference['key']} in {kind.removesuffix('s')} {reference['name']}: add it")


def _whole_object(source: Json, lookup: Lookup) -> dict[str, str]:
    for field, kind in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
        if reference := source.get(field):
            found = lookup(kind, reference["name"])
            if found is None and not reference.get("optional"):
                raise _config_error(f'{kind.removesuffix("s")} "{reference["name"]}" not found: create it')
            prefix = source.get("prefix") or ""
            return {prefix + key: value.decode() for key, value in decode(kind, found or {}).items()}
    return {}


def _lines(values: Mapping[str, str] | None) -> str:
    return "\n".join(f'{key}="{value}"' for key, value in sorted((values or {}).items()))


def _config_error(message: str) -> StartError:
    return StartError("CreateContainerConfigError", message)
