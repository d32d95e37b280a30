"""Ingest sources as users meet them, and the step that takes data with its offset.

Steps are made here by hand, in the place of the program of a push source, which waits for records
meanwhile.
"""

from __future__ import annotations

import io
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from pachybox.client import Client
from pachybox.client.backup import Backup
from pachybox.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    NotReady,
    PachyboxError,
    Refused,
    Unauthenticated,
)
from tests.boxes import RealBox, eventually

NUMBERS = itertools.count()


def push(name: str, to: str, **part: object) -> dict[str, Any]:
    return {"name": name, "to": to, "push": part}


@pytest.fixture
def client(shared_box: RealBox) -> Client:
    return shared_box.client


@pytest.fixture
def repo(client: Client) -> str:
    made = f"raw{next(NUMBERS)}"
    client.create_repo(made)
    return made


@pytest.fixture
def source(client: Client, repo: str) -> str:
    """A push source that writes to ``repo@master``."""
    name = f"source-{repo}"
    client.create_ingest(push(name, f"{repo}@master"))
    return name


def fileset(client: Client, files: dict[str, bytes]) -> str:
    with client.upload_fileset() as put:
        for path, content in files.items():
            put.data(path, content)
    return put.fileset


def step(client: Client, source: str, batch: int, content: dict[str, bytes], /, **more: Any) -> str:
    """Batch ``batch`` with files, of the first version unless said."""
    return client.advance_ingest(
        source,
        **{
            "version": 1, "batch": batch, "offset": json.dumps({"at": batch}),
            "fileset": fileset(client, content) if content else "",
        } | more,
    )  # fmt: skip


def read(client: Client, where: str) -> dict[str, bytes]:
    """Every file of a branch, none for one without a head."""
    try:
        paths = [f.path for f in client.glob_file(f"{where}:/**") if not f.is_dir]
    except NotFound:
        return {}
    return {path: client.get_file(f"{where}:{path}") for path in paths}


def commits(client: Client, where: str) -> list[str]:
    return [c.id for c in client.list_commit(where)]


# ---- making, changing, deleting


def test_a_source_is_made_shown_changed_and_deleted(client: Client, repo: str) -> None:
    name, to = f"s-{repo}", f"{repo}@landing"
    (made,) = client.create_ingest(push(name, to))
    assert (made.name, made.version, made.created) == (name, 1, True)
    assert [b.name for b in client.list_branch(repo)] == ["landing"], "a missing branch is made"
    shown = client.inspect_ingest(name)
    assert (shown.kind, shown.to, shown.version, shown.batch) == ("push", to, 1, 0)
    assert shown.spec["push"]["format"] == "jsonl", "every default is filled in"
    assert name in [i.name for i in client.list_ingest()]
    assert not client.list_ingest(["other"]).all()

    with pytest.raises(AlreadyExists, match="already exists; change it with: update ingest"):
        client.create_ingest(push(name, to))
    (same,) = client.create_ingest(shown.spec, update=True)
    assert (same.version, same.created) == (1, False), "what changes nothing is no new version"
    (other,) = client.create_ingest(push(name, f"{repo}@else", format="lines"), update=True)
    assert (other.version, other.created) == (2, False)
    assert client.inspect_ingest(name).to == f"{repo}@else"
    with pytest.raises(Refused, match="is a push, and cannot become a command; delete it first"):
        client.create_ingest({"name": name, "to": to, "command": {"cmd": ["true"]}}, update=True)

    client.delete_ingest(name)
    for gone in (client.inspect_ingest, client.delete_ingest, client.pause_ingest):
        with pytest.raises(NotFound, match=f"ingest {name} not found; list ingest shows"):
            gone(name)
    (anew,) = client.create_ingest(push(name, to), update=True)
    assert (anew.version, anew.created) == (1, True), "update makes what is not there"
    mine = [e.kind for e in client.events() if e.data.get("ingest") == name]
    kinds = [kind for kind in mine if kind != "ingest.state"]
    assert kinds == [f"ingest.{k}" for k in ("created", "updated", "deleted", "created")]


