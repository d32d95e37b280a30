"""What k3s is told: its settings for a box on the same machine, and its mirrors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from k3s.keys import Noted, merged, read
from k3s.places import DATA, KUBECONFIG
from pachybox.errors import InvalidArgument, Refused

EXTRAS = ("traefik", "servicelb", "metrics-server")
"""Parts of k3s that a box does not need: off unless asked for."""

# Images come from a stick, or from podman: the kubelet must not throw them away to make room.
_KUBELET = ("image-gc-high-threshold=100",)
_SECRET = ("token", "secret-key", "access-key", "datastore-endpoint", "vpn-auth")
_KEY = re.compile(r"[a-z][a-z0-9]+(-[a-z0-9]+)*\+?")  # not one letter: -t is a secret, -d a place
_NODE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_HOST = re.compile(r"\*|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d+)?")
_FLAGS = {"node-name": "--node-name", "data-dir": "--data-dir"}
ELSEWHERE = {
    "write-kubeconfig": f"the box and its account are made with {KUBECONFIG}: copy that",
    "data-dir": "use --data-dir, which writes config.yaml",
}
"""Settings that would have k3s keep its things where neither this nor a box looks; what to do."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What flags ask for. ``extras``: parts to have that are off else; ``mirrors``: by registry
    the addresses to ask in its place; ``settings``: keys of config.yaml."""

    node: str = ""
    data: str = ""
    extras: tuple[str, ...] = ()
    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def over(self, earlier: Mapping[str, Any]) -> Choices:
        """These, and where they say nothing those that ``noted`` kept of an earlier install."""
        return Choices(
            self.node or earlier.get("node", ""),
            self.data or earlier.get("data", ""),
            tuple(sorted({*self.extras, *earlier.get("extras", ())})),
            {**earlier.get("mirrors", {}), **self.mirrors},
            {**earlier.get("settings", {}), **self.settings},
        )

    def noted(self) -> dict[str, Any]:
        """Values for the record."""
        return {
            "node": self.node,
            "data": self.data,
            "extras": list(self.extras),
            "mirrors": {host: list(found) for host, found in self.mirrors.items()},
            "settings": dict(self.settings),
        }

    def config(self, there: Mapping[str, Any], noted: Noted) -> dict[str, Any]:
        """The keys for config.yaml beside those that are ``there``; None = not to be there."""
        found: dict[str, Any] = {"write-kubeconfig-mode": "0600"}
        off = [name for name in EXTRAS if name not in self.extras]
        # Lists of others are added to, not replaced.
        lists = {"disable": off, "kubelet-arg": list(_KUBELET)}
        for key, ours in lists.items():
            others = [one for one in _others(key, there, noted) if one not in self.extras]
            wanted = others + [one for one in ours if not _named(one, others)]
            found[key] = wanted or None
        if self.node:
            found["node-name"] = self.node
        if self.data:
            found["data-dir"] = self.data
        return {**found, **self.settings}

    def asked(self) -> frozenset[str]:
        """Keys that flags name: they go before what others wrote."""
        given = {"node-name": self.node, "data-dir": self.data, "disable": self.extras}
        return frozenset({key for key, value in given.items() if value} | self.settings.keys())


def _others(key: str, there: Mapping[str, Any], noted: Noted) -> list[str]:
    """What stands in a list without what was put there."""
    value = there.get(key)
    if key in noted and value == noted[key]["put"]:
        value = noted[key]["before"]
    return [str(one) for one in value] if isinstance(value, list) else [str(value)] * bool(value)


def _named(one: str, others: Sequence[str]) -> bool:
    """Whether a list says something of ``one`` already: an argument by its name."""
    name = one.partition("=")[0]
    return any(other.partition("=")[0].lstrip("-") == name for other in others)


def merged_config(path: Path, chosen: Choices, new: Choices, noted: Noted) -> tuple[str, Noted]:
    """The text of config.yaml with what is ``chosen``; ``new`` are the flags of this time."""
    there = read(path)
    wanted = chosen.config(there, noted)
    lists = {key for key in ("disable", "kubelet-arg") if key in there and key not in noted}
    return merged(path, wanted, noted, new.asked() | lists)


def merged_registries(path: Path, chosen: Choices, new: Choices, noted: Noted) -> tuple[str, Noted]:
    """The text of registries.yaml with the mirrors that are ``chosen``; those of others stay. The
    note has a key for each registry. Raises InvalidArgument when its mirrors cannot be read."""
    there = read(path)
    mirrors = there.get("mirrors") or {}
    if not isinstance(mirrors, dict):
        raise InvalidArgument(f"{path}: mirrors has no keys and values", "mend it, or move it away")
    after, wanted = dict(noted), dict(mirrors)
    for host, addresses in chosen.mirrors.items():
        value = {"endpoint": list(addresses)}
        mine = host not in mirrors or (host in noted and mirrors[host] == noted[host]["put"])
        if not mine and host not in new.mirrors:
            continue
        before = noted[host]["before"] if host in noted else mirrors.get(host)
        after[host] = {"put": value, "before": before}
        wanted[host] = value
    if wanted == mirrors:
        return path.read_text() if path.exists() else "", after
    text, _ = merged(path, {"mirrors": wanted}, {}, frozenset({"mirrors"}))
    return text, after


def restored_registries(path: Path, noted: Noted) -> tuple[str, list[str]]:
    """The text of registries.yaml without what was put there, and the registries whose mirrors
    somebody changed since."""
    mirrors = dict(read(path).get("mirrors") or {})
    before = dict(mirrors)
    kept = []
    for host, note in noted.items():
        if host in mirrors and mirrors[host] != note["put"]:
            kept.append(host)
        elif note["before"] is not None:
            mirrors[host] = note["before"]
        else:
            mirrors.pop(host, None)
    if mirrors == before:
        return path.read_text() if path.exists() else "", kept
    text, _ = merged(path, {"mirrors": mirrors or None}, {}, frozenset({"mirrors"}))
    return text, kept


# ---- flags


def setting(text: str) -> tuple[str, Any]:
    """``KEY=VALUE`` for config.yaml; VALUE as YAML, a text or a list of them. k3s takes each as the
    text of a flag, so 0644 stays that, and is no number. Raises InvalidArgument, for secrets too:
    a command line can be read by every user of the machine."""
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not _KEY.fullmatch(key):
        raise InvalidArgument(
            f"{text!r} is not KEY=VALUE", "a key is a flag of k3s server without its dashes"
        )
    if key in _FLAGS:
        raise InvalidArgument(f"{key} has a flag of its own", f"use {_FLAGS[key]}")
    if key in ELSEWHERE:
        raise InvalidArgument(f"{key} cannot be set", ELSEWHERE[key])
    if any(key.rstrip("+").endswith(end) for end in _SECRET):
        raise InvalidArgument(
            f"{key} is a secret, and others can read command lines",
            "write it into /etc/rancher/k3s/config.yaml, which install keeps",
        )
    try:
        found = yaml.load(value, yaml.BaseLoader)
    except yaml.YAMLError as e:
        raise InvalidArgument(
            f"{key}: {value!r} is no YAML", "quote it twice: KEY='\"...\"'"
        ) from e
    if found is None:
        raise InvalidArgument(f"{key} has no value", f"give one: --set {key}=VALUE")
    if not all(isinstance(one, str) for one in (found if isinstance(found, list) else [found])):
        raise InvalidArgument(
            f"{key}: {value!r} is neither a text nor a list of them", "quote it: KEY='\"...\"'"
        )
    return key, found


def mirror(text: str) -> tuple[str, str]:
    """``HOST=MIRROR``, a registry and the address to ask in its place. Raises InvalidArgument."""
    host, equals, address = text.partition("=")
    if not equals or not _HOST.fullmatch(host):
        raise InvalidArgument(
            f"{text!r} is not HOST=MIRROR", "like docker.io=http://localhost:5000"
        )
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidArgument(
            f"{host}: {address!r} is no address", "begin with http:// or https://"
        )
    if "@" in parts.netloc:
        raise InvalidArgument(
            f"the address for {host} has a password in it, and others can read command lines",
            "write it into configs of /etc/rancher/k3s/registries.yaml, which install keeps",
        )
    return host, address


def node(text: str) -> str:
    """A node's name. Raises InvalidArgument."""
    if len(text) > 63 or not _NODE.fullmatch(text):
        raise InvalidArgument(
            f"{text!r} is no name for a node", "use lower-case letters, digits, - and ."
        )
    return text


def data(given: str, there: Mapping[str, Any], earlier: str) -> Path:
    """k3s's data directory: what the flag says, config.yaml, or an earlier install. Raises
    InvalidArgument, or Refused for another one than k3s has its data in."""
    told = str(there.get("data-dir") or "")
    if earlier and told and Path(told) != Path(earlier):
        raise Refused(
            f"config.yaml says data-dir: {told}, and k3s was installed with its data in {earlier}",
            "put that back; or pachybox k3s uninstall first, and move the data",
        )
    before = earlier or told
    path = Path(given or before or DATA)
    odd = ".." in path.parts or not str(path).isprintable()
    if odd or not path.is_absolute() or len(path.parts) < 3:
        raise InvalidArgument(
            f"--data-dir {str(path)!r} cannot be", "give a directory of k3s's own"
        )
    if before and path != Path(before):
        raise Refused(
            f"k3s has its data in {before}, not in {path}",
            "leave --data-dir out; or pachybox k3s uninstall first, and move the data",
        )
    return path
