"""Versioned files through the real doors: commits, branches, provenance, history."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pachybox.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    NotReady,
    PachyboxError,
    Refused,
)
from tests.boxes import RealBox


def names(box: RealBox, directory: str) -> list[str]:
    return [f.path for f in box.client.list_file(directory)]


def test_each_put_is_a_commit_and_the_past_stays(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("past")
    for word in (b"one", b"two", b"three"):
        c.put_file("past@master:/f", word)
    read = c.get_file
    assert [read(f"past@master{a}:/f") for a in ("", "^", "^2", "~~", ".1", ".3")] == [
        b"three", b"two", b"one", b"one", b"one", b"three",
    ]  # fmt: skip
    head = c.inspect_commit("past@master")
    assert read(f"past@{head.id[:9]}:/f") == b"three"
    with pytest.raises(NotFound):
        read("past@master^3:/f")
    with pytest.raises(InvalidArgument, match="ancestry"):
        read("past@master^~:/f")
    versions = [read(f"past@{f.commit}:/f") for f in c.list_history("past@master:/f")]
    assert versions == [b"three", b"two", b"one"]


def test_an_open_commit_takes_writes_until_it_is_finished(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("opened")
    c.put_file("opened@master:/a", b"a")
    id_ = c.start_commit("opened@master")
    c.put_file("opened@master:/b", b"b")
    c.put_file(f"opened@{id_}:/c", b"c")
    assert names(shared_box, "opened@master:/") == ["/a", "/b", "/c"]
    with pytest.raises(Refused, match="has not been finished"):
        c.start_commit("opened@master")
    c.finish_commit(f"opened@{id_}", description="done")
    info = c.inspect_commit(f"opened@{id_}")
    assert (info.description, info.size_bytes) == ("done", 3)
    with pytest.raises(Refused, match="has already finished"):
        c.put_file(f"opened@{id_}:/d", b"d")
    with pytest.raises(Refused, match="has already finished"):
        c.finish_commit(f"opened@{id_}")
    assert len(list(c.list_commit("opened"))) == 2


def test_overwrite_append_delete_copy(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("edits")
    c.put_file("edits@master:/f", b"one")
    c.put_file("edits@master:/f", b"two")
    c.put_file("edits@master:/f", b"+three", append=True)
    assert c.get_file("edits@master:/f") == b"two+three"
    c.put_file("edits@master:/d/x", b"x")
    c.put_file("edits@master:/d/y", b"y")
    c.copy_file("edits@master:/d", "edits@master:/e")
    assert c.get_file("edits@master:/e/y") == b"y"
    c.delete_file("edits@master:/d/*")
    assert names(shared_box, "edits@master:/") == ["/e/", "/f"]
    c.delete_file("edits@master:/")
    assert names(shared_box, "edits@master:/") == []
    assert c.get_file("edits@master^:/e/x") == b"x"


def test_bad_names_and_collisions_leave_no_trace(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("strict")
    c.put_file("strict@master:/f", b"1")
    before = c.inspect_commit("strict@master").id
    for path in ("/../x", "/a/./b", "/a\0b", "/f/below", "/"):
        with pytest.raises(PachyboxError):
            c.put_file(f"strict@master:{path}", b"x")

    def collide() -> None:
        with c.put("strict@master") as put:
            put.data("/d/x", b"x")
            put.data("/d", b"x")

    with pytest.raises(InvalidArgument, match="collision"):
        collide()
    assert c.inspect_commit("strict@master").id == before
    with pytest.raises(NotFound, match="repo default/nowhere not found"):
        c.put_file("nowhere@master:/x", b"x")
    with pytest.raises(NotFound, match='branch "ghost" not found'):
        c.get_file("strict@ghost:/f")
    with pytest.raises(NotFound, match="file /ghost not found"):
        c.get_file("strict@master:/ghost")
    with pytest.raises(InvalidArgument):
        list(c.glob_file("strict@master:/[a"))
    with pytest.raises(AlreadyExists, match="already exists"):
        c.create_repo("strict")
    with pytest.raises(InvalidArgument, match="not allowed"):
        c.create_repo("not allowed")


def test_any_unicode_name_and_glob_signs_work(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("names")
    odd = ["/Grüße.txt", "/a b", "/(x)", "/[y]", "/*", "/new\nline", "/日本/語", "/+@!^{}"]
    with c.put("names@master") as put:
        for path in odd:
            put.data(path, path.encode())
    for path in odd:
        assert c.get_file(f"names@master:{path}") == path.encode()
    found = {f.path for f in c.walk_file("names@master:/") if not f.is_dir}
    assert found == set(odd)


def test_branches_move_fork_and_keep_their_commits(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("trees")
    c.put_file("trees@master:/f", b"1")
    c.create_branch("trees@dev", head="master")
    c.put_file("trees@dev:/f", b"2")
    assert c.get_file("trees@master:/f") == b"1"
    c.create_branch("trees@master", head="dev")
    assert c.get_file("trees@master:/f") == b"2"
    c.delete_branch("trees@dev")
    assert [b.name for b in c.list_branch("trees")] == ["master"]
    with pytest.raises(InvalidArgument, match="own provenance"):
        c.create_branch("trees@master", provenance=["trees@master"])


def test_provenance_opens_downstream_commits_under_one_id(shared_box: RealBox) -> None:
    c = shared_box.client
    for repo in ("left", "right", "both"):
        c.create_repo(repo)
    c.create_branch("both@master", provenance=["left@master", "right@master"])
    c.put_file("left@master:/l", b"l")
    first = c.inspect_commit("both@master")
    assert first.id == c.inspect_commit("left@master").id
    with pytest.raises(NotReady, match="not finished"):
        c.get_file("both@master:/x")
    c.finish_commit("both@master")
    c.put_file("right@master:/r", b"r")
    second = c.inspect_commit("both@master")
    assert second.id == c.inspect_commit("right@master").id
    with pytest.raises(Refused):
        c.delete_branch("left@master")
    with pytest.raises(Refused):
        c.delete_repo("right")


def test_one_transaction_makes_one_downstream_commit(shared_box: RealBox) -> None:
    c = shared_box.client
    for repo in ("tl", "tr", "tb"):
        c.create_repo(repo)
    c.create_branch("tb@master", provenance=["tl@master", "tr@master"])
    id_ = c.start_transaction()
    with_tx = type(c)(str(shared_box.socket), transaction_id=id_)
    one = with_tx.start_commit("tl@master")
    two = with_tx.start_commit("tr@master")
    assert one == two == id_
    with pytest.raises(NotFound):
        c.inspect_commit("tl@master")
    c.finish_transaction(id_)
    assert c.inspect_commit("tb@master").id == id_
    assert len(list(c.list_commit("tb"))) == 1
    with_tx.close()


def test_deleting_history(shared_box: RealBox) -> None:
    """Squash folds into children, drop takes heads, delete cascades and keeps children whole."""
    c = shared_box.client
    c.create_repo("hist")
    ids = []
    for i in range(4):
        c.put_file(f"hist@master:/f{i}", b"x")
        ids.append(c.inspect_commit("hist@master").id)
    c.squash_commit(f"hist@{ids[1]}")
    assert names(shared_box, "hist@master:/") == ["/f0", "/f1", "/f2", "/f3"]
    assert [x.id for x in c.list_commit("hist")] == [ids[3], ids[2], ids[0]]
    with pytest.raises(Refused, match="no children"):
        c.squash_commit(f"hist@{ids[3]}")
    with pytest.raises(Refused, match="has children"):
        c.drop_commit(f"hist@{ids[2]}")
    c.drop_commit(f"hist@{ids[3]}")
    assert c.inspect_commit("hist@master").id == ids[2]
    c.delete_commit(f"hist@{ids[0]}")
    assert [x.id for x in c.list_commit("hist")] == [ids[2]]
    assert names(shared_box, "hist@master:/") == ["/f0", "/f1", "/f2"]


def test_triggers_move_branches(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("trig")
    c.create_branch("trig@every2", trigger={"branch": "master", "commits": 2})
    c.create_branch("trig@big", trigger={"branch": "master", "size": "1KB"})
    c.put_file("trig@master:/a", b"x" * 10)
    assert c.inspect_branch("trig@every2").head == ""
    c.put_file("trig@master:/b", b"x" * 2000)
    head = c.inspect_commit("trig@master").id
    assert c.inspect_branch("trig@every2").head == head
    assert c.inspect_branch("trig@big").head == head
    with pytest.raises(InvalidArgument, match="loops"):
        c.create_branch("trig@master", trigger={"branch": "every2"})


def test_diff_glob_and_listing(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("look")
    with c.put("look@master") as put:
        for i in range(300):
            put.data(f"/d{i % 3}/f{i:03}", b"x")
    c.put_file("look@master:/d1/f001", b"changed")
    found = [f.path for f in c.glob_file("look@master:/d?/f00*")]
    assert found == sorted(f"/d{i % 3}/f{i:03}" for i in range(10))
    assert [(f.path, f.size_bytes) for f in c.list_file("look@master:/")] == [
        ("/d0/", 100), ("/d1/", 106), ("/d2/", 100),
    ]  # fmt: skip
    changed = [d.new.path for d in c.diff_file("look@master:/") if d.new and not d.new.is_dir]
    assert changed == ["/d1/f001"]


def test_whole_directories_go_in_and_come_out(shared_box: RealBox, tmp_path: Path) -> None:
    c = shared_box.client
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "sub").mkdir(parents=True)
    (source / "small").write_bytes(b"s")
    (source / "empty").write_bytes(b"")
    (source / "sub" / "large").write_bytes(os.urandom(3_000_000))
    c.create_repo("whole")
    c.put_files("whole@master:/top", source)
    c.get_files("whole@master:/top", target)
    for path in ("small", "empty", "sub/large"):
        found = next(target.rglob(path))
        assert found.read_bytes() == (source / path).read_bytes()


def test_splitting_numbers_the_records_and_keeps_the_header(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("rows")
    box = shared_box
    box.cli(
        "put", "file", "rows@master:/t", "--split", "csv", "--header-records", "1",
        stdin=b"id,name\n1,a\n2,b\n",
    )  # fmt: skip
    assert names(box, "rows@master:/t") == [f"/t/{i:016x}" for i in range(2)]
    assert c.get_file(f"rows@master:/t/{1:016x}") == b"id,name\n2,b\n"
    box.cli("put", "file", "rows@master:/t", "--split", "csv", "-a", stdin=b"3,c\n")
    assert c.get_file(f"rows@master:/t/{2:016x}") == b"id,name\n3,c\n"


def test_events_resume_by_number(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("ev")
    c.put_file("ev@master:/a", b"a")
    events = [e for e in c.events(follow=False) if e.data.get("repo") == "ev"]
    kinds = [e.kind for e in events]
    assert kinds == ["repo.created", "branch.created", "commit.started", "commit.finished"]
    later = list(c.events(after=events[1].seq, follow=False))
    assert later[0].seq == events[2].seq


def test_the_store_is_clean(shared_box: RealBox) -> None:
    """After all of the above: every commit readable, every hash true, also after collection."""
    c = shared_box.client
    c.collect_garbage()
    assert [x for x in c.fsck() if x.get("level") != "info"] == []
