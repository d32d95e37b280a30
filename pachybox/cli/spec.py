"""Specs as the command line handles them: reading their text, telling inputs in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from pachybox.client.values import Json
from pachybox.errors import CHECK_FILE, InvalidArgument

_SIGNS = {"cross": " ⨯ ", "join": " ⋈ ", "union": " ∪ ", "group": " group "}


def read(source: str) -> str:
    """The text of a spec: a file, a URL, or ``-`` for stdin. Raises InvalidArgument."""
    if source == "-":
        return _text(sys.stdin.buffer.read(), "stdin")
    if source.startswith(("http://", "https://")):
        from pachybox.cli.fetch import fetch

        return fetch(source)
    if "://" in source:
        raise InvalidArgument(f"cannot fetch {source}", "use http:// or https://, or a file")
    if os.path.isdir(source):  # noqa: PTH112  # pathlib costs 8 ms at start
        raise InvalidArgument(f"{source} is a directory, not a file", "name a file in it")
    try:
        with open(source, "rb") as file:
            return _text(file.read(), source)
    except OSError as e:
        raise InvalidArgument(f"cannot read {source}: {e.strerror}", CHECK_FILE) from e


def _text(data: bytes, source: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise InvalidArgument(
            f"{source} is not text: byte {e.start + 1} is not UTF-8",
            "give a spec in JSON or YAML",
        ) from e


def input_text(found: Json) -> str:
    """Pachyderm's shorthand of an input: ``images:/*``, ``(a:/ ⨯ b:/*)``, ``none``."""
    if pfs := found.get("pfs"):
        return f"{pfs.get('repo', '')}:{pfs.get('glob', '')}"
    if cron := found.get("cron"):
        return f"{cron.get('name', '')}:{cron.get('spec', '')}"
    for key, sign in _SIGNS.items():
        if parts := found.get(key):
            return f"({sign.join(map(input_text, parts))})"
    return "none"


def input_repos(found: Json) -> Iterator[tuple[str, str]]:
    """(project, repo) of every input, in order; the project may be empty."""
    if pfs := found.get("pfs"):
        yield pfs.get("project", ""), pfs.get("repo", "")
    if cron := found.get("cron"):
        yield cron.get("project", ""), cron.get("repo") or cron.get("name", "")
    for key in _SIGNS:
        for part in found.get(key) or ():
            yield from input_repos(part)


def parse_one(text: str, source: str) -> Json:
    """The first spec of a text, JSON or YAML, as a mapping. Raises InvalidArgument."""
    import json

    try:
        spec = json.loads(text)
    except ValueError:
        import yaml

        try:
            spec = next(iter(yaml.safe_load_all(text)), None)
        except yaml.YAMLError as e:
            raise InvalidArgument(f"{source} is neither JSON nor YAML: {e}") from e
    if isinstance(spec, list):
        spec = spec[0] if spec else None
    if not isinstance(spec, dict):
        raise InvalidArgument(f"{source} holds no spec")
    return spec
