"""A Pod's volumes and variables, made ready on this machine."""

from __future__ import annotations

import base64
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.kube.double.answers import Object
from tests.kube.double.kinds import at, quantity
from tests.kube.double.nodes import ADDRESS
from tests.kube.double.podman import expanded
from tests.kube.double.store import Store

_IS: Mapping[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket file"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


class NotMounted(Exception):
    """A volume is not there (yet); says why in the kubelet's words."""


class NotConfigured(Exception):
    """What a container's variables refer to is not there (yet)."""


class Volumes:
    """The volumes of one Pod, below a folder of its own."""

    def __init__(self, store: Store, pod: Object, folder: Path) -> None:
        self._store, self._pod, self._folder = store, pod, folder
        self._home = str(pod["metadata"]["namespace"])
        self._places: dict[str, Path] = {}
        self._tmpfs: list[Path] = []

    def mount(self) -> None:
        """Make all of them that are not there yet. Raises NotMounted."""
        for volume in self._pod["spec"].get("volumes") or ():
            name = volume["name"]
            if name in self._places:
                continue
            try:
                self._places[name] = self._made(volume)
            except NotMounted as error:
                said = f'MountVolume.SetUp failed for volume "{name}" : {error}'
                raise NotMounted(said) from error

    def close(self) -> None:
        """Unmount and remove what is the Pod's own."""
        for place in self._tmpfs:
            subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def mounts(self, container: Object) -> list[Object]:
        """The mounts of one container, as libpod takes them."""
        made = []
        for one in container.get("volumeMounts") or ():
            source = self._places[one["name"]]
            if one.get("subPath"):
                source = source / one["subPath"]
                if not source.exists():
                    source.mkdir(parents=True)
            how = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
            spread = how.get(one.get("mountPropagation", ""), "rprivate")
            kind = self._kind(one["name"])
            fixed = one.get("readOnly") or kind in ("secret", "configMap")
            made.append({
                "destination": one["mountPath"], "type": "bind", "source": str(source),
                "options": ["rbind", spread, "ro" if fixed else "rw"],
            })  # fmt: skip
        return made

    def overfull(self) -> str:
        """The kubelet's words for an emptyDir on disk above its sizeLimit; "" when none is."""
        for volume in self._pod["spec"].get("volumes") or ():
            own = volume.get("emptyDir") or {}
            if "sizeLimit" not in own or own.get("medium") or volume["name"] not in self._places:
                continue
            used = 0
            for folder, _, names in os.walk(self._places[volume["name"]]):
                for name in names:
                    try:
                        used += Path(folder, name).lstat().st_blocks * 512
                    except OSError:
                        continue
            if used > quantity(own["sizeLimit"]):
                name, most = volume["name"], own["sizeLimit"]
                return f'Usage of EmptyDir volume "{name}" exceeds the limit "{most}". '
        return ""

    def _kind(self, name: str) -> str:
        volume = next(one for one in self._pod["spec"]["volumes"] if one["name"] == name)
        return next((kind for kind in volume if kind != "name"), "emptyDir")

    def _made(self, volume: Object) -> Path:
        kind = self._kind(volume["name"])
        own = volume.get(kind) or {}
        if kind == "hostPath":
            return _host(Path(own["path"]), own.get("type") or "")
        place = self._folder / volume["name"]
        if kind == "emptyDir":
            return self._empty(place, own)
        if kind in ("secret", "configMap"):
            return self._files(place, kind, own)
        raise NotMounted(f"there are no volumes of kind {kind} here")

    def _empty(self, place: Path, own: Object) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        if own.get("medium") == "Memory":
            size = f"size={int(quantity(own['sizeLimit']))}," if "sizeLimit" in own else ""
            command = ["mount", "-t", "tmpfs", "-o", f"{size}mode=1777", "tmpfs", str(place)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NotMounted(done.stderr.strip())
            self._tmpfs.append(place)
        place.chmod(0o777)
        group = at(self._pod, "spec.securityContext.fsGroup")
        if group is not None:
            os.chown(place, -1, group)
        return place

    def _files(self, place: Path, kind: str, own: Object) -> Path:
        name = own.get("secretName") if kind == "secret" else own.get("name")
        thing = self._store.find(f"{kind.lower()}s", self._home, str(name))
        if thing is None and not own.get("optional"):
            raise NotMounted(f'{kind.lower()} "{name}" not found')
        data = contents(thing or {})
        items = own.get("items") or [{"key": key, "path": key} for key in data]
        place.mkdir(parents=True, exist_ok=True)
        for item in items:
            if item["key"] not in data:
                raise NotMounted(f"references non-existent {kind.lower()} key: {item['key']}")
            path = place / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data[item["key"]])
            path.chmod(item.get("mode") or own.get("defaultMode") or 0o644)
        return place


def contents(thing: Object) -> dict[str, bytes]:
    """The data of a Secret or a ConfigMap."""
    if thing.get("kind") == "Secret":
        return {key: base64.b64decode(text) for key, text in (thing.get("data") or {}).items()}
    texts = {key: text.encode() for key, text in (thing.get("data") or {}).items()}
    binary = thing.get("binaryData") or {}
    return texts | {key: base64.b64decode(text) for key, text in binary.items()}


def _host(path: Path, kind: str) -> Path:
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if kind == "FileOrCreate" and not path.exists():
        path.touch()
    kind = kind.removesuffix("OrCreate")
    if kind:
        test, words = _IS[kind]
        if not path.exists() or not test(path.stat().st_mode):
            raise NotMounted(f"hostPath type check failed: {path} {words}")
    return path


# ---- variables


def environment(store: Store, pod: Object, container: Object) -> dict[str, str]:
    """The variables of a container. Raises NotConfigured when what they refer to is not there."""
    home = pod["metadata"]["namespace"]
    made: dict[str, str] = {}

    def data(kind: str, name: str, optional: bool) -> dict[str, bytes]:
        thing = store.find(kind, home, name)
        if thing is None and not optional:
            raise NotConfigured(f'{kind[:-1]} "{name}" not found')
        return contents(thing or {})

    for one in container.get("envFrom") or ():
        for field, kind in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if reference := one.get(field):
                found = data(kind, reference["name"], bool(reference.get("optional")))
                prefix = one.get("prefix", "")
                made |= {prefix + key: value.decode() for key, value in found.items()}
    for one in container.get("env") or ():
        source = one.get("valueFrom") or {}
        if "value" in one or not source:
            made[one["name"]] = expanded(one.get("value") or "", made)
        for field, kind in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if reference := source.get(field):
                found = data(kind, reference["name"], bool(reference.get("optional")))
                if reference["key"] in found:
                    made[one["name"]] = found[reference["key"]].decode()
                elif not reference.get("optional"):
                    said = f"couldn't find key {reference['key']} in {kind[:-1]}"
                    raise NotConfigured(f"{said} {home}/{reference['name']}")
        if reference := source.get("fieldRef"):
            status = {"hostIP": ADDRESS, "podIP": ADDRESS, **pod["status"]}
            value = at({**pod, "status": status}, reference["fieldPath"])
            made[one["name"]] = "" if value is None else str(value)
    return made
