"""Filesets through the JSON door: made, composed, added, read, renewed, and freed when due."""

from __future__ import annotations

from typing import Any

import pytest

from pachybox.errors import InvalidArgument, NotFound, Refused, Unimplemented
from tests.boxes import RealBox, eventually
from tests.flow.calls import add, b64, call, send, stream

PFS = "pfs_v2.API"


def made(box: RealBox, *messages: dict[str, Any]) -> str:
    return str(send(box, f"{PFS}/CreateFileSet", messages)["fileSetId"])


def content(box: RealBox, fileset: str) -> dict[str, bytes]:
    files = box.client.walk_file(f"__filesets__@{fileset}:/")
    names = [f.path for f in files if not f.path.endswith("/")]
    return {n: box.client.get_file(f"__filesets__@{fileset}:{n}") for n in names}


def opened(box: RealBox, repo: str, **files: bytes) -> str:
    box.client.create_repo(repo)
    id_ = box.client.start_commit(f"{repo}@master")
    for name, data in files.items():
        box.client.put_file(f"{repo}@{id_}:/{name}", data)
    return id_


def lay(box: RealBox, repo: str, commit: str, fileset: str) -> None:
    where = {"repo": {"name": repo}, "id": commit}
    call(box, f"{PFS}/AddFileSet", commit=where, file_set_id=fileset)


def test_a_fileset_is_made_read_and_added_to_a_commit(shared_box: RealBox) -> None:
    box = shared_box
    one = made(box, add("/a", b"1"), add("/a", b"2"), add("/d/b", b"3"))
    assert content(box, one) == {"/a": b"12", "/d/b": b"3"}
    names = [f.path for f in box.client.list_file(f"__filesets__@{one}:/")]
    assert names == ["/a", "/d/"]
    id_ = opened(box, "laid", a=b"0", c=b"c")
    lay(box, "laid", id_, one)
    assert box.client.get_file(f"laid@{id_}:/a") == b"012"  # as ModifyFile's add_file does
    delete = made(box, {"deleteFile": {"path": "/a"}}, add("/a", b"new"))
    lay(box, "laid", id_, delete)
    lay(box, "laid", id_, made(box, {"deleteFile": {"path": "/d/"}}))
    box.client.finish_commit(f"laid@{id_}")
    assert [f.path for f in box.client.list_file("laid@master:/")] == ["/a", "/c"]
    assert box.client.get_file("laid@master:/a") == b"new"
    with pytest.raises(Refused, match="has already finished"):
        lay(box, "laid", id_, one)


def test_composing_is_doing_one_after_the_other(shared_box: RealBox) -> None:
    box = shared_box
    first = made(box, add("/f", b"1"), add("/g", b"1"))
    second = made(box, {"deleteFile": {"path": "/f"}}, {"deleteFile": {"path": "/h"}})
    third = made(box, add("/g", b"2"), add("/f", b"3"))
    whole = call(box, f"{PFS}/ComposeFileSet", file_set_ids=[first, second, third])["fileSetId"]
    assert content(box, whole) == {"/f": b"3", "/g": b"12"}
    id_ = opened(box, "composed", f=b"old", g=b"0", h=b"h")
    lay(box, "composed", id_, whole)
    box.client.finish_commit(f"composed@{id_}")
    read = box.client.get_file
    assert (read("composed@master:/f"), read("composed@master:/g")) == (b"3", b"012")
    with pytest.raises(NotFound, match="file /h not found"):
        read("composed@master:/h")


def test_filesets_of_a_commit_total_and_difference(shared_box: RealBox) -> None:
    box = shared_box
    c = box.client
    c.create_repo("whence")
    c.put_file("whence@master:/kept", b"k")
    c.put_file("whence@master:/gone", b"g")
    with c.put("whence@master") as put:
        put.delete("/gone")
        put.data("/new", memoryview(b"n"))
    commit = {"repo": {"name": "whence"}, "branch": {"name": "master"}}
    total = call(box, f"{PFS}/GetFileSet", commit=commit)["fileSetId"]
    change = call(box, f"{PFS}/GetFileSet", commit=commit, type="DIFF")["fileSetId"]
    assert sorted(content(box, total)) == ["/kept", "/new"]
    assert sorted(content(box, change)) == ["/new"]
    id_ = opened(box, "whither", gone=b"1", own=b"2")
    lay(box, "whither", id_, change)
    assert [f.path for f in c.list_file(f"whither@{id_}:/")] == ["/new", "/own"]
    copy = {"dst": "/there", "src": {"path": "/kept", "commit": {
        "repo": {"name": "__filesets__"}, "id": total}}}  # fmt: skip
    assert content(box, made(box, {"copyFile": copy})) == {"/there": b"k"}


