"""Logins of registries: from secrets of a box, and from the files of podman and Docker.

No password is ever in an error, a log line or the arguments of a program.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pachybox.containers.names import HUB, ImageName
from pachybox.errors import InvalidArgument

_BEFORE = "kubernetes.io/dockercfg"  # the older form: without "auths" around the logins
SECRET_KEYS = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    _BEFORE: ".dockercfg",
}
"""The types of a secret that holds logins, and the key that they are under."""

_HELPER_S = 20.0  # a helper may ask another machine
_TOKEN_USER = "<token>"  # by this name a helper says that it gives an identity token


@dataclass(frozen=True, slots=True)
class Credential:
    """A login. ``scope`` is where it holds: ``HOST[:PORT][/PATH]``, parts of the host may be
    ``*``. Either a user with a password, or an identity token."""

    scope: str
    username: str = field(repr=False)
    password: str = field(repr=False)
    token: str = field(default="", repr=False)

    def header(self) -> str:
        """What podman wants in ``X-Registry-Auth``."""
        if self.token:
            given = {"identitytoken": self.token}
        else:
            given = {"username": self.username, "password": self.password}
        return base64.urlsafe_b64encode(json.dumps(given).encode()).decode()

    def holds_for(self, name: ImageName) -> bool:
        """Whether it is a login for the place where ``name`` is."""
        host, _, path = self.scope.partition("/")
        mine, theirs = host.split("."), name.registry.split(".")
        if len(mine) != len(theirs) or not all(map(fnmatchcase, theirs, mine)):
            return False
        return not path or f"{name.repository}/".startswith(f"{path}/")


def fitting(credentials: Iterable[Credential], name: ImageName) -> list[Credential]:
    """Those that hold for ``name``, the most exact first."""
    found = [one for one in credentials if one.holds_for(name)]
    return sorted(found, key=lambda one: ("*" in one.scope, -len(one.scope)))


def of_secret(name: str, kind: str, values: Mapping[str, bytes]) -> list[Credential]:
    """The logins that a secret of type ``kind`` holds. Raises InvalidArgument when it is of
    another type, or holds none in the form that its type promises."""
    key = SECRET_KEYS.get(kind)
    if key is None or key not in values:
        missing = f"has no key {key}" if key else f"is of type {kind}"
        raise InvalidArgument(
            f"secret {name} {missing} and holds no login of a registry",
            "make it of type kubernetes.io/dockerconfigjson, with the key .dockerconfigjson",
        )
    try:
        body = json.loads(values[key])
        return list(_logins(body if key == ".dockercfg" else body["auths"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidArgument(
            f"secret {name}: {key} is not in the form of a Docker configuration",
            'write {"auths": {"HOST": {"auth": base64 of USER:PASSWORD}}}',
        ) from None


def docker_config(name: str, kind: str, values: Mapping[str, bytes]) -> bytes:
    """The logins of a secret as the content of ``.dockerconfigjson``. Raises as ``of_secret``."""
    of_secret(name, kind, values)
    held = values[SECRET_KEYS[kind]]
    if kind == _BEFORE:
        return json.dumps({"auths": json.loads(held)}).encode()
    return held


def of_files(name: ImageName, env: Mapping[str, str] = os.environ) -> list[Credential]:
    """What the user's own files say of the registry of ``name``: those that podman and Docker
    write on a login, in podman's order. Files that cannot be read say nothing."""
    found: list[Credential] = []
    for path in files(env):
        try:
            body = json.loads(path.read_bytes())
            found += fitting(_logins(body.get("auths") or {}), name)
        except (OSError, ValueError, TypeError, AttributeError):
            continue
        found += _helped(body, name)
    return found


def files(env: Mapping[str, str] = os.environ) -> list[Path]:
    """The files in which logins may be, whether they are there or not."""
    if named := env.get("REGISTRY_AUTH_FILE"):
        return [Path(named)]
    home = Path(env.get("HOME") or Path.home())
    found = []
    if run := env.get("XDG_RUNTIME_DIR"):
        found.append(Path(run) / "containers/auth.json")
    elif os.geteuid() == 0:
        found.append(Path("/run/containers/0/auth.json"))
    found.append(Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json")
    found.append(Path(env.get("DOCKER_CONFIG") or home / ".docker") / "config.json")
    return found


def _logins(auths: Mapping[str, Any]) -> Iterator[Credential]:
    """Raises what reading a wrong form raises."""
    for place, one in auths.items():
        user, password = one.get("username") or "", one.get("password") or ""
        if packed := one.get("auth"):
            try:
                text = base64.b64decode(packed).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise ValueError("no base64 of a text") from None
            user, _, password = text.partition(":")
            password = password.strip("\0")
        token = one.get("identitytoken") or ""
        if user or token:
            yield Credential(scope(place), user, password, token)


def scope(place: str) -> str:
    """A place as configurations name it (``https://index.docker.io/v1/``), as ``HOST[/PATH]``."""
    bare = place.partition("://")[2] or place
    host, _, path = bare.partition("/")
    if host in ("index.docker.io", "registry-1.docker.io"):
        host = HUB
    path = path.strip("/")
    return host if path in ("", "v1", "v2") else f"{host}/{path}"


def _helped(body: Mapping[str, Any], name: ImageName) -> Iterator[Credential]:
    """What the helper programs that a file names know of a registry."""
    try:
        helper = (body.get("credHelpers") or {}).get(name.registry) or body.get("credsStore")
    except AttributeError:
        return
    if not isinstance(helper, str) or not helper.replace("-", "").replace("_", "").isalnum():
        return
    place = "https://index.docker.io/v1/" if name.registry == HUB else name.registry
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=place.encode(),
            capture_output=True,
            timeout=_HELPER_S,
            check=True,
        )
        given = json.loads(done.stdout)
        user, secret = str(given["Username"]), str(given["Secret"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return  # it knows nothing of this registry
    if user == _TOKEN_USER:
        yield Credential(name.registry, "", "", secret)
    elif user:
        yield Credential(name.registry, user, secret)
