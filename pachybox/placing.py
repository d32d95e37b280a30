"""Files put in place whole by who installs: each is the old one or the new one at any moment.

On this machine, or below a root, where the files of another are.
"""

from __future__ import annotations

import errno
import filecmp
import os
import re
import shlex
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from pachybox.durable import replacing, sync_path
from pachybox.errors import InvalidArgument, Refused

Owner = tuple[int, int]
"""Numbers of a user and a group."""
HERE = Path("/")
"""The root of this machine."""
_ESCAPED = re.compile(r"\\([0-7]{3})")


class State(StrEnum):
    """What became of a thing, or would."""

    MADE = "made"
    REPLACED = "replaced"
    KEPT = "kept"
    REMOVED = "removed"
    EMPTIED = "emptied, for something is mounted there"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was put in place or taken away, or would be."""

    what: str
    where: str
    state: State


def named_root(given: str | None) -> Path:
    """The root that a flag names, a path without links; None = this machine. Raises
    InvalidArgument for "", of a variable that is not set: it never means this machine."""
    if given == "":
        raise InvalidArgument("--root names no directory", "name one, or leave --root out")
    return Path(given or HERE).resolve()


def on_disk(root: Path, path: Path, *, link: bool = False) -> Path:
    """Where ``path`` of a machine is for this process, whose files are below ``root``, a path
    without links.

    Raises Refused when a link leads out of the root, to what is another machine's: one on the way
    or, but where what is wanted is a ``link`` itself, at the end.
    """
    at = root / path.relative_to("/")
    real = _real(at.parent if link else at)
    if root != HERE and not real.is_relative_to(root):
        raise Refused(
            f"{at} is a matter of {real}, outside of {root}: a link leads there",
            "make the link a relative one, or work on the machine itself",
        )
    return at


def _real(path: Path) -> Path:
    """``path`` without links; one that leads to itself, which ``resolve`` fails at, stays."""
    return Path(os.path.realpath(path))


def mounts() -> list[Path]:
    """All places where something is mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    words = (line.split()[4] for line in lines)
    return [Path(_ESCAPED.sub(lambda m: chr(int(m[1], 8)), word)) for word in words]


def check_unmounted(folder: Path) -> None:
    """Raise Refused when something is mounted below ``folder``, which would be deleted with it."""
    real = _real(folder)
    for path in mounts():
        if path != real and path.is_relative_to(real):
            raise Refused(
                f"{path} is mounted, and what is in it would be deleted with {folder}",
                f"unmount it: umount {shlex.quote(str(path))}; then uninstall again",
            )


def put_text(
    path: Path, text: str, mode: int, owner: Owner | None = None, *, act: bool = True
) -> State:
    """Have ``text`` at ``path`` (0o644 and so on; ``owner`` None = the caller's). Nothing is
    changed without ``act``."""
    content = text.encode()
    same = path.is_file() and path.read_bytes() == content
    return _put(path, mode, owner, lambda new: new.write(content), same=same, act=act)


def put_copy(path: Path, source: Path, *, act: bool = True) -> State:
    """Have a copy of the program ``source`` at ``path``, which may be running meanwhile."""
    same = path.is_file() and (path.samefile(source) or filecmp.cmp(path, source, shallow=False))

    def write(new: IO[bytes]) -> None:
        with open(source, "rb") as file:
            shutil.copyfileobj(file, new, 1 << 20)

    return _put(path, 0o755, None, write, same=same, act=act)


def _put(
    path: Path,
    mode: int,
    owner: Owner | None,
    write: Callable[[IO[bytes]], object],
    *,
    same: bool,
    act: bool,
) -> State:
    if same:
        return State.KEPT
    state = State.REPLACED if path.exists() else State.MADE
    if not act:
        return state
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, mode, owner) as new:
        write(new)
    return state


def make_folder(path: Path, mode: int, owner: Owner | None = None, *, act: bool = True) -> State:
    """Have a directory at ``path``; one that is there is left as it is."""
    if path.is_dir():
        return State.KEPT
    if act:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(fd, mode)  # whatever the umask
            if owner is not None:
                os.fchown(fd, *owner)
        finally:
            os.close(fd)
        sync_path(path.parent)
    return State.MADE


def link(path: Path, target: str, *, act: bool = True) -> State:
    """Have a symbolic link at ``path``."""
    if path.is_symlink() and str(path.readlink()) == target:
        return State.KEPT
    state = State.REPLACED if path.is_symlink() or path.exists() else State.MADE
    if act:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        new.unlink(missing_ok=True)  # of a process that was killed
        new.symlink_to(target)
        new.rename(path)
        sync_path(path.parent)
    return state


def remove(path: Path, *, act: bool = True) -> State:
    """Have no file or link at ``path``."""
    if not path.is_symlink() and not path.exists():
        return State.ABSENT
    if act:
        path.unlink()
        sync_path(path.parent)
    return State.REMOVED


def remove_empty(*folders: Path) -> None:
    """Remove directories that have nothing in them, in this order; all else stays."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def remove_folder(path: Path, *, last: Collection[str] = (), act: bool = True) -> State:
    """Have no directory at ``path``, nor anything below it; where it is a link, nor what that
    names. One that something is mounted on stays, empty. Entries in ``last`` go after the rest.
    Raises Refused, with nothing removed, when something is mounted below it."""
    if not path.is_dir():
        return State.ABSENT
    if not act:
        return State.REMOVED
    check_unmounted(path)
    folder = path.resolve()
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name in last):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    try:
        folder.rmdir()
    except OSError as e:
        if e.errno != errno.EBUSY:
            raise
        return State.EMPTIED
    if path.is_symlink():
        path.unlink()
    sync_path(path.parent)
    return State.REMOVED
