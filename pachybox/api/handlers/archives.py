"""The whole box as an archive: what the door for archives asks the box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pachybox.api.archive_door import Output
from pachybox.api.table import Call
from pachybox.backup.archive import Figures
from pachybox.backup.sinks import FileSink, Pieces
from pachybox.box import Box
from pachybox.pfs import buckets, remote


class ArchiveRoutes:
    """The box to an archive and back."""

    def __init__(self, box: Box) -> None:
        self._box = box

    def extract(self, out: Output) -> dict[str, Any]:
        return _told(self._box.extract(Pieces(out.write)))

    def extract_into(self, fd: int, call: Call) -> dict[str, Any]:
        return _told(self._box.extract(FileSink(fd, call.cancel.is_set)))

    def extract_to(self, url: str) -> dict[str, Any]:
        with buckets.create(url) as out:
            return _told(self._box.extract(Pieces(out.write)))

    def restore(self, readinto: Callable[[memoryview], int]) -> dict[str, Any]:
        return _told(self._box.restore(readinto))

    def restore_from(self, url: str, call: Call) -> dict[str, Any]:
        reach = self._box.config.url_fetch
        with remote.open_url(url, trusted=call.local, reach=reach) as source:
            return _told(self._box.restore(source.readinto))


def _told(figures: Figures) -> dict[str, Any]:
    return {
        "blobs": figures.blobs,
        "objects": figures.objects,
        "bytes": figures.bytes,
        "records": figures.records,
    }