def test_a_fileset_lives_as_long_as_it_was_said_to(box: RealBox) -> None:
    c = box.client
    mortal, kept = made(box, add("/m", b"m" * 100_000)), made(box, add("/k", b"kept"))
    cached = made(box, add("/c", b"cached"))
    value = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "v"}
    call(box, f"{PFS}/PutCache", key="key", tag="a.b", value=value, file_set_ids=[cached])
    for ttl in (0, 1801):
        with pytest.raises(InvalidArgument, match="ttl"):
            call(box, f"{PFS}/RenewFileSet", file_set_id=kept, ttl_seconds=ttl)
    call(box, f"{PFS}/RenewFileSet", file_set_id=kept, ttl_seconds=1800)
    box.kill()
    box.start()
    c = box.client
    c.collect_garbage()
    assert content(box, mortal) == {"/m": b"m" * 100_000}  # held across a crash and a collection
    for one in (mortal, cached):
        call(box, f"{PFS}/RenewFileSet", file_set_id=one, ttl_seconds=1)

    def gone() -> bool:
        try:
            return not content(box, mortal)
        except NotFound:
            return True

    eventually(gone, "the fileset is over")
    with pytest.raises(NotFound, match=f"fileset {mortal} not found"):
        call(box, f"{PFS}/RenewFileSet", file_set_id=mortal, ttl_seconds=100)
    before = c.status().store_bytes
    c.collect_garbage()
    assert c.status().store_bytes <= before - 100_000
    assert content(box, kept) == {"/k": b"kept"}
    assert content(box, cached) == {"/c": b"cached"}  # a value in the cache keeps it
    assert call(box, f"{PFS}/GetCache", key="key")["value"] == value
    call(box, f"{PFS}/ClearCache", tag_prefix="b")
    assert call(box, f"{PFS}/GetCache", key="key")
    call(box, f"{PFS}/ClearCache", tag_prefix="a.")
    with pytest.raises(NotFound, match="key"):
        call(box, f"{PFS}/GetCache", key="key")
    with pytest.raises(NotFound):
        content(box, cached)
    assert not [f for f in c.fsck() if f["level"] == "error"]


def test_shards_cover_a_fileset(shared_box: RealBox) -> None:
    one = made(shared_box, *[add(f"/{i:02}", b"x" * 10) for i in range(10)])
    shards = call(shared_box, f"{PFS}/ShardFileSet", file_set_id=one, num_files=4)["shards"]
    assert shards == [{"upper": "/04"}, {"lower": "/04", "upper": "/08"}, {"lower": "/08"}]
    shards = call(shared_box, f"{PFS}/ShardFileSet", file_set_id=one, size_bytes=50)["shards"]
    assert shards == [{"upper": "/05"}, {"lower": "/05"}]
    assert call(shared_box, f"{PFS}/ShardFileSet", file_set_id=one)["shards"] == [{}]


def test_storage_filesets(shared_box: RealBox) -> None:
    box = shared_box

    def append(path: str, data: bytes) -> dict[str, Any]:
        return {"appendFile": {"path": path, "data": b64(data)}}

    def create(*messages: dict[str, Any]) -> str:
        return str(send(box, "storage.Fileset/CreateFileset", messages)["filesetId"])

    def read(fileset: str, **fields: object) -> list[tuple[str, str]]:
        found = stream(box, "storage.Fileset/ReadFileset", fileset_id=fileset, **fields)
        return [(r["path"], r.get("data", "")) for r in found]

    one = create(append("/a", b"1"), append("/a", b"2"), append("/b", b""), append("/c", b"3"))
    assert read(one) == [("/a", b64(b"12")), ("/b", ""), ("/c", b64(b"3"))]
    assert read(one, empty_files=True) == [("/a", ""), ("/b", ""), ("/c", "")]
    wanted = [{"pathRange": {"lower": "/b"}}, {"pathRegex": "^/[ac]$"}]
    assert read(one, filters=wanted) == [("/c", b64(b"3"))]
    two = create(
        {"copyFile": {"filesetId": one, "src": "/a", "dst": "/z"}},
        append("/a", b"4"),
        {"deleteFile": {"path": "/c"}},
    )
    whole = call(box, "storage.Fileset/ComposeFileset", fileset_ids=[one, two])["filesetId"]
    assert dict(read(whole)) == {"/a": b64(b"124"), "/b": "", "/z": b64(b"12")}
    call(box, "storage.Fileset/RenewFileset", fileset_id=whole, ttl_seconds=60)
    shards = call(box, "storage.Fileset/ShardFileset", fileset_id=whole, num_files=2)["shards"]
    assert shards == [{"upper": "/z"}, {"lower": "/z"}]
    with pytest.raises(Unimplemented, match="ReadFilesetCDR is not built"):
        list(stream(box, "storage.Fileset/ReadFilesetCDR", fileset_id=one))


def test_what_no_fileset_can_be_is_refused(shared_box: RealBox) -> None:
    box = shared_box
    with pytest.raises(NotFound, match="fileset nothing not found"):
        content(box, "nothing")
    with pytest.raises(NotFound, match="fileset nothing not found"):
        call(box, f"{PFS}/ComposeFileSet", file_set_ids=["nothing"])
    with pytest.raises(InvalidArgument, match="no fileset"):
        call(box, f"{PFS}/ComposeFileSet")
    with pytest.raises(InvalidArgument, match="that of filesets"):
        box.client.create_repo("__filesets__")
