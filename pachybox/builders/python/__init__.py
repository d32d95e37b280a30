"""What the environment of Python source depends on: its list of packages."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable

from pachybox.builders.needs import Needs
from pachybox.errors import InvalidArgument

REQUIREMENTS, PROJECT = "requirements.txt", "pyproject.toml"

# -r other.txt, --constraint=other.txt
_FURTHER = re.compile(r"\s*(?:-r|-c|--requirement|--constraint)[\s=]*([^\s#]+)")
# ./library, -e ., library/one, --find-links wheels: in the source, not an address or /a/place
_LOCAL = re.compile(
    r"""\s*(?: (?:-e|--editable)[\s=]*+(?!\w+(?:\+\w+)?:|/)
           | (?:-f|--find-links)[\s=]*+(?!\w+:|/)
           | (?:file:)?\.{1,2}(?:[/\s\[]|$)
           | [\w.-]+/(?!/) )""",
    re.VERBOSE,
)


def needs(names: Iterable[str], read: Callable[[str], bytes]) -> Needs:
    """requirements.txt and what it includes, else the dependencies of pyproject.toml.

    Requirements that are in the source themselves (``./library``) make the build depend on all of
    it. Raises InvalidArgument when pyproject.toml cannot be read, or says its dependencies in a
    way that only a build tool understands.
    """
    there = frozenset(names)
    if REQUIREMENTS not in there and PROJECT in there:
        wanted = "".join(f"{line}\n" for line in _project(read(PROJECT)))
        return Needs((REQUIREMENTS,), made={REQUIREMENTS: wanted.encode()})
    found = [REQUIREMENTS]
    for name in found:  # grows while it is read
        if name not in there:
            continue
        for line in _lines(read(name)):
            if _LOCAL.match(line):
                return Needs(whole=True)
            further = _FURTHER.match(line)
            if further and "://" not in further[1]:
                other = posixpath.normpath(posixpath.join(posixpath.dirname(name), further[1]))
                if other not in found:
                    found.append(other)
    return Needs(tuple(found))


def _lines(text: bytes) -> list[str]:
    return text.decode(errors="replace").replace("\\\n", " ").splitlines()


def _project(text: bytes) -> list[str]:
    """The dependencies that a pyproject.toml declares."""
    try:
        whole = tomllib.loads(text.decode())
    except ValueError as e:
        raise InvalidArgument(f"{PROJECT} cannot be read: {e}", "correct it") from e
    project = whole.get("project") or {}
    declared = project.get("dependencies") or []
    poetry = (whole.get("tool") or {}).get("poetry") or {}
    elsewhere = "dependencies" in (project.get("dynamic") or ()) or (
        not declared and set(poetry.get("dependencies") or ()) - {"python"}
    )
    if elsewhere:
        raise InvalidArgument(
            f"{PROJECT} does not list its dependencies under [project]",
            f"list them there, or write them to {REQUIREMENTS}",
        )
    if not isinstance(declared, list) or not all(isinstance(one, str) for one in declared):
        raise InvalidArgument(f"project.dependencies of {PROJECT} is no list of texts")
    return declared
