"""Egress of files: to a real S3 protocol on loopback, and to directories."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.errors import InvalidArgument, NotFound, NotReady, PachyboxError, Refused
from pachybox.pps.egress import objects
from pachybox.pps.egress.output import Stopped
from pachybox.pps.egress.target import files, of_spec
from tests.unit.pfs.s3_server import Faults, s3
from tests.unit.pps.outputs import House, house

ODD = "/dir/a b+c%20é#?&[x]{y}~'\"$.txt"
FILES = {"/a": b"alpha", "/dir/b": b"", "/dir/sub/c": bytes(range(256)) * 40, ODD: b"odd"}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path / "home") as made:
        yield made


class Bucket:
    def __init__(self, name: str, content: dict[str, bytes], faults: Faults) -> None:
        self.name, self.content, self.faults = name, content, faults
        self.url = f"s3://{name}"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    # connections are kept by the bucket's name for the life of the process
    found = Bucket(f"b-{uuid.uuid4().hex[:12]}", {"stale": b"stays"}, Faults())
    with s3({found.name: found.content}, found.faults) as config:
        for name in list(os.environ):
            if name.startswith("AWS_"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ENDPOINT_URL", config["endpoint"])
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", config["access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", config["secret_access_key"])
        monkeypatch.setenv("AWS_REGION", config["region"])
        yield found


def yes() -> bool:
    return True


# ---- targets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket", "s3://bucket/"),
        ("s3://bucket/", "s3://bucket/"),
        ("s3://bucket//a//b/", "s3://bucket/a/b"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("file:///srv/out%20put", "file:///srv/out put"),
        ("file://localhost/srv", "file:///srv"),
    ],
)
def test_urls_of_files_become_targets(url: str, shown: str) -> None:
    assert str(files(url)) == shown
    assert str(of_spec({"egress": {"url": url}})) == shown
    assert str(of_spec({"egress": {"object_storage": {"url": url}}})) == shown


@pytest.mark.parametrize(
    ("egress", "says"),
    [
        ({"url": "s3://B"}, "names no bucket"),
        ({"url": "bucket/a"}, "has no scheme"),
        ({"url": "s3:bucket"}, "has no scheme"),
        ({"url": "ftp://host/a"}, "egress to ftp:// is not known"),
        ({"url": "https://host/a"}, "egress to https:// is not known"),
        ({"url": "as://c/a"}, "egress to Azure (as://) is not built"),
        ({"url": "wasb://c/a"}, "egress to Azure (wasb://) is not built"),
        ({"url": "s3://key:pw@bucket/a"}, "takes no credentials"),
        ({"url": "file://host/a"}, "names no directory"),
        ({"url": "file:///"}, "names no directory"),
        ({"url": "file:///a/../b"}, "names no directory"),
        ({"object_storage": {}}, "egress has no url"),
        ({"url": "s3://bkt", "object_storage": {"url": "s3://bkt"}}, "names two targets"),
        ({"sql_database": {"url": "mysql://u@h/d"}}, "egress to MySQL (mysql://) is not built"),
        ({"sql_database": {"url": "snowflake://u@h/d"}}, "Snowflake (snowflake://) is not built"),
        ({"sql_database": {"url": "s3://bkt"}}, "egress to s3:// is not known"),
        ({"sql_database": {"url": "sqlite://a.db"}}, "names no file"),
        ({"sql_database": {"url": "postgresql://h/d"}}, "names no user"),
        ({"sql_database": {"url": "postgresql://u@h"}}, "no database"),
        ({"sql_database": {"url": "postgresql://u:hush@h/d"}}, "has a password in its url"),
        ({"sql_database": {"url": "postgresql://u@h:x/d"}}, "is not a URL"),
        (
            {"sql_database": {"url": "sqlite:///a", "file_format": {"type": "XML"}}},
            "'XML' is not known",
        ),
        (
            {"sql_database": {"url": "sqlite:///a", "file_format": {"columns": ["a", "a"]}}},
            "a column twice",
        ),
    ],
)
def test_targets_that_are_none_are_refused_by_name(egress: dict[str, object], says: str) -> None:
    with pytest.raises(PachyboxError) as refused:
        of_spec({"egress": egress})
    assert says in str(refused.value)
    assert refused.value.hint
    assert "hush" not in str(refused.value)
    assert "pw@" not in str(refused.value)


def test_no_egress_is_no_target() -> None:
    assert of_spec({}) is None
    assert of_spec({"egress": {}}) is None


# ---- buckets


def test_every_file_is_in_the_bucket_and_nothing_is_deleted(made: House, bucket: Bucket) -> None:
    done = made.pusher.push(made.tree(FILES), files(f"{bucket.url}/out/put"), yes)
    assert bucket.content == {
        "stale": b"stays",
        **{f"out/put{path}": data for path, data in FILES.items()},
    }
    assert (done.files, done.bytes) == (len(FILES), sum(map(len, FILES.values())))


def test_large_files_go_in_parts(
    made: House, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = os.urandom(1 << 20) * 21
    made.pusher.push(made.tree({"/large": large, "/small": b"x"}), files(bucket.url), yes)
    assert bucket.content["large"] == large
    assert len(bucket.faults.puts()) == 1 + 3
    assert bucket.faults.largest <= 8 << 20


def test_a_part_that_fails_is_sent_again(made: House, bucket: Bucket) -> None:
    large = os.urandom(1 << 20) * 17
    bucket.faults.fault = lambda method, key, attempt: {3: "500", 4: "cut"}.get(attempt, "")
    made.pusher.push(made.tree({"/large": large}), files(bucket.url), yes)
    assert bucket.content["large"] == large


def test_a_large_file_that_is_no_longer_wanted_does_not_appear(made: House, bucket: Bucket) -> None:
    pieces = 0

    def wanted() -> bool:
        nonlocal pieces
        pieces += 1
        return pieces < 12

    with pytest.raises(Stopped):
        made.pusher.push(made.tree({"/large": b"x" * (20 << 20)}), files(bucket.url), wanted)
    assert "large" not in bucket.content


def test_an_empty_commit_is_nothing_to_do(made: House, bucket: Bucket) -> None:
    assert made.pusher.push(made.tree({}), files(bucket.url), yes).files == 0
    assert bucket.faults.tried == []


def test_a_server_in_trouble_is_asked_again(made: House, bucket: Bucket) -> None:
    bucket.faults.fault = lambda method, key, attempt: (
        {1: "500", 2: "cut"}.get(attempt, "") if key == "dir/b" else ""
    )
    made.pusher.push(made.tree(FILES), files(bucket.url), yes)
    assert bucket.content["dir/b"] == b""
    assert bucket.faults.puts().count("dir/b") == 3


def test_marks_come_in_order_and_an_attempt_goes_on_where_the_last_one_broke(
    made: House, bucket: Bucket
) -> None:
    tree = made.tree({f"/{n:03}": b"%d" % n for n in range(200)})
    bucket.faults.fault = lambda method, key, attempt: "403" if key == "100" else ""
    marks: list[str] = []

    def mark(path: str, size: int) -> None:
        marks.append(path)

    with pytest.raises(Refused, match="may not be written"):
        made.pusher.push(tree, files(bucket.url), yes, "", mark)
    assert marks == [f"/{n:03}" for n in range(100)]
    bucket.faults.fault = lambda method, key, attempt: ""
    made.pusher.push(tree, files(bucket.url), yes, marks[-1], mark)
    assert marks == [f"/{n:03}" for n in range(200)]
    assert len(bucket.content) == 201
    assert all(bucket.faults.puts().count(f"{n:03}") == 1 for n in range(100))


def test_no_write_is_under_way_once_a_push_is_over(made: House, bucket: Bucket) -> None:
    """Else a late one could overwrite what the next commit brought."""
    reached, go = threading.Event(), threading.Event()

    def fault(method: str, key: str, attempt: int) -> str:
        if key == "b":
            reached.set()
            go.wait(30)
        return "403" if key == "a" and reached.wait(30) else ""

    bucket.faults.fault = fault
    ended = threading.Event()

    def push() -> None:
        with pytest.raises(Refused):
            made.pusher.push(made.tree({"/a": b"1", "/b": b"2"}), files(bucket.url), yes)
        ended.set()

    thread = threading.Thread(target=push)
    thread.start()
    assert reached.wait(30)
    assert not ended.wait(0.2)
    go.set()
    thread.join(30)
    assert ended.is_set()
    assert bucket.content["b"] == b"2"


def test_a_push_stops_when_it_is_no_longer_wanted(made: House, bucket: Bucket) -> None:
    seen: list[str] = []
    tree = made.tree({f"/{n:03}": b"x" for n in range(300)})
    with pytest.raises(Stopped):
        made.pusher.push(
            tree,
            files(bucket.url),
            lambda: len(seen) < 10,
            mark=lambda path, size: seen.append(path),
        )
    assert len(bucket.content) < 300


def test_a_missing_bucket_is_told(made: House, bucket: Bucket) -> None:
    missing = f"missing-{uuid.uuid4().hex[:8]}"
    with pytest.raises(NotFound, match=f"s3://{missing}/a does not exist"):
        made.pusher.push(made.tree({"/a": b"x"}), files(f"s3://{missing}"), yes)


# ---- directories


def test_every_file_is_in_the_directory_and_nothing_is_deleted(made: House, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "dir").mkdir(parents=True)
    (out / "dir" / "stale").write_text("stays")
    (out / "a").write_text("old")
    made.pusher.push(made.tree(FILES), files(f"file://{out}"), yes)
    found = {f"/{p.relative_to(out)}": p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == {**FILES, "/dir/stale": b"stays"}
    assert (out / "dir" / "sub" / "c").stat().st_mode & 0o777 == 0o644
    assert (out / "dir" / "sub").stat().st_mode & 0o777 == 0o755


def test_a_file_appears_whole_or_not_at_all(made: House, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_bytes(b"old")
    pieces = 0

    def wanted() -> bool:
        nonlocal pieces
        pieces += 1
        return pieces < 4

    with pytest.raises(Stopped):
        made.pusher.push(made.tree({"/a": b"n" * (8 << 20)}), files(f"file://{out}"), wanted)
    assert (out / "a").read_bytes() == b"old"
    assert [p.name for p in out.iterdir()] == ["a"]


def test_trouble_with_a_directory_names_the_file(made: House, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    with pytest.raises(InvalidArgument, match=f"file://{out}/a cannot be written"):
        made.pusher.push(made.tree({"/a": b"x"}), files(f"file://{out}"), yes)
    (out / "dir").write_text("a file")
    with pytest.raises((InvalidArgument, NotReady), match=f"file://{out}/dir/b cannot be written"):
        made.pusher.push(made.tree({"/dir/b": b"x"}), files(f"file://{out}"), yes)


@pytest.mark.parametrize("where", ["", "/store/x", "/.."])
def test_the_box_writes_nothing_into_its_own_directory(
    made: House, tmp_path: Path, where: str
) -> None:
    (tmp_path / "link").symlink_to(Path(f"{made.home}{where}").resolve())
    with pytest.raises(Refused, match="the box's own directory"):
        made.pusher.push(made.tree({"/a": b"x"}), files(f"file://{tmp_path}/link"), yes)


@pytest.mark.parametrize("path", ["/link/box.toml", "/link/new/f", "/up/home/box.toml"])
def test_a_link_in_a_target_does_not_lead_into_the_boxs_directory(
    made: House, tmp_path: Path, path: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(made.home)
    (out / "up").symlink_to(made.home.parent)
    path = path.replace("home", made.home.name)
    with pytest.raises(Refused, match=f"egress to file://{out}{path} could write into"):
        made.pusher.push(made.tree({path: b"x"}), files(f"file://{out}"), yes)
    assert not {"box.toml", "new"} & {one.name for one in made.home.iterdir()}


def test_part_sizes_keep_within_the_limit_of_s3() -> None:
    for size in (objects._WHOLE + 1, 80 << 30, 5 << 40):
        part = max(objects._PART, -(-size // (objects._MOST_PARTS - 1)))
        assert -(-size // part) <= objects._MOST_PARTS
