"""What the symlinks in a datum's output mean, read from the store and not from the disk.

A link is followed as the kernel followed it for user code, through other links and in the middle
of paths too, but over what is known of /pfs: the files collected, and the trees of the inputs.
What it leads to becomes an entry, of a whole directory by its hash.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Container, Iterator, Mapping
from functools import cache

from pachybox.errors import InvalidArgument
from pachybox.model.files import Edit, Entry, Put
from pachybox.model.ids import Hash
from pachybox.pps.shape import Found, Shape
from pachybox.store.trees import EMPTY, Trees

_FOLLOWED = 40  # links on one way, as the kernel has it
_MOST = 1_000_000  # files that links to directories of the output may stand for


class Links:
    """The symlinks of one output."""

    def __init__(
        self,
        trees: Trees,
        put: Callable[[bytes], Hash],
        files: Mapping[str, Entry],
        links: Mapping[str, str],
        directories: Container[str],
        inputs: Callable[[], Shape],
    ) -> None:
        """``files``, ``links`` (with their targets) and ``directories`` by path in /pfs/out;
        ``inputs`` gives the shape of /pfs without it."""
        self._trees = trees
        self._store = put
        self._files = files
        self._links = links
        self._directories = directories
        self._shape = cache(inputs)
        self._aliases: list[tuple[str, str]] = []
        self._paths: list[str] = []
        self._known: dict[str, Entry | None] = {}
        self._busy: set[str] = set()
        self._linked = 0

    def alias(self, directory: str, stands_for: str) -> None:
        """Links to ``directory`` mean ``stands_for``."""
        self._aliases.append((directory, stands_for))

    def entry(self, path: str) -> Entry | None:
        """What the link at ``path`` stands for; None for an empty directory.

        Raises InvalidArgument when that is not in /pfs, does not exist, or is a circle.
        """
        if path in self._known:
            return self._known[path]
        if path in self._busy:
            raise self._refused(path, "a link that leads to itself cannot be kept")
        self._busy.add(path)
        full = self._follow(path)
        if full == "/pfs/out" or full.startswith("/pfs/out/"):
            found = self._of_output(full[len("/pfs/out") :], path)
        else:
            found = self._of_input(full, path)
        self._busy.discard(path)
        if found is not None:
            name = path.rsplit("/", 1)[1]
            found = Entry(name, found.kind, found.hash, found.size, found.count, found.attrs)
        self._known[path] = found
        return found

    def _follow(self, path: str) -> str:
        """Where a link leads in the end: a path without links."""
        at = ["pfs", "out", *path[1:].split("/")[:-1]]
        left = self._parts(self._links[path])[::-1]
        followed = 1
        if self._absolute(self._links[path]):
            at = []
        while left:
            part = left.pop()
            if part == "..":
                if at:
                    at.pop()
                continue
            at.append(part)
            if at[:2] != ["pfs", "out"]:
                continue
            target = self._links.get("/" + "/".join(at[2:]))
            if target is None:
                continue
            followed += 1
            if followed > _FOLLOWED:
                raise self._refused(path, "a link that leads to itself cannot be kept")
            at = [] if self._absolute(target) else at[:-1]
            left += self._parts(target)[::-1]
        return "/" + "/".join(at)

    def _absolute(self, target: str) -> bool:
        return target.startswith("/")

    def _parts(self, target: str) -> list[str]:
        for directory, stands_for in self._aliases:
            if target == directory or target.startswith(directory + "/"):
                target = stands_for + target[len(directory) :]
                break
        return [part for part in target.split("/") if part not in ("", ".")]

    # -- what is there

    def _of_output(self, inside: str, path: str) -> Entry | None:
        if inside in self._files:
            return self._files[inside]
        if path.startswith(inside + "/"):
            raise self._refused(path, "a link to a directory it lies in cannot be kept")
        edits: list[Edit] = []
        for below in self._below(inside):
            entry = self._files[below] if below in self._files else self.entry(below)
            if entry is not None:
                edits.append(Put(below[len(inside) :], entry))
        if not edits and inside in self._directories:
            return None
        if not edits:
            raise self._refused(path, "write the file that it leads to, or remove the link")
        entry = self._trees.entry(self._trees.edit(EMPTY, edits, self._store))
        self._linked += entry.count
        if self._linked > _MOST:
            raise self._refused(path, f"links may stand for {_MOST} files of the output at most")
        return entry

    def _below(self, directory: str) -> Iterator[str]:
        """The files and links under a directory of the output."""
        if not self._paths:
            self._paths = sorted([*self._files, *self._links])
        prefix = directory + "/"
        for i in range(bisect_left(self._paths, prefix), len(self._paths)):
            if not self._paths[i].startswith(prefix):
                return
            yield self._paths[i]

    def _of_input(self, full: str, path: str) -> Entry | None:
        """What user code saw at a path of its inputs: no more of a commit than that."""
        parts = [part for part in full.split("/") if part]
        item: Shape | Found = self._shape()
        elsewhere = len(parts) < 2 or parts[0] != "pfs"
        for depth, part in enumerate([""] if elsewhere else parts[1:], 1):
            if isinstance(item, Found):
                below_it = "/" + "/".join(parts[depth:])
                found = self._trees.get(item.entry.hash, below_it) if item.entry.is_dir else None
                break
            below = item.get(part)
            if below is None:
                found = None
                break
            item = below
        else:
            found = item.entry if isinstance(item, Found) else self._whole(item)
        if found is None:
            raise self._refused(path, "link only to files under /pfs, or copy the file")
        return found if found.count else None

    def _whole(self, shape: Shape) -> Entry:
        """A directory of the inputs that is in no commit as it is."""
        edits: list[Edit] = []

        def gather(shape: Shape, base: str) -> None:
            for name, item in shape.items():
                if not isinstance(item, Found):
                    gather(item, f"{base}/{name}")
                elif item.entry.count:
                    edits.append(Put(f"{base}/{name}", item.entry))

        gather(shape, "")
        return self._trees.entry(self._trees.edit(EMPTY, edits, self._store))

    def _refused(self, path: str, hint: str) -> InvalidArgument:
        return InvalidArgument(f"cannot upload symlink /pfs/out{path} -> {self._links[path]}", hint)
