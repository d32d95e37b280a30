"""Secrets: values that pipelines use and that nobody reads back.

A secret is given as a Kubernetes Secret and kept in the metadata as ciphertext: AES-256-GCM,
bound to the secret's name, so that one cannot be passed off as another. The key lies beside
the metadata in ``secret.key`` (mode 0600), made when the first secret is: a copy of the
database alone, an extract or an event tells nothing. Whoever may read both files, or run
pipelines, can come by the values.

No value is in an error, a log line, an event or an answer. Errors name the secret and the key.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pachybox.containers.credentials import Credential, docker_config, of_secret
from pachybox.durable import replacing
from pachybox.errors import (
    AlreadyExists,
    Corrupt,
    Exhausted,
    InvalidArgument,
    NotFound,
    Refused,
)
from pachybox.meta.tables import PIPELINES, SECRETS, TOKENS, SecretRecord, dumps
from pachybox.meta.tx import Tx
from pachybox.meta.writer import Meta
from pachybox.pps.secret_file import SecretFile, parse

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAX_ALL = 32 << 20
"""What all secrets of a box may add up to: they are held in memory, encrypted."""

_NONCE = 12


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a pipeline's user code is given: variables, and files by absolute path."""

    env: dict[str, str] = field(default_factory=dict, repr=False)
    files: dict[str, bytes] = field(default_factory=dict, repr=False)


