"""What the program carries of other people's work, and under which licences."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

INSIDE = Path(__file__).with_name("inside")
"""Made by ``make binary``: ``parts.json`` and the texts of what is no Python package."""

_TEXT = re.compile(r"(?i)(^|/)(licen[cs]e|copying|notice|copyright|authors)[^/]*$")
_CODE = re.compile(r"\.(py|pyc|so)$")
_EXTRA = re.compile(r";.*\bextra\s*==\s*[\"']([^\"']+)")
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[([^]]*)\])?")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing inside: ``licence`` in short, as its makers say it, and the texts in full."""

    name: str
    version: str
    licence: str
    texts: tuple[str, ...] = ()


def parts() -> list[Part]:
    """All of it, by name; pachybox itself first."""
    others = [_package(one) for one in distributions()]
    others += _inside() if INSIDE.is_dir() else [_python()]
    return [_ourselves(), *sorted(others, key=lambda part: part.name.lower())]


def distributions() -> list[importlib.metadata.Distribution]:
    """The packages that an installed pachybox brings, those they bring included, by name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    seen = set()
    todo = [(line, "") for line in importlib.metadata.requires("pachybox") or ()]
    while todo:
        line, extras = todo.pop()
        extra = _EXTRA.search(line)
        wanted = _NAME.match(line)
        if wanted is None or (extra and extra[1] not in extras.split(",")) or "win32" in line:
            continue
        name, more = re.sub(r"[-_.]+", "-", wanted[1]).lower(), wanted[2] or ""
        if (name, more) in seen:
            continue
        seen.add((name, more))
        try:
            one = found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform or Python, by its marker
        todo += [(asked, more) for asked in one.requires or ()]
    return [found[name] for name in sorted(found)]


def _package(one: importlib.metadata.Distribution) -> Part:
    said = one.metadata
    classified = [
        line.rpartition("::")[2].strip()
        for line in said.get_all("Classifier") or ()
        if line.startswith("License ::")
    ]
    short = next(iter(said.get_all("License-Expression") or ()), "") or " / ".join(classified)
    if not short:
        short = next(iter(said.get_all("License") or ()), "").strip().partition("\n")[0]
    texts = tuple(_texts(one))
    if not texts and short.startswith("MIT"):  # two packages bring no text
        mit = Path(__file__).parent / "binary" / "licences" / "mit.txt"
        texts = ("The package brings no text of its licence. That of MIT:\n\n" + mit.read_text(),)
    return Part(str(said["Name"]), one.version, short or "see the text", texts)


def _texts(one: importlib.metadata.Distribution) -> Iterator[str]:
    for file in sorted(one.files or (), key=str):
        name = file.as_posix()
        if _TEXT.search(name) and not _CODE.search(name):
            path = Path(str(one.locate_file(file)))
            if path.is_file():
                yield path.read_text(errors="replace")


def _ourselves() -> Part:
    from pachybox import __version__

    places = (INSIDE / "pachybox.txt", Path(__file__).parents[1] / "LICENSE")
    text = next((path.read_text() for path in places if path.is_file()), "")
    return Part("pachybox", __version__, "Apache-2.0", (text,) if text else ())


def _python() -> Part:
    place = Path(sysconfig.get_path("stdlib")) / "LICENSE.txt"
    if not place.is_file():
        place = Path(f"/usr/share/doc/python{sys.version_info[0]}.{sys.version_info[1]}/copyright")
    texts = (place.read_text(errors="replace"),) if place.is_file() else ()
    return Part("CPython", platform.python_version(), "PSF-2.0", texts)


def _inside() -> list[Part]:
    listed = json.loads((INSIDE / "parts.json").read_text())
    return [
        Part(one["name"], one["version"], one["licence"], (_text(one["name"]),)) for one in listed
    ]


def _text(name: str) -> str:
    return (INSIDE / f"{name}.txt").read_text(errors="replace")
