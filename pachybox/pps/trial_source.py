"""The source that a session tries: as a tree of the store, and as a directory workers show.

The client sends what changed; nothing here reads the machine's own files. So a run sees one
state of the source from its beginning to its end, whatever is saved meanwhile, and user code
can do nothing to the files of the user.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path

from pachybox.meta.tables import FILESETS
from pachybox.model.files import Change
from pachybox.model.ids import Hash
from pachybox.pfs import filesets
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import AddTree, Writer
from pachybox.store.disk import full_disk_is_exhausted, write_all
from pachybox.store.trees import EMPTY


class Source:
    """The source of one session. ``add`` for any thread, one after the other; ``lay_out`` while
    no user code runs."""

    def __init__(self, pfs: Pfs, folder: Path) -> None:
        """``folder`` is where the source is laid out; its path never changes."""
        self.folder = folder
        self.root = EMPTY
        self._pfs = pfs
        self._lock = threading.Lock()  # of what follows, for the time of a look
        self._held = ExitStack()
        self._shown = ExitStack()  # holds what is laid out
        self._session = pfs.blobs.session()
        self._programs: frozenset[str] = frozenset()
        self._laid_out: tuple[Hash, frozenset[str]] = (EMPTY, frozenset())

    def add(self, fileset: str, programs: Collection[str]) -> None:
        """Change the source by what a fileset does, which is used up; empty changes nothing.
        ``programs`` are the paths of all files that may be executed."""
        with self._lock:
            self._programs = frozenset(programs)
        if not fileset:
            return
        found = filesets.find(self._pfs.meta, fileset)
        with self._pfs.reading(found.root):
            writer = Writer(self._pfs.trees, self._pfs.content, self._session.put)
            root = writer.apply(self.root, [AddTree(found.root, found.deletes)])
            self._hold(root)
        self._pfs.meta.write(lambda tx: tx.remove(FILESETS, fileset))

    def _hold(self, root: Hash) -> None:
        held = ExitStack()
        held.enter_context(self._pfs.reading(root))
        with self._lock:
            before, self._held, self.root = self._held, held, root
        before.close()

    def lay_out(self) -> None:
        """Bring the directory up to date: only what changed is written. Raises Exhausted."""
        before, old = self._laid_out
        shown = ExitStack()
        with self._lock:
            root, programs = self.root, self._programs
            shown.enter_context(self._pfs.reading(root))
        with full_disk_is_exhausted(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o755)
            changes = list(self._pfs.trees.diff(before, root))
            # a directory that became a file is a removal and an addition, in whatever order
            for change in sorted(changes, key=lambda change: change.new is not None):
                self._change(change, programs)
            for path in old ^ programs:
                target = self._at(path)
                if target.is_file():
                    target.chmod(0o755 if path in programs else 0o644)
        self._laid_out = (root, programs)
        self._shown.close()
        self._shown = shown

    def _change(self, change: Change, programs: frozenset[str]) -> None:
        target = self._at(change.path)
        if change.new is None:
            if target.is_dir():
                shutil.rmtree(target, ignore_errors=True)
            else:
                with suppress(FileNotFoundError, NotADirectoryError):  # gone with what held it
                    target.unlink()
            return
        if change.new.is_dir:
            if target.is_file():
                target.unlink()
            target.mkdir(exist_ok=True)
            target.chmod(0o755)
            return
        if target.is_dir():
            shutil.rmtree(target)
        # under a new name: what was there may be open, or run, in a service of the code
        new = target.with_name(".pachybox-new")
        mode = 0o755 if change.path in programs else 0o644
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            for piece in self._pfs.content.read(change.new):
                write_all(fd, piece)
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
        new.replace(target)

    def _at(self, path: str) -> Path:
        return self.folder / path.lstrip("/")

    def close(self) -> None:
        """Let go of the content; the directory is removed by whoever removes what is around it."""
        self._held.close()
        self._shown.close()
        self._session.end(undo=True)