def test_of_several_sources_all_are_made_or_none(client: Client, repo: str) -> None:
    good, bad = push(f"good-{repo}", f"{repo}@a"), push(f"bad-{repo}", "no-such-repo@a")
    with pytest.raises(NotFound, match=r"repo default/no-such-repo not found .*create repo no-s"):
        client.create_ingest(json.dumps([good, bad]))
    with pytest.raises(NotFound, match=f"ingest good-{repo} not found"):
        client.inspect_ingest(f"good-{repo}")
    assert not client.list_branch(repo).all()
    client.create_ingest(json.dumps([good, push(f"bad-{repo}", f"{repo}@b")]))
    assert {b.name for b in client.list_branch(repo)} == {"a", "b"}


def test_a_source_writes_to_no_branch_and_has_no_name_of_something_else(
    client: Client, repo: str
) -> None:
    made = f"made-{repo}"
    client.create_pipelines(
        {
            "pipeline": {"name": made},
            "input": {"cross": [
                {"pfs": {"repo": repo, "glob": "/"}},
                {"cron": {"name": "tick", "spec": "@yearly"}},
            ]},
            "transform": {"cmd": ["true"]},
        }
    )  # fmt: skip
    client.create_repo(f"else-{repo}")
    client.create_branch(f"else-{repo}@follows", provenance=[f"{made}@master"])
    for to in (f"{made}@master", f"else-{repo}@follows", f"{made}_tick.spec@master"):
        with pytest.raises(PachyboxError, match=r"written by a pipeline|is a system repo"):
            client.create_ingest(push("s", to))
    client.create_ingest(push(f"beside-{repo}", f"{made}@beside"))
    client.create_ingest(push(f"{repo}-first", f"{repo}@master"))
    with pytest.raises(Refused, match=f"branch {repo}@master is written by ingest {repo}-first"):
        client.create_pipeline(
            repo, cmd=["true"], input={"pfs": {"repo": f"else-{repo}", "glob": "/"}}
        )
    client.delete_repo(f"else-{repo}")
    with pytest.raises(Refused, match=f"ingest beside-{repo} writes to repo {made}; delete it fir"):
        client.delete_pipeline(made)
    with pytest.raises(Refused, match=f"branch {made}@beside is written by ingest beside-{repo}"):
        client.create_branch(f"{made}@beside", provenance=[f"{repo}@other"])
    client.delete_ingest(f"beside-{repo}")
    client.stop_pipeline(made)
    with pytest.raises(Refused, match=f"branch {made}@master is written by a pipeline"):
        client.create_ingest(push("s", f"{made}@master"))
    with pytest.raises(Refused, match=f"{made}_tick is the name of a cron input of pipeline"):
        client.create_ingest(push(f"{made}_tick", f"{repo}@master"))
    client.create_ingest(push(f"other-{repo}_tick", f"{repo}@a"))
    with pytest.raises(
        Refused, match=f"repo other-{repo}_tick cannot hold the ticks .* an ingest of that name"
    ):
        client.create_pipeline(
            f"other-{repo}", cmd=["true"], input={"cron": {"name": "tick", "spec": "@yearly"}}
        )
    with pytest.raises(NotFound, match='project "nowhere" not found; make it with: create proj'):
        client.create_ingest(push("s", f"default/{repo}@a") | {"ingest": {"project": "nowhere"}})


