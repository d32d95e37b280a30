"""Where a watched folder is: its mount, and whether it is there at all.

A folder that is gone, or whose file system is not mounted, looks like one from which everything
was deleted. It is held instead: nothing is concluded from it until it is back.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

_REMOTE = re.compile(
    r"nfs.*|cifs|smb.*|fuse.*|9p|afs|ceph|glusterfs|lustre|ocfs2|gfs2?|virtiofs|vboxsf|prl_fs|"
    r"ncpfs|beegfs|davfs|sshfs|drvfs"
)
_OCTAL = re.compile(r"\\([0-7]{3})")


class Away(Exception):
    """The folder is not there; says how, and what to do."""


@dataclass(frozen=True, slots=True)
class Mount:
    """The mount that a folder is on: where, and the kind of file system."""

    point: str
    kind: str

    @property
    def remote(self) -> bool:
        """Whether the kernel may not tell of changes that others make, and times may be another
        machine's."""
        return _REMOTE.fullmatch(self.kind) is not None

    def __str__(self) -> str:
        return f"{self.point} {self.kind}"


def mount_of(folder: str, mountinfo: str = "/proc/self/mountinfo") -> Mount:
    """The mount of an existing folder, or of where it would be."""
    real = os.path.realpath(folder)
    found = Mount("/", "")
    for line in Path(mountinfo).read_text(errors="surrogateescape").splitlines():
        fields, _, rest = line.partition(" - ")
        point = _OCTAL.sub(lambda m: chr(int(m[1], 8)), fields.split(" ")[4])
        below = point == "/" or real == point or real.startswith(point + "/")
        if below and len(point) >= len(found.point):  # of two in one place the later is seen
            found = Mount(point, rest.split(" ")[0])
    return found


class Place:
    """The folder ``root``; ``expected`` is the mount it was on before ("": any)."""

    def __init__(self, root: str, expected: str = "") -> None:
        self.root = root
        self.expected = expected
        self._seen: tuple[int, int] | None = None

    def check(self) -> bool:
        """Whether it is another folder than at the last check (or there was none): what was known
        of it must be looked at anew. Raises Away."""
        try:
            found = os.stat(self.root)  # noqa: PTH116  # each round
        except OSError as e:
            self._seen = None
            raise Away(f"{self.root} is gone: {e.strerror}; make it, or mount it again") from e
        if not stat.S_ISDIR(found.st_mode):
            self._seen = None
            raise Away(f"{self.root} is not a directory")
        now = (found.st_dev, found.st_ino)
        if now == self._seen:
            return False
        mount = str(mount_of(self.root))
        if self.expected and mount != self.expected:
            self._seen = None
            raise Away(
                f"{self.root} is on {mount}, and was on {self.expected}: mount it again, or, when "
                "it has moved for good, say so with: pachybox update ingest"
            )
        self.expected = mount
        self._seen = now
        return True

    def require(self) -> None:
        """Raise Away unless it is the folder of the last check: what was seen is true of that."""
        try:
            found = os.stat(self.root)  # noqa: PTH116  # as above
        except OSError as e:
            raise Away(f"{self.root} is gone: {e.strerror}; make it, or mount it again") from e
        if (found.st_dev, found.st_ino) != self._seen:
            raise Away(f"{self.root} is another folder than a moment ago")
