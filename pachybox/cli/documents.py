"""The documents of a spec's text as plain values, for commands that change them before the box
reads them. The rules are the box's: JSON, or YAML whose plain scalars follow YAML 1.2."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pachybox.model.plain_scalars import PLAIN


def documents(text: str) -> list[Any] | None:
    """The specs of a text, in order; None when it cannot be read, of which the box says more."""
    text = text.removeprefix("\ufeff")
    try:
        found = list(_json(text) if text.lstrip()[:1] in ("{", "[") else _yaml(text))
    except (ValueError, RecursionError):
        return None
    whole: list[Any] = []
    for one in found:
        whole += one if isinstance(one, list) else [one]
    return whole


def _json(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), 0
    while found := re.compile(r"\S").search(text, at):
        value, at = decoder.raw_decode(text, found.start())
        yield value


def _yaml(text: str) -> Iterator[Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Without what YAML 1.1 makes of plain scalars: there, no is false."""

    Loader.yaml_implicit_resolvers = {}
    tag = "tag:yaml.org,2002:"
    for name, pattern, first in PLAIN:
        Loader.add_implicit_resolver(tag + name, re.compile(pattern, re.ASCII), list(first))
    Loader.add_constructor(tag + "int", lambda _, node: int(node.value))
    try:
        for one in yaml.load_all(text, Loader=Loader):
            if one is not None:
                yield one
    except yaml.YAMLError as e:
        raise ValueError(str(e)) from e