def test_what_works_with_the_boxes_rights_is_made_over_its_socket_or_with_a_token(
    client: Client, repo: str, tmp_path: Path
) -> None:
    def specs(to: str) -> list[dict[str, Any]]:
        return [
            {"name": f"{to}-w", "to": f"{to}@master", "watch": {"path": str(tmp_path)}},
            {"name": f"{to}-c", "to": f"{to}@master", "command": {"cmd": ["sleep", "1000"]}},
        ]

    watch, command = specs(repo)
    with Client(client.status().address) as network:
        for spec in (watch, command):
            with pytest.raises(Refused, match=r"own socket, or set a token in box\.toml"):
                network.create_ingest(spec)
        network.create_ingest(push(f"{repo}-p", f"{repo}@master"))
        client.create_ingest([watch, command])
        with pytest.raises(Refused, match="works with the rights of the box"):
            network.create_ingest(watch | {"description": "mine now"}, update=True)
        network.delete_ingest(f"{repo}-w")
        network.delete_ingest(f"{repo}-c")
    closed = RealBox(tmp_path / "closed", settings='token = "letmein"\n').start()
    try:
        address = closed.client.status().address
        closed.client.create_repo("raw")
        with Client(address, token="") as stranger, pytest.raises(Unauthenticated):
            stranger.create_ingest(specs("raw")[0])
        with Client(address, token="letmein") as known:
            assert len(known.create_ingest(specs("raw"))) == 2
    finally:
        closed.stop()


def test_sources_of_all_kinds_are_listed_paused_and_run_alike(
    client: Client, repo: str, tmp_path: Path
) -> None:
    to = f"{repo}@master"
    made = {kind: f"{kind}-{repo}" for kind in ("watch", "push", "command", "spout")}
    made["cron"] = f"{made['spout']}-reader_tick"
    client.create_ingest(
        [
            {"name": made["watch"], "to": to, "watch": {"path": str(tmp_path)}},
            push(made["push"], to),
            {"name": made["command"], "to": to, "command": {"cmd": ["sleep", "1000"]}},
        ]
    )
    ends = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
    stays = {"transform": {"cmd": ["sh", "-c", ends]}}
    client.create_pipelines({"pipeline": {"name": made["spout"]}, "spout": {}, **stays})
    ticks = {"cron": {"name": "tick", "spec": "@yearly"}}
    client.create_pipeline(f"{made['spout']}-reader", cmd=["true"], input=ticks)
    mine = [i for i in client.list_ingest() if i.name in made.values()]
    assert {i.kind: i.name for i in mine} == made
    assert [i.name for i in mine] == sorted(made.values())
    of = {i.kind: i.pipeline for i in mine if i.pipeline}
    assert of == {"spout": made["spout"], "cron": f"{made['spout']}-reader"}
    for kind, name in made.items():
        client.pause_ingest(name)
        assert client.inspect_ingest(name).paused
        eventually(lambda n=name: client.inspect_ingest(n).state == "paused", f"{kind} is paused")
        eventually(lambda n=name: not client.inspect_ingest(n).pid, f"{kind} has no process")
        with pytest.raises(Refused, match=f"ingest {name} is paused; resume it"):
            client.run_ingest(name)
        client.resume_ingest(name)
        eventually(lambda n=name: client.inspect_ingest(n).state == "running", f"{kind} runs")
        client.run_ingest(name)
    for kind in ("cron", "spout"):
        with pytest.raises(Refused, match=f"ingest {made[kind]} belongs to pipeline {of[kind]}"):
            client.delete_ingest(made[kind])
    assert len(commits(client, f"{made['cron']}@master")) == 1, "it ticked once"
    paused = made["cron"], made["spout"]
    for name in paused:
        client.pause_ingest(name)
    client.delete_pipeline(of["cron"])
    client.delete_pipeline(of["spout"])
    for name in paused:
        with pytest.raises(NotFound):
            client.inspect_ingest(name)
    client.create_pipelines({"pipeline": {"name": made["spout"]}, "spout": {}, **stays})
    assert not client.inspect_ingest(made["spout"]).paused, "it is another one"
    client.delete_pipeline(made["spout"])
    for kind in ("watch", "push", "command"):
        client.delete_ingest(made[kind])


# ---- steps


