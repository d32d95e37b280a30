"""Who asks: a name, a role, and the repos it is bound to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from time import time

from pachybox.errors import InvalidArgument, Unauthenticated

OVER = "provided auth token is corrupted or has expired (try logging in again)"
"""Pachyderm's clients know this text."""


class Role(IntEnum):
    """What one may do; each may what those before it may."""

    READER = 1
    WRITER = 2
    ADMIN = 3

    @classmethod
    def named(cls, text: str) -> Role:
        """The role called ``text``. Raises InvalidArgument."""
        found = cls.__members__.get(text.upper()) if text.islower() else None
        if found is None:
            raise InvalidArgument(f"role {text[:80]!r} is not known", "use reader, writer or admin")
        return found

    def __str__(self) -> str:
        return self.name.lower()


RepoName = tuple[str, str]
"""Project and name. Repos of one name but other types belong together: one right is for all."""


@dataclass(slots=True, eq=False)
class Grant:
    """Whether what was granted still holds. ``expires``: seconds of the epoch, 0 = never."""

    expires: float = 0.0
    over: bool = False

    @property
    def live(self) -> bool:
        """Whether it holds now."""
        return not self.over and (not self.expires or time() < self.expires)


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """A caller. ``repos`` None: the whole box. ``grant`` None: it holds as long as the box runs."""

    name: str
    role: Role
    repos: frozenset[RepoName] | None = None
    grant: Grant | None = field(default=None, repr=False)

    @property
    def is_admin(self) -> bool:
        """Whether it may do everything."""
        return self.role is Role.ADMIN and self.repos is None

    @property
    def live(self) -> bool:
        """Whether it may still ask."""
        return self.grant is None or self.grant.live

    def require_live(self) -> None:
        """Raise Unauthenticated when what was granted was revoked or has expired."""
        if self.grant is not None and not self.grant.live:
            raise Unauthenticated(OVER)


OWNER = Principal("local", Role.ADMIN)
"""Whoever may ask at all where nothing tells callers apart: on the box's socket, and on loopback
as long as there is no token."""

NOBODY = Principal("nobody", Role.READER, frozenset(), Grant(over=True))
"""Who asks as long as it is not known: may nothing."""

ROOT = Principal("root", Role.ADMIN)
"""Whoever shows the token of box.toml."""

CODE = Principal("code", Role.WRITER)
"""User code of jobs, spouts and services, by the token it finds in its environment."""

RESERVED = frozenset({OWNER.name, NOBODY.name, ROOT.name, CODE.name, "pachybox"})
"""Names that no token may have; the last is an access key of S3."""
