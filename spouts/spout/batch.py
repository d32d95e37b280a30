"""One archive of a spout as a batch: its files, its marker, and what cannot be taken."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pachybox.client.upload import Put
from pachybox.errors import InvalidArgument
from pachybox.model.paths import MAX_ELEMENT, clean
from spouts.desk import DeadLetter, Desk

_SMALL = 1 << 20  # bytes of what goes aside that is held in memory

_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    member: tarfile.TarInfo


class Batch:
    """An archive that came whole."""

    def __init__(self, desk: Desk, archive: Path) -> None:
        self._desk = desk
        self._archive = archive
        spec = desk.task.spec
        self._marker = str(spec.get("marker") or "")
        self._append = not spec.get("overwrite")
        self._aside = desk.task.state / "aside"  # large contents that go elsewhere
        self._made = 0

    def commit(self) -> None:
        """Commit it, as the next batch; see Desk.commit. What cannot be put where it belongs is a
        dead letter, one way or another."""
        try:
            with tarfile.open(self._archive, "r:") as tar:
                self._commit(tar)
        except tarfile.TarError as e:
            letter = DeadLetter("/archive.tar", f"cannot be read: {e}", self._archive)
            self._desk.commit(None, {}, dead=[letter])
            self._desk.failed(f"an archive cannot be read, and is a dead letter: {e}")
        finally:
            shutil.rmtree(self._aside, ignore_errors=True)

    def _commit(self, tar: tarfile.TarFile) -> None:
        files: list[_File] = []
        marker: dict[str, bytes | Path] = {}
        dead: list[DeadLetter] = []
        for member in tar:
            if member.isdir():
                continue
            if reason := _unfit(member):
                dead.append(DeadLetter(_letter(member.name), reason, self._content(tar, member)))
                continue
            path = _path(member.name)
            if self._marker and path.removeprefix("/").startswith(self._marker):
                marker[path] = self._content(tar, member)
            else:
                files.append(_File(path, member))
        if dead:
            self._desk.log(f"{len(dead)} entries are dead letters: {dead[0].path}: "
                           f"{dead[0].reason}")  # fmt: skip
        try:
            self._hand_in(tar, files, marker, dead)
        except InvalidArgument as e:
            # Not where it belongs: a path is a directory there. The stream goes on all the same.
            dead += [DeadLetter(one.path, str(e), self._content(tar, one.member)) for one in files]
            self._hand_in(tar, [], marker, dead)
            self._desk.failed(f"an archive cannot be committed, and is dead letters: {e}")

    def _hand_in(
        self,
        tar: tarfile.TarFile,
        files: list[_File],
        marker: dict[str, bytes | Path],
        dead: list[DeadLetter],
    ) -> None:
        def fill(put: Put) -> None:
            seen: set[str] = set()
            for one in files:
                again = self._append and one.path in seen
                put.stream(one.path, _opened(tar, one.member), append=again)
                seen.add(one.path)

        self._desk.commit(
            fill if files else None,
            {},
            append=self._append,
            marker=marker,
            dead=dead,
            records=len(files),
            files=len(files),
            bytes=sum(one.member.size for one in files),
        )

    def _content(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | Path:
        if not member.isfile():
            return b""
        source = _opened(tar, member)
        if member.size <= _SMALL:
            return source.read()
        self._aside.mkdir(exist_ok=True)
        self._made += 1
        target = self._aside / str(self._made)
        with open(target, "wb") as file:
            shutil.copyfileobj(source, file)
        return target


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    found = tar.extractfile(member)
    assert found is not None  # it is a file
    return found


def _path(name: str) -> str:
    """Where an entry goes. Raises InvalidArgument."""
    elements = [element for element in name.split("/") if element not in ("", ".")]
    if not elements:
        raise InvalidArgument(f"{name!r} names no file", "give the entry a name")
    return clean("/" + "/".join(elements))


def _unfit(member: tarfile.TarInfo) -> str:
    """Why an entry cannot be taken; empty when it can."""
    if not member.isfile():
        kind = _KINDS.get(member.type, f"of type {member.type!r}")
        return f"{kind}{f' to {member.linkname}' if member.linkname else ''}, not a file"
    try:
        _path(member.name)
    except InvalidArgument as e:
        return str(e)
    return ""


def _letter(name: str) -> str:
    """A path for what has no path that could be."""
    return "/" + ("/".join(_elements(name)) or "entry")


def _elements(name: str) -> Iterator[str]:
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    for element in text.replace("\0", "").split("/")[:20]:
        if element not in ("", ".", ".."):
            yield element[: MAX_ELEMENT // 8]
