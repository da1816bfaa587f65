"""The volumes of one pod: prepares their contents on this machine and keeps tokens and projections fresh."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from moe_local.api import Api
from moe_local.errors import ApiError, StartError
from moe_local.nodes.environment import Facts, Json, decode, expand, field_value, resource_value
from moe_local.sandbox import Mount
from moe_local.state import write_atomically

# A token is replaced when this part of its life is over, as the kubelet does.
TOKEN_LIFE = 0.8
DEFAULT_TOKEN_SECONDS = 3600
Files = dict[str, bytes]


class Volumes:
    """What lies behind the volumeMounts of a pod's containers."""

    def __init__(self, api: Api, pod: Json, folder: Path, facts: Callable[[], Facts]) -> None:
        self._api = api
        self._pod = pod
        self._folder = folder / "volumes"
        self._facts = facts
        self._sources: dict[str, str] = {}
        self._tokens: dict[tuple[str, str], tuple[bytes, float]] = {}

    async def prepare(self) -> None:
        """Makes every volume; raises StartError while something it needs is missing."""
        for volume in self._pod["spec"].get("volumes") or []:
            self._sources[volume["name"]] = await self._source(volume)

    async def refresh(self) -> None:
        """Writes again what may have changed: tokens, ConfigMaps, Secrets, labels."""
        for volume in self._pod["spec"].get("volumes") or []:
            if files := await self._files(volume):
                self._write(volume["name"], files)

    def mounts(self, container: Json, variables: dict[str, str]) -> list[Mount]:
        """The mounts of one container; `variables` are for subPathExpr."""
        result = []
        for mount in container.get("volumeMounts") or []:
            source = self._sources[mount["name"]]
            inside = expand(mount.get("subPathExpr") or "", variables) or mount.get("subPath") or ""
            if inside:
                source = _inside(source, inside)
            read_only = bool(mount.get("readOnly")) or self._is_projection(mount["name"])
            result.append(Mount(source=source, target=mount["mountPath"], read_only=read_only))
        return result

    def remove(self) -> None:
        """Deletes what belongs to the pod alone."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_projection(self, name: str) -> bool:
        kinds = ("configMap", "secret", "downwardAPI", "projected")
        return any(volume["name"] == name and _kind(volume) in kinds for volume in self._pod["spec"]["volumes"])

    async def _source(self, volume: Json) -> str:
        kind = _kind(volume)
        if kind == "emptyDir":
            return str(self._own_folder(volume["name"]))
        if kind == "hostPath":
            return _host_path(volume["hostPath"])
        if kind == "persistentVolumeClaim":
            return await self._claimed(volume["persistentVolumeClaim"]["claimName"])
        files = await self._files(volume)
        if files is None:
            raise StartError(
                "ContainerCreating",
                f"volume {volume['name']}: {kind} volumes are not supported by embedded nodes; use configMap, secret,"
                " downwardAPI, projected, emptyDir, hostPath or persistentVolumeClaim",
            )
        self._write(volume["name"], files)
        return str(self._own_folder(volume["name"]))

    def _own_folder(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write(self, name: str, files: Files) -> None:
        folder = self._own_folder(name)
        for path, content in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists() or file.read_bytes() != content:
                write_atomically(file, content, mode=0o644)
        for stale in [path for path in folder.rglob("*") if path.is_file()]:
            if str(stale.relative_to(folder)) not in files:
                stale.unlink()

    async def _files(self, volume: Json) -> Files | None:
        """The files of a volume that the node writes; None for other kinds."""
        kind = _kind(volume)
        if kind == "projected":
            files: Files = {}
            for source in volume["projected"]["sources"]:
                files |= await self._projection(volume["name"], source)
            return files
        if kind in ("configMap", "secret", "downwardAPI"):
            return await self._projection(volume["name"], {kind: volume[kind]})
        return None

    async def _projection(self, volume: str, source: Json) -> Files:
        if spec := source.get("serviceAccountToken"):
            return {spec["path"]: await self._token(volume, spec)}
        if spec := source.get("configMap"):
            return await self._object("configmaps", spec.get("name", ""), spec)
        if spec := source.get("secret"):
            return await self._object("secrets", spec.get("secretName") or spec.get("name", ""), spec)
        if "downwardAPI" in source:
            return {item["path"]: self._downward(item) for item in source["downwardAPI"].get("items") or []}
        raise StartError("ContainerCreating", f"volume {volume}: projected {', '.join(source)} is not supported")

    async def _object(self, kind: str, name: str, spec: Json) -> Files:
        path = f"/api/v1/namespaces/{self._pod['metadata']['namespace']}/{kind}/{name}"
        try:
            found = decode(kind, await self._api.get(path))
        except ApiError as error:
            if error.status == 404 and spec.get("optional"):
                return {}
            raise StartError("ContainerCreating", f"{kind.removesuffix('s')} {name}: {error.message}") from error
        if not spec.get("items"):
            return found
        missing = [item["key"] for item in spec["items"] if item["key"] not in found]
        if missing and not spec.get("optional"):
            raise StartError("ContainerCreating", f"{kind.removesuffix('s')} {name} has no key {', '.join(missing)}")
        return {item["path"]: found[item["key"]] for item in spec["items"] if item["key"] in found}

    def _downward(self, item: Json) -> bytes:
        facts = self._facts()
        if reference := item.get("fieldRef"):
            return field_value(reference["fieldPath"], facts).encode()
        reference = item["resourceFieldRef"]
        containers = {container["name"]: container for container in facts.pod["spec"]["containers"]}
        return resource_value(reference, containers[reference["containerName"]], facts).encode()

    async def _token(self, volume: str, spec: Json) -> bytes:
        key = (volume, spec["path"])
        token, renewal = self._tokens.get(key, (b"", 0.0))
        if time.monotonic() < renewal:
            return token
        seconds = int(spec.get("expirationSeconds") or DEFAULT_TOKEN_SECONDS)
        try:
            token = await self._request_token(seconds, spec.get("audience"))
        except ApiError as error:
            raise StartError("ContainerCreating", f"no token for the service account: {error.message}") from error
        self._tokens[key] = (token, time.monotonic() + seconds * TOKEN_LIFE)
        return token

    async def _request_token(self, seconds: int, audience: str | None) -> bytes:
        metadata, account = self._pod["metadata"], self._pod["spec"].get("serviceAccountName") or "default"
        # Bound to the pod: the token carries its name and uid, and dies with it.
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        request: Json = {"expirationSeconds": seconds, "boundObjectRef": bound}
        if audience:
            request["audiences"] = [audience]
        answer = await self._api.create(
            f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": request},
        )
        return str(answer["status"]["token"]).encode()

    async def _claimed(self, claim: str) -> str:
        """The path behind a claim: it must be bound to a hostPath or local volume."""
        namespace = self._pod["metadata"]["namespace"]
        try:
            found = await self._api.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
            name = (found.get("spec") or {}).get("volumeName")
            if not name or (found.get("status") or {}).get("phase") != "Bound":
                raise StartError("ContainerCreating", f"persistentVolumeClaim {claim} is not bound to a volume yet")
            volume = (await self._api.get(f"/api/v1/persistentvolumes/{name}"))["spec"]
        except ApiError as error:
            raise StartError("ContainerCreating", f"persistentVolumeClaim {claim}: {error.message}") from error
        source = volume.get("hostPath") or volume.get("local")
        if not source:
            raise StartError(
                "ContainerCreating", f"persistentVolume {name}: only hostPath and local can be mounted here"
            )
        return _host_path(source)


def _kind(volume: Json) -> str:
    return next((key for key in volume if key != "name"), "emptyDir")


def _host_path(source: Json) -> str:
    path, kind = str(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        os.makedirs(path, exist_ok=True)
    elif kind == "FileOrCreate" and not os.path.exists(path):
        Path(path).touch()
    if not os.path.exists(path):
        raise StartError("ContainerCreating", f"hostPath {path}: does not exist on this machine; create it")
    if (kind == "Directory" and not os.path.isdir(path)) or (kind == "File" and not os.path.isfile(path)):
        raise StartError("ContainerCreating", f"hostPath {path}: is no {kind}; correct the path or the type")
    return path


def _inside(source: str, path: str) -> str:
    if path.startswith("/") or ".." in Path(path).parts:
        raise StartError("CreateContainerConfigError", f"subPath {path}: must be relative and without `..`")
    full = os.path.join(source, path)
    if not os.path.exists(full):
        os.makedirs(full)
    return full
