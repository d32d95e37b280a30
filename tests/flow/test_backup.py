"""The whole box as one file: out of a working box, into an empty one, nothing done again."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pachybox.client.backup import Backup
from pachybox.errors import Corrupt, InvalidArgument, PachyboxError, Refused, Unreachable
from tests.boxes import RealBox, eventually
from tests.flow.whole_box import JOINED, LARGE, UPPER, filled, known
from tests.unit.pfs.s3_server import s3


@contextmanager
def backup(box: RealBox) -> Iterator[Backup]:
    client = Backup(str(box.socket))
    try:
        yield client
    finally:
        client.close()


def extracted(box: RealBox) -> bytes:
    out = io.BytesIO()
    with backup(box) as client:
        assert client.extract(out) == len(out.getvalue())
    return out.getvalue()


def restored(box: RealBox, archive: bytes) -> dict[str, Any]:
    with backup(box) as client:
        return client.restore(io.BytesIO(archive))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    box = filled(RealBox(tmp_path_factory.mktemp("source") / "home").start())
    yield box
    box.stop()


@pytest.fixture(scope="module")
def archive(source: RealBox) -> bytes:
    return extracted(source)


def test_a_restored_box_is_the_same_and_does_only_what_is_new(
    source: RealBox, archive: bytes, box: RealBox
) -> None:
    """Ids, trees, states and provenance are equal; a new commit runs one datum of three."""
    told = restored(box, archive)
    assert told["records"]["jobs"] == 4
    assert known(box) == known(source)
    c = box.client
    assert not [f for f in c.fsck() if f.get("level") == "error"]
    assert c.get_file("upper@master:/large") == LARGE.translate(
        bytes(b - 32 if 97 <= b <= 122 else b for b in range(256))
    )
    c.put_file("texts@master:/a", b"other\n")
    c.wait_commit("joined@master")
    job = next(iter(c.list_job("upper")))
    assert (job.state, job.processed, job.skipped) == ("JOB_SUCCESS", 1, 2)
    assert c.get_file("upper@master:/a") == b"OTHER\n"


def test_a_restored_box_is_durable_and_opens_again(archive: bytes, box: RealBox) -> None:
    restored(box, archive)
    before = known(box)
    box.kill()
    box.start()
    assert known(box) == before
    newest = box.client.list_commit("texts", number=1)
    box.client.put_file("texts@master:/new", b"x")
    assert next(iter(box.client.list_commit("texts"))).parent.endswith(next(iter(newest)).id)


def test_a_job_that_ran_during_the_extract_runs_after_the_restore(
    tmp_path: Path, box: RealBox
) -> None:
    """The archive is of a moment in which one datum was done and the other held up."""
    gate = tmp_path / "gate"
    c = box.client
    c.create_repo("texts")
    with c.put("texts@master") as put:
        put.data("/a", b"one\n")
        put.data("/b", b"two\n")
    script = f'case $texts in */b) until test -e "{gate}"; do sleep 0.05; done;; esac'
    slow = {**UPPER, "transform": {"cmd": ["sh"], "stdin": [script, *UPPER["transform"]["stdin"]]}}  # type: ignore[index]
    c.create_pipelines(json.dumps(slow))
    c.create_pipelines(json.dumps(JOINED))

    def half_done() -> bool:
        return any(j.processed == 1 and not j.done for j in c.list_job("upper"))

    eventually(half_done, "one datum is done, the other waits")
    archive = extracted(box)
    gate.touch()
    c.wait_commit("joined@master")

    other = RealBox(tmp_path / "other").start()
    try:
        restored(other, archive)
        other.client.wait_commit("joined@master")
        assert other.client.get_file("joined@master:/all") == b"ONE\nTWO\n"
        jobs = {str(j): j for j in other.client.list_job()}
        assert set(jobs) == {str(j) for j in c.list_job()}
        upper = next(j for n, j in jobs.items() if n.startswith("upper@"))
        assert (upper.processed, upper.failed, upper.total) == (2, 0, 2)
    finally:
        other.stop()


def test_only_an_empty_box_is_restored_into(archive: bytes, source: RealBox) -> None:
    before = known(source)
    with pytest.raises(Refused, match="not empty"):
        restored(source, archive)
    assert known(source) == before


def test_a_box_emptied_by_delete_all_takes_an_archive(archive: bytes, box: RealBox) -> None:
    box.client.create_repo("mine")
    box.client.put_file("mine@master:/a", b"x")
    box.client.delete_all()
    restored(box, archive)
    assert {r.name for r in box.client.list_repo()} == {"texts", "upper", "joined"}


def cut(archive: bytes) -> bytes:
    return archive[: len(archive) * 2 // 3]


def without_end(archive: bytes) -> bytes:
    return archive[: archive.rindex(b"end.json")]


def flipped(archive: bytes) -> bytes:
    at = archive.index(LARGE[:64]) + 1_000_000
    return archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :]


def record_changed(archive: bytes) -> bytes:
    return archive.replace(b'"some texts"', b'"SOME TEXTS"', 1)


@pytest.mark.parametrize("spoil", [cut, without_end, flipped, record_changed])
def test_a_damaged_archive_leaves_the_box_empty(
    spoil: Callable[[bytes], bytes], archive: bytes, box: RealBox
) -> None:
    spoiled = spoil(archive)
    assert spoiled != archive
    with pytest.raises(Corrupt, match="archive is damaged"):
        restored(box, spoiled)
    assert list(box.client.list_repo(type="all")) == []
    restored(box, archive)
    assert len(list(box.client.list_job())) == 4


def test_a_record_without_its_content_is_found(archive: bytes, box: RealBox) -> None:
    """An archive that adds up, but lacks a blob that a record names."""
    lacking, dropped = io.BytesIO(), list[int]()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        tarfile.open(fileobj=lacking, mode="w", format=tarfile.GNU_FORMAT) as new,
    ):
        for member in old.getmembers():
            file = old.extractfile(member)
            assert file is not None
            data = file.read()
            if member.name.startswith("objects/"):
                dropped.append(len(data))
                continue
            if member.name == "end.json":
                end = json.loads(data)
                end["objects"] -= len(dropped)
                end["bytes"] -= sum(dropped)
                data = json.dumps(end).encode()
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    with pytest.raises(Corrupt, match="which a record names"):
        restored(box, lacking.getvalue())
    assert list(box.client.list_repo(type="all")) == []


def test_other_files_are_no_archive(box: RealBox) -> None:
    other = io.BytesIO()
    with tarfile.open(fileobj=other, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    for data in (b"", b"hello", bytes(4096), os.urandom(4096), other.getvalue()):
        with pytest.raises(InvalidArgument, match="no extracted box"):
            restored(box, data)


def test_a_newer_archive_is_refused_by_name(archive: bytes, box: RealBox) -> None:
    newer = archive.replace(b'"version": 1', b'"version": 9', 1)
    with pytest.raises(InvalidArgument, match="newer pachybox"):
        restored(box, newer)


def test_a_restore_killed_half_way_leaves_an_empty_box(archive: bytes, tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home").start()
    try:
        sent = threading.Event()
        go = threading.Event()

        class Stalling(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                data = super().read(min(size or 0, 100_000))
                if self.tell() > len(archive) // 2:
                    sent.set()
                    go.wait(60)
                return data

        failed: list[BaseException] = []

        def send() -> None:
            try:
                with backup(box) as client:
                    client.restore(Stalling(archive))
            except BaseException as e:
                failed.append(e)

        thread = threading.Thread(target=send)
        thread.start()
        assert sent.wait(60)
        box.kill()
        go.set()
        thread.join(60)
        assert isinstance(failed[0], Unreachable | OSError)
        box.start()
        assert list(box.client.list_repo(type="all")) == []
        restored(box, archive)
        assert len(list(box.client.list_job())) == 4
    finally:
        box.stop()


def test_the_archive_holds_every_blob_once_and_other_tools_can_look_inside(
    archive: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "box.tar"
    path.write_bytes(archive)
    listed = subprocess.run(["tar", "-tf", path], capture_output=True, check=True, text=True)
    names = listed.stdout.split()
    assert names[0] == "pachybox.json"
    assert names[-1] == "end.json"
    assert len(set(names)) == len(names)
    with tarfile.open(path) as tar:
        repos = tar.extractfile("meta/repos.jsonl")
        assert repos is not None
        assert {json.loads(line)["name"] for line in repos} == {"texts", "upper", "joined"}
        manifest = json.load(tar.extractfile("pachybox.json"))  # type: ignore[arg-type]
        assert manifest["format"] == "pachybox-extract"
    assert archive.count(LARGE[:64]) == 1


def test_missing_content_stops_the_extract_and_says_so(tmp_path: Path) -> None:
    box = filled(RealBox(tmp_path / "home").start())
    try:
        objects = [p for p in (box.home / "store" / "objects").glob("*/*") if p.suffix != ".sum"]
        objects[0].unlink()
        box.stop()
        box.start()
        out = io.BytesIO()
        with backup(box) as client, pytest.raises(Corrupt, match="not in the store"):
            client.extract(out)
        assert not out.getvalue().endswith(bytes(1024))
        ran = box.run("extract", str(tmp_path / "box.tar"))
        assert ran.returncode == 1
        assert "fsck" in ran.stderr
        assert not list(tmp_path.glob("box.tar*"))
    finally:
        box.stop()


def test_content_deleted_during_an_extract_is_in_it(source: RealBox, tmp_path: Path) -> None:
    """The collector waits for the end of an archive; what was deleted meanwhile is whole in it."""
    box = RealBox(tmp_path / "home").start()
    other = RealBox(tmp_path / "other").start()
    try:
        c = box.client
        c.create_repo("gone")
        for i in range(4):
            c.put_file(f"gone@master:/{i}", os.urandom(4 << 20))
        out = io.BytesIO()
        collected: list[Any] = []

        class Slow:
            def write(self, data: bytes, /) -> None:
                if not collected:
                    c.delete_repo("gone", force=True)
                    collector = threading.Thread(
                        target=lambda: collected.append(c.collect_garbage())
                    )
                    collector.start()
                    collected.append(collector)
                out.write(data)

        with backup(box) as client:
            client.extract(Slow())
        collected[0].join(60)
        assert int(collected[1]["freedBytes"]) >= 16 << 20
        restored(other, out.getvalue())
        assert other.client.inspect_file("gone@master:/").size_bytes == 16 << 20
        assert not [f for f in other.client.fsck() if f.get("level") == "error"]
    finally:
        box.stop()
        other.stop()


def test_the_command_line_writes_files_pipes_and_says_what_it_did(
    source: RealBox, box: RealBox, tmp_path: Path
) -> None:
    path = tmp_path / "my box.tar"
    ran = source.run("extract", str(path))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    assert "extracted" in ran.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    piped = subprocess.run(
        [sys.executable, "-m", "pachybox.cli", "extract", "-"],
        env=source.env,
        capture_output=True,
        check=True,
    )
    assert len(piped.stdout) == path.stat().st_size

    whole = path.read_bytes()
    for command in ("extract", "restore"):
        ran = source.run(command, str(tmp_path))
        assert f"{tmp_path} is a directory" in ran.stderr
    part = tmp_path / "my box.tar.part"
    part.write_bytes(b"of another")
    with part.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        ran = source.run("extract", str(path))
    assert (ran.returncode, "another extract" in ran.stderr) == (1, True)
    assert (part.read_bytes(), path.read_bytes()) == (b"of another", whole)
    source.cli("extract", str(path))  # over what one that was killed has left
    assert len(path.read_bytes()) == len(whole)
    assert not part.exists()

    assert "no-objects" in source.run("extract", "--no-objects").stderr
    refused = source.run("restore", str(path))
    assert refused.returncode == 1
    assert "not empty" in refused.stderr
    assert box.run("restore", str(tmp_path / "nothing")).returncode == 1
    ran = box.run("restore", stdin=path.read_bytes())
    assert ran.returncode == 0, ran.stderr
    assert "3 repos" not in ran.stdout
    assert "restored" in ran.stderr
    assert known(box) == known(source)


def test_a_reader_that_leaves_ends_the_extract_and_frees_the_collector(box: RealBox) -> None:
    box.client.create_repo("r")
    box.client.put_file("r@master:/a", os.urandom(32 << 20))

    class Left(Exception):
        pass

    class Leaves:
        def write(self, data: bytes, /) -> None:
            raise Left

    with backup(box) as client, pytest.raises((Left, PachyboxError)):
        client.extract(Leaves())
    assert "scanned" in box.client.collect_garbage()


def test_an_archive_goes_to_an_object_store_and_back(tmp_path: Path) -> None:
    """The box itself writes and reads it; a store that refuses leaves no object."""
    buckets: dict[str, dict[str, bytes]] = {"backups": {}}
    with s3(buckets) as config:
        env = {
            "AWS_ENDPOINT_URL": config["endpoint"],
            "AWS_ACCESS_KEY_ID": config["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": config["secret_access_key"],
            "AWS_REGION": config["region"],
        }
        box = RealBox(tmp_path / "home", env).start()
        other = RealBox(tmp_path / "other", env).start()
        try:
            filled(box)
            done = box.run("extract", "--url", "s3://backups/all/box.tar")
            assert done.returncode == 0, done.stderr
            assert list(buckets["backups"]) == ["all/box.tar"]
            assert "names no object" in box.run("extract", "--url", "s3://backups/").stderr
            assert box.run("extract", "--url", "s3://backups/x", "box.tar").returncode == 1
            done = other.run("restore", "--url", "s3://backups/all/box.tar")
            assert done.returncode == 0, done.stderr
            assert known(other) == known(box)
        finally:
            box.stop()
            other.stop()


def test_secrets_are_in_it_as_ciphertext_and_need_their_key(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home").start()
    other = RealBox(tmp_path / "other").start()
    try:
        c = box.client
        c.create_secret(
            {"kind": "Secret", "metadata": {"name": "db"}, "stringData": {"word": "sesame-open"}}
        )
        archive = extracted(box)
        assert b"sesame-open" not in archive
        restored(other, archive)
        shutil.copy2(box.home / "secret.key", other.home / "secret.key")
        o = other.client
        assert [s.name for s in o.list_secret()] == ["db"]
        o.create_repo("in")
        o.put_file("in@master:/a", b"x")
        transform = {
            "cmd": ["sh"],
            "stdin": ['printf %s "$WORD" | wc -c > /pfs/out/length'],
            "secrets": [{"name": "db", "key": "word", "env_var": "WORD"}],
        }
        spec = {
            "pipeline": {"name": "reads"},
            "input": {"pfs": {"repo": "in", "glob": "/*"}},
            "transform": transform,
        }
        o.create_pipelines(json.dumps(spec))
        o.wait_commit("reads@master")
        assert o.get_file("reads@master:/length").strip() == b"11"
    finally:
        box.stop()
        other.stop()
