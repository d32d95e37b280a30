"""Who user code runs as: ``transform.user`` looked up on the machine the worker is on."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass

from pachybox.errors import Refused


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and group to become; ``name`` and ``home`` are empty for a number nobody has."""

    uid: int
    gid: int
    name: str = ""
    home: str = ""

    def become(self) -> None:
        """Change this process for good: one user, one group, no supplementary groups."""
        os.setgroups([])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)

    def environment(self) -> dict[str, str]:
        """The variables that name the user, for the code's environment."""
        known = {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}
        return {key: value for key, value in known.items() if value}


def resolve(user: str) -> Identity:
    """``name[:group]`` or ``uid[:gid]`` as an Identity.

    A number need not be in /etc/passwd; its group is then the same number. Raises Refused
    naming the user or group that does not exist.
    """
    who, _, group = user.partition(":")
    try:
        entry = pwd.getpwuid(int(who)) if _number(who) else pwd.getpwnam(who)
        found = Identity(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)
    except (KeyError, ValueError, OverflowError):
        if not _number(who):
            raise Refused(
                f"user {who!r} does not exist on this machine", "create it, or give uid:gid"
            ) from None
        found = Identity(int(who), int(who))
    if not group:
        return found
    try:
        gid = int(group) if _number(group) else grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        raise Refused(
            f"group {group!r} does not exist on this machine", "create it, or give uid:gid"
        ) from None
    return Identity(found.uid, gid, found.name, found.home)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 2**32 - 1


def choose(user: str, *, may_switch: bool) -> Identity | None:
    """The identity ``user`` asks for, None when that is the one we have.

    Raises Refused when it is another and the worker may not switch (it is not root).
    """
    if not user:
        return None
    wanted = resolve(user)
    if (wanted.uid, wanted.gid) == (os.geteuid(), os.getegid()):
        return None
    if not may_switch:
        raise Refused(
            f"cannot run as user {user!r}: the box itself is not root here",
            "run the box as root, or leave transform.user out",
        )
    return wanted
