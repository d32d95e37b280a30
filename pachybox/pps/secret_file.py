"""Kubernetes Secrets as users write them, read without ever quoting what they hold. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any

from pachybox.errors import InvalidArgument

MAX_BYTES = 1 << 20
"""What the values of one secret may add up to, as in Kubernetes."""

_MAX_TEXT = 3 << 20  # base64 and some layout around MAX_BYTES
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_EXAMPLE = '{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": ...}, "stringData": {...}}'


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret in clear."""

    name: str
    type: str
    values: dict[str, bytes] = field(repr=False)


def parse(text: bytes) -> SecretFile:
    """A Kubernetes Secret from its JSON or YAML. Raises InvalidArgument, which quotes nothing
    of the text but names of keys."""
    if len(text) > _MAX_TEXT:
        raise _too_big()
    body = _document(text)
    if not isinstance(body, dict) or body.get("kind") != "Secret":
        raise InvalidArgument("the file holds no Kubernetes Secret", f"write {_EXAMPLE}")
    meta = body.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    if not isinstance(name, str) or len(name) > 253 or not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"metadata.name {name!r} is no name of a secret" if name else "the secret has no name",
            "use lower-case letters, digits, - and ., at most 253, a letter or digit at both ends",
        )
    kind = body.get("type") or "Opaque"
    if not isinstance(kind, str):
        raise InvalidArgument(f"the type of secret {name} is no string", "leave it out")
    values = {k: _decoded(name, k, v) for k, v in _strings(body, name, "data")}
    values |= {k: _encoded(name, k, v) for k, v in _strings(body, name, "stringData")}
    if sum(map(len, values.values())) > MAX_BYTES:
        raise _too_big()
    return SecretFile(name, kind, values)


def _too_big() -> InvalidArgument:
    return InvalidArgument(
        f"a secret holds {MAX_BYTES >> 20} MiB at most", "put large data into a repo"
    )


def _document(text: bytes) -> object:
    """The one JSON or YAML value; the errors of the readers quote the text, so they stop here."""
    try:
        whole = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidArgument("the secret's file is no UTF-8 text", "save it as UTF-8") from None
    if whole.lstrip()[:1] == "{":
        try:
            return json.loads(whole)
        except json.JSONDecodeError as e:
            line = e.lineno
        except RecursionError:
            line = 1
    else:
        import yaml

        try:
            return yaml.load(whole, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (yaml.YAMLError, ValueError, RecursionError) as e:
            mark = getattr(e, "problem_mark", None)
            line = mark.line + 1 if mark else 1
    raise InvalidArgument(
        f"the secret's file is neither JSON nor YAML: line {line}", "check the syntax there"
    )


def _strings(body: dict[Any, Any], name: str, part: str) -> list[tuple[str, str]]:
    values = body.get(part) or {}
    if not isinstance(values, dict):
        raise InvalidArgument(f"{part} of secret {name} is no object", f"write {_EXAMPLE}")
    for key, value in values.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key) or key in (".", ".."):
            raise InvalidArgument(
                f"{part} of secret {name} has the key {key!r}",
                "use letters, digits, -, _ and ., at most 253",
            )
        if not isinstance(value, str):
            raise InvalidArgument(f"{part}.{key} of secret {name} is no string", "put it in quotes")
    return list(values.items())


def _decoded(name: str, key: str, value: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument(
            f"data.{key} of secret {name} is no base64",
            "encode it, or write it as it is under stringData",
        ) from None


def _encoded(name: str, key: str, value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(
            f"stringData.{key} of secret {name} is no Unicode text", "use data, with base64"
        ) from None