class Secrets:
    """The secrets of one box. Thread-safe."""

    def __init__(self, meta: Meta, key_file: Path) -> None:
        """``key_file`` need not exist before the first secret is made."""
        self._meta = meta
        self._key_file = key_file
        self._cipher: AESGCM | None = None
        self._lock = threading.Lock()

    # ---- what users do

    def create(self, text: bytes) -> SecretRecord:
        """Keep the secret that a Kubernetes Secret (JSON or YAML) describes.

        Raises InvalidArgument when it is none, AlreadyExists when there is one of its name,
        Exhausted when there is too much of them.
        """
        parsed = parse(text)
        sealed = self._seal(parsed)

        def change(tx: Tx) -> SecretRecord:
            if tx.get(SECRETS, parsed.name) is not None:
                raise AlreadyExists(
                    f"secret {parsed.name} already exists",
                    "delete it first, with --force if a pipeline uses it",
                )
            if sum(len(s.sealed) for s in tx.all(SECRETS)) + len(sealed) > MAX_ALL:
                raise Exhausted(
                    f"the box keeps {MAX_ALL >> 20} MiB of secrets at most", "delete old ones"
                )
            record = SecretRecord(
                parsed.name, parsed.type, tx.now, tuple(sorted(parsed.values)), sealed
            )
            tx.put(SECRETS, record)
            tx.event("secret.created", name=parsed.name, type=parsed.type)
            return record

        return self._meta.write(change)

    def list(self) -> list[SecretRecord]:
        """Every secret, by name."""
        return sorted(self._meta.all(SECRETS), key=lambda s: s.name)

    def inspect(self, name: str) -> SecretRecord:
        """One secret; NotFound otherwise."""
        return _found(self._meta.get(SECRETS, name), name)

    def delete(self, name: str, *, force: bool = False) -> None:
        """Forget a secret. Refused while a pipeline names it, unless ``force``."""

        def change(tx: Tx) -> None:
            _found(tx.get(SECRETS, name), name)
            users = [str(p.pipeline) for p in tx.all(PIPELINES) if name in named(p.spec)]
            if users and not force:
                raise Refused(
                    f"secret {name} is used by pipeline {', '.join(sorted(users))}",
                    "update or delete the pipeline first, or use --force",
                )
            tx.remove(SECRETS, name)
            tx.event("secret.deleted", name=name)

        self._meta.write(change)

    def delete_all(self) -> None:
        """Forget every secret, used or not."""

        def change(tx: Tx) -> None:
            for secret in tx.all(SECRETS):
                tx.remove(SECRETS, secret.name)
                tx.event("secret.deleted", name=secret.name)

        self._meta.write(change)

    # ---- what pipelines do

    def exists(self, name: str, key: str = "") -> bool:
        """Whether there is such a secret, and in it ``key`` if one is named."""
        found = self._meta.get(SECRETS, name)
        return found is not None and (not key or key in found.keys)

    def values(self, name: str) -> dict[str, bytes]:
        """What a secret holds, for the runner and nobody else.

        Raises NotFound, Refused when the key file is missing, Corrupt when it is another one.
        """
        record = self.inspect(name)
        opened = json.loads(self._open(record))
        return {key: base64.b64decode(value) for key, value in opened.items()}

    def value(self, name: str, key: str) -> bytes:
        """One value of a secret. NotFound names what is missing; else as ``values``."""
        found = self.values(name)
        if key not in found:
            raise _no_key(name, key)
        return found[key]

    def resolve(self, transform: Mapping[str, Any]) -> Resolved:
        """What ``transform.secrets`` of a spec gives to user code.

        Raises InvalidArgument when a value cannot be a variable's, else as ``values``.
        """
        made = Resolved()
        for one in transform.get("secrets") or ():
            name, key = one["name"], one.get("key") or ""
            values = self.values(name)
            if variable := one.get("env_var"):
                if key not in values:
                    raise _no_key(name, key)
                made.env[variable] = _text(name, key, values[key])
            if folder := one.get("mount_path"):
                made.files.update({f"{folder.rstrip('/')}/{k}": v for k, v in values.items()})
        return made

    def logins(self, spec: Mapping[str, Any]) -> Sequence[Credential]:
        """What ``transform.image_pull_secrets`` of a spec hold.

        Raises NotFound when one is not there, InvalidArgument when it holds no logins, else as
        ``values``.
        """
        found: tuple[Credential, ...] = ()
        for name in pull_secrets(spec):
            found += tuple(of_secret(name, self.inspect(name).type, self.values(name)))
        return found

    def pulls(self, spec: Mapping[str, Any]) -> dict[str, bytes]:
        """What ``transform.image_pull_secrets`` of a spec hold, each as a Docker configuration;
        of those that are secrets of this box. Raises as ``logins``, but not NotFound."""
        found = {}
        for name in pull_secrets(spec):
            if self.exists(name):
                found[name] = docker_config(name, self.inspect(name).type, self.values(name))
        return found

    def version(self, spec: Mapping[str, Any]) -> str:
        """Changes whenever a secret that ``spec`` names is made anew: whoever keeps something
        that was started with the values tells by it that they are old."""
        found = (self._meta.get(SECRETS, name) for name in sorted(named(spec)))
        return ",".join(str(s.created.timestamp()) if s else "" for s in found)

    # ---- the key

    def seal(self, clear: bytes, name: str) -> bytes:
        """``clear`` encrypted, bound to ``name`` (as "token ci"). Raises Refused when the key that
        sealed what there is is missing."""
        nonce = os.urandom(_NONCE)
        sealed = any(t.sealed for t in self._meta.all(TOKENS)) or self._meta.all(SECRETS)
        return nonce + self._with_key(make=not sealed).encrypt(nonce, clear, _bound_to(name))

    def open(self, sealed: bytes, name: str) -> bytes:
        """What ``seal`` was given. Raises Refused when the key file is missing, Corrupt when it is
        another one."""
        from cryptography.exceptions import InvalidTag

        nonce, rest = sealed[:_NONCE], sealed[_NONCE:]
        try:
            return self._with_key(make=False).decrypt(nonce, rest, _bound_to(name))
        except InvalidTag:
            with self._lock:
                self._cipher = None  # the right file may be put there
            raise Corrupt(
                f"{name} cannot be opened with the key in {self._key_file}",
                "restore the key file that belongs to this box, or delete and create the secret",
            ) from None

    def _seal(self, parsed: SecretFile) -> bytes:
        clear = {k: base64.b64encode(v).decode() for k, v in sorted(parsed.values.items())}
        return self.seal(dumps(clear).encode(), f"secret {parsed.name}")

    def _open(self, record: SecretRecord) -> bytes:
        return self.open(record.sealed, f"secret {record.name}")

    def _with_key(self, *, make: bool) -> AESGCM:
        """The cipher. ``make``: nothing is sealed yet, so a missing key may be made."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 6 MB, 30 ms

        with self._lock:
            if self._cipher is None:
                self._cipher = AESGCM(self._key(make))
            return self._cipher

    def _key(self, make: bool) -> bytes:
        path = self._key_file
        try:
            key = bytes.fromhex(path.read_text())
        except FileNotFoundError:
            if make:
                return _new_key(path)
            raise Refused(
                f"the key of the secrets, {path}, is missing",
                "restore it from a backup; without it, delete the secrets and create them again",
            ) from None
        except (OSError, ValueError) as e:
            why = e.strerror if isinstance(e, OSError) else "it does not hold a key"
            raise Refused(f"{path} cannot be read: {why}", "restore it from a backup") from None
        if len(key) != 32:
            raise Refused(f"{path} does not hold a key", "restore it from a backup")
        return key


def _new_key(path: Path) -> bytes:
    """A key on the disk for good before anything is sealed with it."""
    key = os.urandom(32)
    with replacing(path) as file:
        file.write(f"{key.hex()}\n".encode())
    return key


def _bound_to(name: str) -> bytes:
    kind, _, rest = name.partition(" ")
    return f"pachybox {kind} 1 {rest}".encode()


def _text(name: str, key: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidArgument(
            f"key {key} of secret {name} is no text and cannot be a variable",
            "use it as a file: give the secret a mount_path",
        )
    return text


def _found(record: SecretRecord | None, name: str) -> SecretRecord:
    if record is None:
        raise NotFound(f"secret {name} not found", "list secret shows what there is")
    return record


def _no_key(name: str, key: str) -> NotFound:
    return NotFound(f"secret {name} has no key {key}", "create a secret that has it")


# ---- specs


def _uses(spec: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(field, name, key or "") of every secret a spec names."""
    uses = [
        (f"transform.secrets[{number}]", s.get("name") or "", s.get("key") or "")
        for number, s in enumerate((spec.get("transform") or {}).get("secrets") or ())
    ]
    database = (spec.get("egress") or {}).get("sql_database") or {}
    if secret := database.get("secret"):
        path = "egress.sql_database.secret"
        uses.append((path, secret.get("name") or "", secret.get("key") or ""))
    return uses


def named(spec: Mapping[str, Any]) -> set[str]:
    """The names of the secrets a spec uses, those that log in to registries among them."""
    return {name for _, name, _ in _uses(spec)} | set(pull_secrets(spec))


def pull_secrets(spec: Mapping[str, Any]) -> list[str]:
    """The names of the secrets that log in to the registry of a spec's image."""
    return list((spec.get("transform") or {}).get("image_pull_secrets") or ())


def check(tx: Tx, spec: Mapping[str, Any], *, pulls: bool = False) -> None:
    """Raise NotFound when a spec names a secret that is not there, or a key it does not have;
    with ``pulls`` also for those that log in to registries."""
    for number, name in enumerate(pull_secrets(spec) if pulls else ()):
        _require(tx, f"transform.image_pull_secrets[{number}]", name)
    for path, name, key in _uses(spec):
        record = _require(tx, f"{path}.name", name)
        if key and key not in record.keys:
            raise _no_key(name, key).about(f"{path}.key")


def _require(tx: Tx, field: str, name: str) -> SecretRecord:
    try:
        return _found(tx.get(SECRETS, name), name)
    except NotFound as e:
        raise e.about(field) from None
