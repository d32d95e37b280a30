"""The store against a dict, step by step, whatever the order of the steps."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.blobs import BlobStore, Session
from pachybox.store.check import check
from pachybox.store.gc import collect
from tests.examples import many

from .test_blobs import address, content, reader

MEMORY = Path("/dev/shm")  # thousands of syncs, of which none is what is tested here
SIZES = st.sampled_from((0, 1, 200, 256, 600, 2000, 131_072, 131_073, 1 << 20, (1 << 20) + 1))
BLOBS = st.builds(content, SIZES, st.integers(0, 5))


class Store(RuleBasedStateMachine):
    """``named``: what the metadata would name; the rest lives as long as the session."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(fmt, "PACK_BYTES", 200_000)
        self.patch.setattr(fmt, "FRAME_BYTES", 5_000)
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.named: dict[Hash, bytes] = {}
        self.put_now: dict[Hash, bytes] = {}

    @initialize()
    def create(self) -> None:
        self.store = BlobStore.open(self.folder / "store")
        self.session = self.store.session()

    @rule(blob=BLOBS, stream=st.booleans())
    def put(self, blob: bytes, stream: bool) -> None:
        h = self.session.put_stream(reader(blob))[0] if stream else self.session.put(blob)
        assert h == address(blob)
        self.put_now[h] = blob

    @rule(blobs=st.lists(BLOBS, max_size=8))
    def put_many(self, blobs: list[bytes]) -> None:
        self.put_now.update(zip(self.session.put_many(blobs), blobs, strict=True))

    @rule(blob=BLOBS)
    def adopt(self, blob: bytes) -> None:
        (self.folder / "file").write_bytes(blob)
        self.put_now[self.session.adopt(self.folder / "file")[0]] = blob

    @rule()
    def flush(self) -> None:
        self.store.flush()

    @rule()
    def commit(self) -> None:
        self.store.flush()
        self.named |= self.put_now
        self._next_session()

    @rule()
    def give_up(self) -> None:
        self.session.end(undo=True)
        self._next_session()

    def _next_session(self) -> None:
        self.session.end()
        self.session = Session(self.store, False)
        self.put_now = {}

    @precondition(lambda self: self.named)
    @rule(data=st.data())
    def unname(self, data: st.DataObject) -> None:
        gone = data.draw(st.lists(st.sampled_from(sorted(self.named)), unique=True))
        for h in gone:
            del self.named[h]

    @rule()
    def seal(self) -> None:
        self.store.packs.seal()

    @rule()
    def collect(self) -> None:
        assert collect(self.store, lambda: list(self.named)).skipped == ()

    @rule()
    def reopen(self) -> None:
        self.session.end()
        self.store.close()
        self.create()
        self.put_now = {}

    @rule()
    def check(self) -> None:
        live = [*self.named, *self.put_now]
        assert [p for p in check(self.store, live) if p.level == "error"] == []

    @invariant()
    def everything_needed_is_there(self) -> None:
        for h, blob in {**self.named, **self.put_now}.items():
            assert self.store.size(h) == len(blob)
            assert self.store.read(h, len(blob) // 3, 999) == blob[len(blob) // 3 :][:999]

    def teardown(self) -> None:
        self.session.end()
        self.store.close()
        self.store = BlobStore.open(self.folder / "store")
        assert all(self.store.get(h) == blob for h, blob in self.named.items())
        collect(self.store, list)
        assert self.store.usage().bytes < 1024  # an empty pack with its mark, at most
        self.store.close()
        shutil.rmtree(self.folder)
        self.patch.undo()


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=many(30), stateful_step_count=20, deadline=None)
