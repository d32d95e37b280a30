"""The box.toml of a new box: every setting with what it means, none set but what was asked for."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping

from pachybox.config import SETTINGS, Setting

_HEAD = """\
# Settings of this box. Flags and the environment go before them. Each stands here with its
# default: take the # away and change it, or use `pachybox config set`; then restart the box.
"""


def commented(given: Mapping[str, int]) -> str:
    """The file's text; the keys of ``given`` are set."""
    return "\n".join((_HEAD, *(_entry(one, given) for one in SETTINGS.values())))


def _entry(one: Setting, given: Mapping[str, int]) -> str:
    value = given.get(one.key)
    line = f"{one.key} = {json.dumps(one.default if value is None else value)}"
    return "\n".join((*_told(one), line if value is not None else f"# {line}", ""))


def _told(one: Setting) -> Iterator[str]:
    text = one.about.help
    if one.about.choices:
        text += f" (one of {', '.join(one.about.choices)})"
    yield from (f"# {line}" for line in textwrap.wrap(text, 96))
