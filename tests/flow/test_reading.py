"""Reading as Pachyderm's clients may: by datum, to a URL, in pages; walks, lists, subscriptions."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pachybox.client import Client
from pachybox.errors import InvalidArgument, NotFound, PachyboxError, Refused
from tests.boxes import RealBox
from tests.flow.calls import Json, add, call, modify, stream

PFS = "pfs_v2.API"


def head(repo: str) -> Json:
    return {"repo": {"name": repo}, "branch": {"name": "master"}}


def paths(found: object) -> list[str]:
    return [f["file"]["path"] for f in found]  # type: ignore[attr-defined]


def test_files_by_the_datum_that_wrote_them(shared_box: RealBox) -> None:
    box, c = shared_box, shared_box.client
    c.create_repo("words")
    with c.put("words@master") as put:
        put.data("/a", memoryview(b"alpha"))
        put.data("/b", memoryview(b"beta"))
    c.create_pipelines(
        "pipeline: {name: copier}\ninput: {pfs: {repo: words, glob: '/*'}}\n"
        "transform: {cmd: [sh], stdin: ['mkdir /pfs/out/d', 'cp /pfs/words/* /pfs/out/d']}"
    )
    job = c.inspect_commit("copier@master").id
    c.wait_job(f"copier@{job}")
    seen = {}
    for datum in c.list_datum(f"copier@{job}"):
        file = {"commit": head("copier"), "path": "/", "datum": datum.id}
        walked = list(stream(box, f"{PFS}/WalkFile", file=file))
        assert {f["file"]["datum"] for f in walked} == {datum.id}
        (name,) = [p for p in paths(walked) if not p.endswith("/")]
        got = stream(box, f"{PFS}/GetFile", file={**file, "path": name})
        seen[name] = "".join(got)  # type: ignore[arg-type]
    assert seen == {"/d/a": "YWxwaGE=", "/d/b": "YmV0YQ=="}
    none = {"commit": head("copier"), "path": "/d/a", "datum": "nobody"}
    with pytest.raises(NotFound, match="file /d/a not found"):
        call(box, f"{PFS}/InspectFile", file=none)
    assert call(box, f"{PFS}/InspectFile", file={**none, "datum": "default"})["sizeBytes"] == "5"
    with pytest.raises(InvalidArgument, match="belong to no datum"):
        modify(box, "words", "master", add("/c", b"c", datum="mine"))


def test_files_are_brought_to_a_url(shared_box: RealBox, tmp_path: Path) -> None:
    box, c = shared_box, shared_box.client
    c.create_repo("sent")
    with c.put("sent@master") as put:
        for name in ("/d/a", "/d/b", "/e/c"):
            put.data(name, memoryview(name.encode()))
    url = tmp_path.as_uri()
    file = {"commit": head("sent"), "path": "/d/*"}
    edges = {"upper": "/d/b"}
    assert not list(stream(box, f"{PFS}/GetFileTAR", file=file, URL=url, path_range=edges))
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["a"]
    assert not list(stream(box, f"{PFS}/GetFile", file={**file, "path": "/e/c"}, URL=url))
    assert (tmp_path / "e" / "c").read_bytes() == b"/e/c"
    with pytest.raises(InvalidArgument, match="more than one file"):
        list(stream(box, f"{PFS}/GetFile", file=file))
    remote = Client(call(box, "pachybox.v1.API/Status")["address"])
    with pytest.raises(Refused, match="is on the box's machine"):
        list(remote.stream(PFS, "GetFileTAR", file=file, URL=url))
    remote.close()


def test_content_comes_from_files_of_this_machine_for_its_users(
    shared_box: RealBox, tmp_path: Path
) -> None:
    box, c = shared_box, shared_box.client
    c.create_repo("fetched")
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "sub dir" / "f#1").write_bytes(b"one")
    (tmp_path / "g").write_bytes(b"two")
    c.put_url("fetched@master:/all", tmp_path.as_uri(), recursive=True)
    c.put_url("fetched@master:/one", (tmp_path / "g").as_uri())
    names = [f.path for f in c.walk_file("fetched@master:/") if not f.path.endswith("/")]
    assert names == ["/all/g", "/all/sub dir/f#1", "/one"]
    assert c.get_file("fetched@master:/all/sub dir/f#1") == b"one"
    with pytest.raises(NotFound, match="does not exist"):
        c.put_url("fetched@master:/x", (tmp_path / "no").as_uri())
    with pytest.raises(Refused, match="no regular file"):
        c.put_url("fetched@master:/x", "file:///dev/zero")
    remote = Client(call(box, "pachybox.v1.API/Status")["address"])
    for url in ((tmp_path / "g").as_uri(), "minio://127.0.0.1:9/bucket/key"):
        with pytest.raises(Refused, match="machine"):
            remote.put_url("fetched@master:/x", url)
    remote.close()


def test_pages_of_files_forwards_and_backwards(shared_box: RealBox) -> None:
    box, c = shared_box, shared_box.client
    c.create_repo("pages")
    with c.put("pages@master") as put:
        for name in ("/a", "/b/x", "/b.c", "/d", "/e"):
            put.data(name, memoryview(b"x"))
    file = {"commit": head("pages"), "path": "/"}

    def page(method: str, **fields: object) -> list[str]:
        return paths(stream(box, f"{PFS}/{method}", file=file, **fields))

    whole = page("ListFile")
    assert whole == ["/a", "/b.c", "/b/", "/d", "/e"]
    for reverse in (False, True):
        seen: list[str] = []
        marker: Json | None = None
        while got := page("ListFile", number=2, reverse=reverse, pagination_marker=marker):
            seen += got
            marker = {"commit": head("pages"), "path": got[-1]}
        assert seen == (whole[::-1] if reverse else whole)
    assert page("WalkFile", reverse=True, number=3) == ["/e", "/d", "/b/x"]
    assert page("WalkFile", reverse=True) == page("WalkFile")[::-1]


def test_lists_honour_every_field(shared_box: RealBox) -> None:
    box, c = shared_box, shared_box.client
    c.create_project("lists")
    repo = {"name": "r", "project": {"name": "lists"}}
    call(box, f"{PFS}/CreateRepo", repo=repo)
    with Client(str(box.socket), project="lists") as own:
        for word in ("one", "two", "three"):
            own.put_file("r@master:/f", word.encode())

    def listed(**fields: object) -> list[str]:
        found = stream(box, f"{PFS}/ListCommit", repo=repo, **fields)
        return [i["commit"]["id"] for i in found]

    whole = listed()
    assert len(whole) == 3
    middle = call(box, f"{PFS}/InspectCommit", commit={"repo": repo, "id": whole[1]})["started"]
    assert listed(started_time=middle) == whole[2:]
    assert listed(started_time=middle, reverse=True) == whole[:1]
    assert listed(number=1, reverse=True) == whole[2:]
    assert listed(origin_kind="AUTO") == []
    assert listed(origin_kind="AUTO", all=True) == whole
    edges = {"from_": {"repo": repo, "id": whole[2]}, "to": {"repo": repo, "id": whole[0]}}
    assert listed(**edges) == whole[:2]
    sets = stream(box, f"{PFS}/ListCommitSet", project={"name": "lists"})
    assert [s["commitSet"]["id"] for s in sets] == whole
    kinds = {"spec": [], "user": ["r"], "": ["r"]}
    for kind, names in kinds.items():
        found = stream(box, f"{PFS}/ListRepo", type=kind, projects=[{"name": "lists"}])
        assert [i["repo"]["name"] for i in found] == names
    summary = call(box, f"{PFS}/ReposSummary", projects=[{"name": "lists"}])["summaries"]
    assert (summary[0]["userRepoCount"], summary[0]["sizeBytes"]) == ("1", "5")
    with pytest.raises(Refused, match="cannot delete project lists: repo lists/r still exists"):
        call(box, f"{PFS}/DeleteProject", project={"name": "lists"})
    with pytest.raises(NotFound, match='project "nope" not found'):
        call(box, f"{PFS}/CreateProject", project={"name": "nope"}, update=True)
    call(box, f"{PFS}/DeleteProject", project={"name": "lists"}, force=True)
    assert "lists" not in [p.name for p in c.list_project()]


def test_pachyderms_branches_have_heads_and_ours_need_none(shared_box: RealBox) -> None:
    box, c = shared_box, shared_box.client
    for repo in ("up", "down", "bare"):
        c.create_repo(repo)
    branch = {"repo": {"name": "down"}, "name": "master"}
    above = {"repo": {"name": "up"}, "name": "master"}
    call(box, f"{PFS}/CreateBranch", branch=branch, provenance=[above])
    first = call(box, f"{PFS}/InspectCommit", commit=head("up"))
    open_ = call(box, f"{PFS}/InspectCommit", commit=head("down"))
    assert (first["origin"]["kind"], first["commit"]["id"]) == ("AUTO", open_["commit"]["id"])
    assert ("finished" in first, "finished" in open_) == (True, False)
    call(box, f"{PFS}/FinishCommit", commit=head("down"))
    c.create_branch("bare@master")
    with pytest.raises(NotFound, match="has no head"):
        c.inspect_commit("bare@master")
    start = [{"branchHead": {"name": {"repo": {"name": {"name": "up"}}, "name": "master"}}}]
    found = list(stream(box, f"{PFS}/WalkCommitSubvenance", start=start))
    assert [i["commit"]["repo"]["name"] for i in found] == ["up", "down"]
    names = [{"name": {"repo": {"name": {"name": "down"}}, "name": "master"}}]
    for most, wanted in ((0, ["down", "up"]), (1, ["down"])):
        walked = stream(box, f"{PFS}/WalkBranchProvenance", start=names, max_branches=most)
        assert [b["branch"]["repo"]["name"] for b in walked] == wanted
    with pytest.raises(PachyboxError, match="depends on it"):
        call(box, f"{PFS}/DropCommit", commit={"repo": {"name": "up"}, "id": first["commit"]["id"]})
    forget = {"id": {"repo": {"name": {"name": "down"}}, "id": open_["commit"]["id"]}}
    call(box, f"{PFS}/ForgetCommit", commit=forget)
    assert "directProvenance" not in call(box, f"{PFS}/InspectCommit", commit=head("down"))


def test_a_branch_is_followed_before_it_is_there(shared_box: RealBox) -> None:
    box, c = shared_box, shared_box.client
    c.create_repo("followed")
    repo = {"name": "followed"}
    seen: list[str] = []

    def follow() -> None:
        with stream(box, f"{PFS}/SubscribeCommit", repo=repo, branch="late") as found:
            seen.append(next(found)["commit"]["id"])

    reader = threading.Thread(target=follow)
    reader.start()
    c.put_file("followed@other:/f", b"x")
    id_ = c.start_commit("followed@late")
    reader.join(30)
    assert seen == [id_]
    c.finish_commit(f"followed@{id_}")
    with stream(box, f"{PFS}/SubscribeCommit", repo=repo, state="FINISHED") as found:
        branches = [next(found)["commit"]["branch"]["name"] for _ in range(2)]
    assert branches == ["other", "late"]


def test_the_store_is_counted_and_checked(shared_box: RealBox) -> None:
    box, c = shared_box, shared_box.client
    c.create_repo("counted")
    c.put_file("counted@master:/big", b"x" * (8 << 20))
    count = int(call(box, f"{PFS}/CheckStorage")["chunkObjectCount"])
    assert count > 0
    assert int(call(box, f"{PFS}/CheckStorage", read_chunk_data=True)["chunkObjectCount"]) == count
    half = "gA=="  # 0x80
    below = call(box, f"{PFS}/CheckStorage", chunk_end=half).get("chunkObjectCount", 0)
    above = call(box, f"{PFS}/CheckStorage", chunk_begin=half).get("chunkObjectCount", 0)
    assert int(below) + int(above) == count
    assert list(stream(box, f"{PFS}/ListTask", group={"namespace": "storage"})) == []


def test_only_callers_of_this_machine_have_files_written_to_it(
    shared_box: RealBox, tmp_path: Path
) -> None:
    shared_box.client.create_repo("kept")
    shared_box.client.put_file("kept@master:/table/a", b"1\n")
    remote = Client(call(shared_box, "pachybox.v1.API/Status")["address"])
    for target in (
        {"object_storage": {"url": f"file://{tmp_path}/out"}},
        {"sql_database": {"url": f"sqlite://{tmp_path}/out.db"}},
    ):
        with pytest.raises(Refused, match="is on the box's machine"):
            remote.call(PFS, "Egress", commit=head("kept"), **target)
    remote.close()
    assert not list(tmp_path.iterdir())


def test_a_message_that_modifies_nothing_is_refused(shared_box: RealBox) -> None:
    shared_box.client.create_repo("same")
    with pytest.raises(InvalidArgument, match="the message modifies nothing"):
        modify(shared_box, "same", "master", {})
