"""Trees to bring out, and a Pusher to do it, without a process around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pachybox.meta.writer import Meta
from pachybox.model.files import Edit, Entry, Kind, Put
from pachybox.model.ids import Hash
from pachybox.pfs.service import Pfs
from pachybox.pps.egress.service import Pusher
from pachybox.pps.secrets import Secrets
from pachybox.store.blobs import BlobStore
from pachybox.store.trees import EMPTY


class House:
    """A store in a directory, and what brings its trees out."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home = home
        self.blobs = BlobStore.open(home / "store")
        self.meta = Meta(home / "meta.duckdb", barrier=self.blobs.flush)
        self.pfs = Pfs(self.meta, self.blobs)
        self.secrets = Secrets(self.meta, home / "secret.key")
        self.pusher = Pusher(self.pfs, self.secrets, home / "work" / "egress", home)
        self._session = self.blobs.session()

    def tree(self, files: Mapping[str, bytes | str]) -> Hash:
        """The root of a tree of these files."""
        put = self._session.put
        edits: list[Edit] = []
        for path, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            name = path.rpartition("/")[2]
            edits.append(Put(path, Entry(name, Kind.FILE, put(data), len(data))))
        return self.pfs.trees.edit(EMPTY, edits, put)

    def close(self) -> None:
        self._session.end()
        self.meta.close()
        self.blobs.close()


@contextmanager
def house(home: Path) -> Iterator[House]:
    """A House that is closed in the end."""
    made = House(home)
    try:
        yield made
    finally:
        made.close()