def test_a_step_is_made_once_however_often_it_is_asked_for(
    client: Client, repo: str, source: str
) -> None:
    first = step(client, source, 1, {"/a": b"1"}, records=1, bytes=1, files=1)
    assert step(client, source, 1, {"/a": b"again"}, records=1) == first
    assert step(client, source, 1, {}, fileset="gone") == first
    with pytest.raises(Refused, match="has come to batch 1 by another step; begin again from"):
        step(client, source, 1, {"/b": b"of a life after a kill"}, offset=json.dumps({"at": "b"}))
    assert read(client, f"{repo}@master") == {"/a": b"1"}

    answers: list[str] = []
    threads = [
        threading.Thread(
            target=lambda n=n: answers.append(
                step(client, source, 2, {"/b": b"%d" % n}, append=True, records=1)
            )
        )
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1
    assert len(read(client, f"{repo}@master")["/b"]) == 1
    with pytest.raises(Refused, match="has come to batch 2 by another step"):
        step(client, source, 1, {})
    assert commits(client, f"{repo}@master") == [answers[0], first]
    shown = client.inspect_ingest(source)
    assert (shown.batch, shown.offset, shown.records) == (2, {"at": 2}, 2)
    assert (shown.commits, shown.bytes, shown.files) == (2, 1, 1)
    assert shown.last_commit == answers[0]
    told = [e.data for e in client.events() if e.kind == "ingest.advanced"]
    mine = [(d["batch"], d["commit"], d["records"]) for d in told if d["ingest"] == source]
    assert mine == [(1, first, 1), (2, answers[0], 1)]


def test_a_step_replaces_appends_and_deletes(client: Client, repo: str, source: str) -> None:
    step(client, source, 1, {"/a/1": b"1", "/a/2": b"2", "/c": b"3"})
    step(client, source, 2, {"/a/1": b"one"}, deletes=["/a/2", "/not/there"])
    assert read(client, f"{repo}@master") == {"/a/1": b"one", "/c": b"3"}
    step(client, source, 3, {"/c": b"4", "/d": b"5"}, append=True)
    assert read(client, f"{repo}@master") == {"/a/1": b"one", "/c": b"34", "/d": b"5"}
    step(client, source, 4, {})  # an offset alone is no commit
    assert client.inspect_ingest(source).commits == 3
    client.delete_branch(f"{repo}@master")
    step(client, source, 5, {}, deletes=["/c"])
    assert client.inspect_ingest(source).batch == 5
    assert not client.list_branch(repo).all(), "a branch is not made to delete from"
    step(client, source, 6, {"/e": b"6"})
    assert read(client, f"{repo}@master") == {"/e": b"6"}


def test_a_step_of_an_older_version_or_out_of_turn_is_refused(
    client: Client, repo: str, source: str
) -> None:
    step(client, source, 1, {"/a": b"1"})
    with pytest.raises(Refused, match="has come to batch 1, not 2; begin again from its offset"):
        step(client, source, 3, {"/c": b"3"})
    client.create_ingest(push(source, f"{repo}@moved"), update=True)
    with pytest.raises(Refused, match="has version 2, not 1; the newer one goes on"):
        step(client, source, 2, {"/b": b"2"})
    assert client.inspect_ingest(source).offset == {"at": 1}, "an update goes on"
    step(client, source, 2, {"/b": b"2"}, version=2)
    assert read(client, f"{repo}@moved") == {"/b": b"2"}
    client.create_ingest(push(source, f"{repo}@moved"), update=True, reset=True)
    shown = client.inspect_ingest(source)
    # a push source keeps its place: what waits on disk is committed once all the same
    assert (shown.version, shown.batch, shown.offset, shown.commits) == (3, 2, {"at": 2}, 2)
    for wrong in ("[]", "", "{", "[" * 100_000, '{"a": "' + "x" * (1 << 20) + '"}'):
        with pytest.raises(InvalidArgument, match="offset"):
            step(client, source, 3, {}, version=3, offset=wrong)
    with pytest.raises(InvalidArgument, match="batch 0 is none; the first is 1"):
        step(client, source, 0, {}, version=3)
    with pytest.raises(InvalidArgument, match="records is -1"):
        step(client, source, 3, {}, version=3, records=-1)
    with pytest.raises(NotFound, match="fileset gone not found"):
        step(client, source, 3, {}, version=3, fileset="gone")
    assert client.inspect_ingest(source).batch == 2


def test_a_step_of_a_source_that_was_deleted_is_not_one_of_the_next_of_its_name(
    client: Client, repo: str, source: str
) -> None:
    def made() -> str:
        created = client.inspect_ingest(source).created
        assert created is not None
        return created.astimezone(UTC).isoformat()

    old = made()
    client.delete_ingest(source)
    client.create_ingest(push(source, f"{repo}@again"))
    with pytest.raises(Refused, match=r"was made anew .*, this is of the old one"):
        step(client, source, 1, {"/a": b"old"}, made=old)
    step(client, source, 1, {"/a": b"new"}, made=made())
    assert read(client, f"{repo}@again") == {"/a": b"new"}


def test_a_reset_source_begins_anew_and_counts_on(
    client: Client, repo: str, tmp_path: Path
) -> None:
    spec = {"name": f"w-{repo}", "to": f"{repo}@master", "watch": {"path": str(tmp_path)}}
    client.create_ingest(spec)
    client.pause_ingest(f"w-{repo}")
    step(client, f"w-{repo}", 1, {"/a": b"1"}, files=1)
    client.create_ingest(spec, update=True, reset=True)
    shown = client.inspect_ingest(f"w-{repo}")
    assert (shown.version, shown.batch, shown.offset, shown.files) == (2, 1, {}, 1)
    assert shown.paused, "an update does not resume"
    with pytest.raises(Refused, match="has version 2, not 1"):
        step(client, f"w-{repo}", 2, {"/b": b"2"})
    client.delete_ingest(f"w-{repo}")


def test_data_marker_dead_letters_and_offset_come_together_or_not_at_all(
    client: Client, repo: str, source: str
) -> None:
    def everything(batch: int) -> str:
        return step(
            client, source, batch, {f"/{batch}": b"good"},
            marker=fileset(client, {"/mark": b"%d" % batch}),
            dead=fileset(client, {"/bad": b"%d" % batch}),
            records=2, dead_letters=1,
        )  # fmt: skip

    def state() -> tuple[object, ...]:
        heads = {b.name: b.head for b in client.list_branch(repo)}
        shown = client.inspect_ingest(source)
        return heads, shown.batch, shown.offset, shown.records, shown.dead_letters

    everything(1)
    everything(2)
    assert read(client, f"{repo}@master") == {"/1": b"good", "/2": b"good"}
    assert read(client, f"{repo}@marker") == {"/mark": b"2"}, "a marker replaces the last"
    assert read(client, f"{repo}@dead-letters") == {"/bad": b"12"}, "letters are added"
    assert state()[1:] == (2, {"at": 2}, 4, 2)
    before = state()
    for branch in ("dead-letters", "marker", "master"):
        before = state()
        commit = client.start_commit(f"{repo}@{branch}")
        held = state()
        with pytest.raises(NotReady, match=rf"branch {repo}@{branch} has an open commit, .*finish"):
            everything(3)
        assert state() == held, "nothing of it was done"
        client.delete_commit(f"{repo}@{commit}")
    assert state() == before
    everything(3)
    assert state()[1:] == (3, {"at": 3}, 6, 3)


def test_steps_go_on_beside_other_writers_of_the_branch(
    client: Client, repo: str, source: str
) -> None:
    """A step's tree is made outside of the writer on a guess: what others wrote meanwhile stays."""
    stop = threading.Event()
    wrote: list[str] = []

    def other() -> None:
        while not stop.is_set():
            client.put_file(f"{repo}@master:/other/{len(wrote)}", b"o")
            wrote.append(f"/other/{len(wrote)}")

    threads = [threading.Thread(target=other)]
    threads[0].start()
    try:
        for batch in range(1, 16):
            files = {f"/{batch}/{n}": b"%d" % n for n in range(300)}
            step(client, source, batch, files)
            assert client.inspect_ingest(source).batch == batch
    finally:
        stop.set()
        threads[0].join()
    there = {f.path for f in client.glob_file(f"{repo}@master:/**") if not f.is_dir}
    mine = {f"/{batch}/{n}" for batch in range(1, 16) for n in range(300)}
    assert there == mine | set(wrote)
    assert len(wrote) > 3


# ---- what is around it


def test_a_repo_that_a_source_writes_to_is_deleted_by_force_only(
    client: Client, repo: str, source: str
) -> None:
    step(client, source, 1, {"/a": b"1"})
    with pytest.raises(Refused, match=f"ingest {source} writes to repo {repo}; delete it first"):
        client.delete_repo(repo)
    client.delete_repo(repo, force=True)
    with pytest.raises(NotFound, match=f"repo default/{repo} not found"):
        step(client, source, 2, {"/b": b"2"})
    client.create_repo(repo)
    step(client, source, 2, {"/b": b"2"})
    assert read(client, f"{repo}@master") == {"/b": b"2"}
    client.delete_ingest(source)
    client.delete_repo(repo)


def test_a_project_takes_its_sources_with_it_by_force_only(client: Client, repo: str) -> None:
    client.create_project(f"p-{repo}")
    name = f"p-{repo}/s"
    client.create_ingest(push("s", f"default/{repo}@a") | {"ingest": {"project": f"p-{repo}"}})
    assert client.inspect_ingest(name).to == f"{repo}@a"
    with pytest.raises(Refused, match=f"project p-{repo}: ingest {name} still exists"):
        client.delete_project(f"p-{repo}")
    client.delete_project(f"p-{repo}", force=True)
    with pytest.raises(NotFound, match=f"ingest {name} not found"):
        client.inspect_ingest(name)


def extracted(box: RealBox) -> bytes:
    with closing(Backup(str(box.socket))) as client:
        client.extract(out := io.BytesIO())
    return out.getvalue()


def restored(box: RealBox, archive: bytes) -> None:
    with closing(Backup(str(box.socket))) as client:
        client.restore(io.BytesIO(archive))


@pytest.fixture
def small_box(tmp_path: Path) -> Iterator[Callable[[str], RealBox]]:
    made: list[RealBox] = []

    def start(name: str) -> RealBox:
        made.append(RealBox(tmp_path / name).start())
        return made[-1]

    yield start
    for box in made:
        box.stop()


def test_sources_outlive_a_kill_and_go_on_in_a_restored_box(
    small_box: Callable[[str], RealBox],
) -> None:
    box = small_box("first")
    client = box.client
    client.create_repo("raw")
    client.create_ingest([push("a", "raw@master"), push("b", "raw@master")])
    last = step(client, "a", 1, {"/a": b"1"}, records=5)
    client.pause_ingest("a")
    client.pause_ingest("a")
    with pytest.raises(Refused, match="ingest a is paused; resume it with: resume ingest a"):
        client.run_ingest("a")
    box.kill()
    client = box.start().client
    shown = client.inspect_ingest("a")
    assert (shown.paused, shown.state, shown.batch) == (True, "paused", 1)
    assert step(client, "a", 1, {"/a": b"lost answer"}) == last
    archive = extracted(box)

    second = small_box("second")
    other = second.client
    restored(second, archive)
    told = {i.name: (i.paused, i.batch, i.offset, i.records) for i in other.list_ingest()}
    assert told == {"a": (True, 1, {"at": 1}, 5), "b": (False, 0, {}, 0)}
    other.resume_ingest("a")
    assert not other.inspect_ingest("a").paused
    other.run_ingest("a")
    step(other, "a", 2, {"/b": b"2"})
    assert read(other, "raw@master") == {"/a": b"1", "/b": b"2"}
    other.delete_all()
    assert not other.list_ingest().all()
    restored(second, archive)
    assert {i.name for i in other.list_ingest()} == {"a", "b"}
