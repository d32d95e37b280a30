"""What backups are tested with: a box without doors, and a place."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from pachybox.backup.create import Job, create
from pachybox.backup.keep import parse_keep
from pachybox.backup.prune import prune
from pachybox.backup.repository import Repository
from pachybox.backup.service import never, silent
from pachybox.backup.target import Folder
from pachybox.backup.verify import verify
from pachybox.meta.writer import Meta
from pachybox.model.files import Entry, Kind
from pachybox.model.ids import Repo
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import PutFile
from pachybox.store.blobs import BlobStore

OLD, NEW, MORE = (Repo("default", name) for name in ("old", "new", "more"))


class World:
    """A box without doors, and a place for its backups."""

    def __init__(self, top: Path) -> None:
        top.mkdir()
        self.top, self.place = top, top / "place"
        self.blobs = BlobStore.open(top / "store")
        self.meta = Meta(top / "meta.duckdb", barrier=self.blobs.flush)
        self.pfs = Pfs(self.meta, self.blobs)

    def close(self) -> None:
        self.meta.close()
        self.blobs.close()

    def fill(self, repo: Repo, seed: int) -> None:
        """A commit of small files in two directories, an empty one and two large ones, of which one
        is cut."""
        draw = random.Random(seed)
        sizes = {f"/d{i % 2}/{i}": 50 + i for i in range(40)}
        sizes |= {"/empty": 0, "/l1": 140_000, "/l2": 300_000}
        self.put(repo, {path: draw.randbytes(size) for path, size in sizes.items()})

    def put(self, repo: Repo, files: Mapping[str, bytes]) -> None:
        """A new repo with a commit of files."""
        self.pfs.create_repo(repo)
        with self.blobs.session() as session:
            ops = []
            for path, data in files.items():
                entry = Entry(path.rpartition("/")[2], Kind.FILE, session.put(data), len(data))
                ops.append(PutFile(path, entry))
            self.pfs.write(session, repo, "master", ops)

    def back_up(self, target: Folder) -> str:
        return create(Job(self.pfs, target, self.top, "box"))[0].id

    def prune(self, target: Folder) -> None:
        prune(target, parse_keep("last 1"), self.top, silent, never)

    def bury(self) -> None:
        """What a look at the processes of the dead would say."""
        for lock in (self.place / "locks").glob("*"):
            lock.unlink()

    def require_good(self) -> list[str]:
        """Every backup there is can be restored; their ids."""
        repository = Repository.open(Folder(self.place))
        ids = repository.snapshot_ids()
        done = verify(repository, ids, 1.0, self.top, silent, never)
        assert done.problems == []
        return ids
