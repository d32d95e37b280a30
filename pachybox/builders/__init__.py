"""Builders: how source code of one language becomes something that runs.

A builder is two scripts of ``sh`` and a few facts. ``build.sh`` runs once for each change of the
files it depends on: it reads them in /pfs/source and leaves in /pfs/out what running needs.
``run.sh`` runs for every datum, with the source in /pfs/source and what was built in /pfs/build.
Both find ``/pfs`` by ``$PFS``. They are put beside the source (``.pachybox/``), so that they run in
any image.

A package adds builders of its own by entry points of the group ``pachybox.builders``, each named
after its language and leading to a ``Builder``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pachybox.builders import python
from pachybox.builders.needs import Needs
from pachybox.errors import InvalidArgument

SCRIPTS = ("build.sh", "run.sh")


@dataclass(frozen=True, slots=True)
class Builder:
    """How one language is built.

    ``folder`` holds build.sh and run.sh. ``main`` is the file that run.sh starts. ``needs`` is
    told the names of the source's files and how to read one, and says what build.sh depends on.
    ``image`` is what runs it where there must be an image and the spec names none. With ``own`` a
    build.sh or run.sh at the top of the source takes the builder's place.
    """

    language: str
    folder: Path
    main: str
    image: str
    needs: Callable[[Iterable[str], Callable[[str], bytes]], Needs] = field(
        default=lambda _names, _read: Needs()
    )
    own: bool = False

    def scripts(self, names: Iterable[str], read: Callable[[str], bytes]) -> Mapping[str, bytes]:
        """build.sh and run.sh by name, for a source with these files."""
        there = set(names) if self.own else set()
        return {s: read(s) if s in there else (self.folder / s).read_bytes() for s in SCRIPTS}

    def reads(self, names: Iterable[str], read: Callable[[str], bytes]) -> Needs:
        """What the build depends on: all of the source when its build.sh is the source's own."""
        if self.own and "build.sh" in names:
            return Needs(whole=True)
        return self.needs(names, read)


_HERE = Path(__file__).parent

BUILDERS: Mapping[str, Builder] = {
    builder.language: builder
    for builder in (
        Builder("python", _HERE / "python", "main.py", "docker.io/library/python:3", python.needs),
        Builder("shell", _HERE / "shell", "main.sh", "docker.io/library/alpine:3", own=True),
    )
}
"""The builders of pachybox by language."""


def find(language: str) -> Builder:
    """The builder of a language. Raises InvalidArgument when nothing builds it."""
    if language in BUILDERS:
        return BUILDERS[language]
    from importlib.metadata import entry_points

    added = {entry.name: entry for entry in entry_points(group="pachybox.builders")}
    if language in added:
        builder = added[language].load()
        if not isinstance(builder, Builder):
            raise InvalidArgument(
                f"{added[language].value} is no builder",
                "the entry point must lead to a pachybox.builders.Builder",
            )
        return builder
    raise InvalidArgument(
        f"no builder for the language {language!r}; there are: {', '.join({**BUILDERS, **added})}",
        "use one of these, or a builder image: transform.build.image",
    )
