"""kill -9 in the middle of S3 writes: what was answered is there, and groups come to an end."""

from __future__ import annotations

import http.client
import random
import threading
from pathlib import Path

from tests.boxes import RealBox, eventually
from tests.s3 import S3

LIVES = 3
BUCKETS = ("master.each", "master.grouped")


class Writers:
    """Threads that PUT objects and parts until the box is gone; what was answered is kept."""

    def __init__(self, address: str, life: int, upload: str) -> None:
        self.stored: dict[tuple[str, str], bytes] = {}
        self.parts: dict[int, bytes] = {}
        self.threads = [
            threading.Thread(target=self._put, args=(address, bucket, f"{life}-{n}"))
            for bucket in BUCKETS
            for n in range(3)
        ]
        self.threads.append(threading.Thread(target=self._part, args=(address, life, upload)))
        for thread in self.threads:
            thread.start()

    def _put(self, address: str, bucket: str, name: str) -> None:
        s3 = S3.of(address)
        try:
            for i in range(10_000):
                # one large object now and then: those are files of their own
                body = f"{name} {i}".encode() * (40_000 if i % 50 == 7 else 1)
                key = f"d{i % 7}/{name}-{i}"
                if s3.raw("PUT", f"/{bucket}/{key}", body).status == 200:
                    self.stored[bucket, key] = body
        except (OSError, http.client.HTTPException):
            pass
        finally:
            s3.close()

    def _part(self, address: str, life: int, upload: str) -> None:
        s3 = S3.of(address)
        try:
            for i in range(1, 1000):
                number = life * 1000 + i
                body = b"part %d" % number
                target = f"/master.each/whole?partNumber={number}&uploadId={upload}"
                if s3.raw("PUT", target, body).status == 200:
                    self.parts[number] = body
        except (OSError, http.client.HTTPException):
            pass
        finally:
            s3.close()

    def join(self) -> None:
        for thread in self.threads:
            thread.join()


def test_what_s3_answered_outlives_a_kill(tmp_path: Path) -> None:
    """Objects that made a commit each, objects grouped by a window, parts of an upload: all that
    was answered is there after each kill, no group stays open, and the store is true."""
    draw = random.Random(7)
    box = RealBox(tmp_path / "home").start()
    try:
        s3 = S3.of(box.client.status().address)
        for bucket in BUCKETS:
            assert s3.raw("PUT", f"/{bucket}").status == 200
        box.cli("update", "branch", "grouped@master", "--s3-window", "20s")
        upload = s3.raw("POST", "/master.each/whole?uploads").text("UploadId")
        stored: dict[tuple[str, str], bytes] = {}
        parts: dict[int, bytes] = {}
        for life in range(LIVES):
            writers = Writers(box.client.status().address, life, upload)
            eventually(lambda w=writers: len(w.stored) > 60, "objects are stored")  # type: ignore[misc]
            threading.Event().wait(0.2 * draw.random())  # the moment
            box.kill()
            writers.join()
            stored |= writers.stored
            parts |= writers.parts
            s3.close()
            box.start()
            s3 = S3.of(box.client.status().address)
            assert len(eventually(lambda: _groups(box), "the group is finished")) == life + 1
            for (bucket, key), body in writers.stored.items():
                assert s3.raw("GET", f"/{bucket}/{key}").body == body
        listed: list[str] = []
        while True:
            after = listed[-1] if listed else "0"
            page = s3.raw("GET", f"/master.each/whole?uploadId={upload}&part-number-marker={after}")
            listed += page.texts("Part/PartNumber")
            if page.text("IsTruncated") != "true":
                break
        assert {str(number) for number in parts} <= set(listed)
        assert [f["level"] for f in box.client.fsck()] == ["info"]
        box.client.collect_garbage()
        for (bucket, key), body in draw.sample(sorted(stored.items()), 100):
            assert s3.raw("GET", f"/{bucket}/{key}").body == body
        number, body = max(parts.items())
        done = s3.raw(
            "POST",
            f"/master.each/whole?uploadId={upload}",
            f"<CompleteMultipartUpload><Part><PartNumber>{number}</PartNumber>"
            f"<ETag>{_etag(s3, upload, number)}</ETag></Part></CompleteMultipartUpload>".encode(),
        )
        assert done.status == 200, done.body
        assert s3.raw("GET", "/master.each/whole").body == body
        s3.close()
    finally:
        box.kill()


def _groups(box: RealBox) -> list[str]:
    """The commits of windows, when all are finished."""
    found = list(box.client.list_commit("grouped"))
    return [str(commit) for commit in found] if all(c.finished for c in found) else []


def _etag(s3: S3, upload: str, number: int) -> str:
    page = s3.raw(
        "GET", f"/master.each/whole?uploadId={upload}&part-number-marker={number - 1}&max-parts=1"
    )
    return page.text("Part/ETag")
