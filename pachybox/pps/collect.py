"""Taking a datum's output into the store, once no process of the datum lives.

Large files are renamed in, small ones packed. A symlink to something under /pfs/<input> or
/pfs/out is stored by reference; any other symlink, and every special file, is an error
that fails the datum and names the file.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pachybox.errors import InvalidArgument
from pachybox.model.files import Edit, Entry, Kind, Put
from pachybox.model.paths import clean
from pachybox.model.pps import DatumInput
from pachybox.pfs.service import Pfs
from pachybox.store.blobs import Session

_SMALL = 128 << 10  # what the store packs
_DEEPEST = 500  # directories inside each other
_BATCH = 4 << 20  # bytes of small files read before they are put together


@dataclass
class Collected:
    """What was found: edits that make the output tree, and its size in bytes."""

    edits: list[Edit] = field(default_factory=list)
    size: int = 0


class Collector:
    """Collects one output directory."""

    def __init__(
        self, pfs: Pfs, session: Session, out: Path, inputs: tuple[DatumInput, ...], root_of
    ) -> None:
        self._root_of = root_of
        self._pfs = pfs
        self._session = session
        self._out = out
        self._inputs = {one.name: one for one in inputs}
        self._made = Collected()
        self._waiting: list[tuple[str, bytes]] = []
        self._held = 0
        self._links: list[tuple[str, str]] = []

    def collect(self) -> Collected:
        """Walk the directory. Raises InvalidArgument naming the file that cannot be kept."""
        try:
            self._walk(self._out, "", 0)
        except OSError as e:
            name = str(e.filename or "")[len(str(self._out)) :][:200]
            raise InvalidArgument(
                f"cannot upload /pfs/out{name}: {e.strerror}", "write files that can be read"
            ) from e
        self._flush()
        known = {e.path: e.entry for e in self._made.edits if isinstance(e, Put)}
        for path, target in self._links:
            self._link(path, target, known)
        return self._made

    def _walk(self, directory: Path, prefix: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise InvalidArgument(
                f"cannot upload /pfs/out{prefix[:60]}...: deeper than {_DEEPEST} directories",
                "write fewer directories inside each other",
            )
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda e: e.name)
        for item in entries:
            try:
                item.name.encode()
            except UnicodeEncodeError:
                shown = os.fsencode(item.name).decode("utf-8", "backslashreplace")
                raise InvalidArgument(
                    f"cannot upload /pfs/out{prefix}/{shown}: its name is not UTF-8",
                    "write file names in UTF-8",
                ) from None
            path = clean(f"{prefix}/{item.name}")
            if item.is_symlink():
                self._links.append((path, str(Path(item.path).readlink())))
            elif item.is_dir(follow_symlinks=False):
                self._walk(Path(item.path), path, depth + 1)
            else:
                self._file(item, path)

    def _file(self, item: os.DirEntry[str], path: str) -> None:
        info = item.stat(follow_symlinks=False)
        if not stat.S_ISREG(info.st_mode):
            raise InvalidArgument(
                f"cannot upload special file /pfs/out{path}",
                "write regular files and directories only",
            )
        if info.st_size > _SMALL:
            digest, size = self._session.adopt(Path(item.path))
            self._put(path, Entry(item.name, Kind.FILE, digest, size))
            return
        with open(item.path, "rb") as f:
            data = f.read()
        self._waiting.append((path, data))
        self._held += len(data)
        if self._held >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        hashes = self._session.put_many([data for _, data in self._waiting])
        for (path, data), digest in zip(self._waiting, hashes, strict=True):
            name = path.rsplit("/", 1)[1]
            self._put(path, Entry(name, Kind.FILE, digest, len(data)))
        self._waiting.clear()
        self._held = 0

    def _put(self, path: str, entry: Entry) -> None:
        self._made.edits.append(Put(path, entry))
        self._made.size += entry.size

    def _link(self, path: str, target: str, known: dict[str, Entry]) -> None:
        seen = {path}
        full = self._absolute(path, target)
        links = dict(self._links)
        while (inside := _below(full, "/pfs/out")) in links:
            if inside in seen:
                break
            seen.add(inside)
            full = self._absolute(inside, links[inside])
        name = path.rsplit("/", 1)[1]
        if inside in known:
            entry = known[inside]
        else:
            found = self._input(full)
            if found is None:
                raise InvalidArgument(
                    f"cannot upload symlink /pfs/out{path} -> {target}",
                    "link only to files under /pfs, or copy the file",
                )
            entry = found
        self._put(path, Entry(name, entry.kind, entry.hash, entry.size, entry.count, entry.attrs))

    def _absolute(self, path: str, target: str) -> str:
        where = PurePosixPath("/pfs/out" + path).parent / target
        parts: list[str] = []
        for part in where.parts[1:]:
            if part == "..":
                if parts:
                    parts.pop()
            elif part != ".":
                parts.append(part)
        return "/" + "/".join(parts)

    def _input(self, full: str) -> Entry | None:
        parts = full.split("/", 3)
        if len(parts) < 3 or parts[1] != "pfs" or parts[2] not in self._inputs:
            return None
        one = self._inputs[parts[2]]
        inside = "/" + (parts[3] if len(parts) > 3 else "")
        base = one.path.rstrip("/")
        if inside != one.path and not inside.startswith(base + "/"):
            return None  # outside the datum: user code could not see it either
        return self._pfs.trees.get(self._root_of(one), inside)


def _below(full: str, directory: str) -> str:
    return full[len(directory) :] if full.startswith(directory + "/") else ""
