"""Verbs on pipelines and jobs as users type them, against a real box."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pachybox.client import Client
from pachybox.errors import NotFound
from tests.boxes import RealBox, eventually
from tests.flow.shell import Run, refused, succeeded


def spec(name: str, repo: str, script: str = "true", glob: str = "/*") -> str:
    return json.dumps(
        {
            "pipeline": {"name": name},
            "description": f"{name} of {repo}",
            "input": {"pfs": {"repo": repo, "glob": glob}},
            "transform": {"cmd": ["sh"], "stdin": [script]},
        }
    )


def editor(folder: Path, script: str) -> str:
    """A program that changes the file it is given."""
    path = folder / "my editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"'{path}'"


# ---- edit


def test_an_edited_spec_is_the_next_version_and_an_unchanged_one_is_not(
    run: Run, shared_box: RealBox, tmp_path: Path
) -> None:
    c = shared_box.client
    c.create_repo("e-in")
    c.create_pipelines(spec("e-p", "e-in"))
    ran = run("edit", "pipeline", "e-p", "--editor", "true")
    assert (ran.status, ran.err) == (0, "pachybox: unchanged\n")
    assert c.inspect_pipeline("e-p").version == 1

    change = editor(tmp_path, 'sed -i s/of.e-in/changed/ "$1"')
    succeeded(run("edit", "pipeline", "e-p", "--editor", change))
    succeeded(run("edit", "pipeline", "e-p", "-o", "yaml", "--editor", editor(
        tmp_path, 'grep -q "^description: e-p changed" "$1" && sed -i s/changed/again/ "$1"'
    )))  # fmt: skip
    info = c.inspect_pipeline("e-p")
    assert (info.version, info.description) == (3, "e-p again")


def test_an_edited_spec_that_is_refused_is_kept_and_its_place_told(
    run: Run, shared_box: RealBox, tmp_path: Path
) -> None:
    c = shared_box.client
    c.create_repo("k-in")
    c.create_pipelines(spec("k-p", "k-in"))
    bad = editor(tmp_path, 'sed -i s/transform/tranform/ "$1"')
    said = refused(run("edit", "pipeline", "k-p", "--editor", bad))
    assert "tranform" in said
    kept = Path(said.rpartition(" -f ")[2])
    assert kept.read_text().count('"tranform"') == 1
    kept.write_text(kept.read_text().replace("tranform", "transform").replace("k-p of", "kept"))
    succeeded(run("update", "pipeline", "-f", str(kept)))
    assert c.inspect_pipeline("k-p").description == "kept k-in"
    kept.unlink()

    said = refused(run("edit", "pipeline", "k-p", "--editor", "false"))
    assert "nothing was changed" in said
    assert "cannot start the editor" in refused(
        run("edit", "pipeline", "k-p", "--editor", "/no/such")
    )


def test_an_extracted_version_makes_the_pipeline_as_it_was(run: Run, shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("x-in")
    c.create_pipelines(spec("x-p", "x-in", "echo first"))
    c.create_pipelines(spec("x-p", "x-in", "echo second"), update=True)
    now = succeeded(run("extract pipeline x-p"))
    before = succeeded(run("extract pipeline x-p^"))
    assert json.loads(before)["transform"]["stdin"] == ["echo first"]
    succeeded(run("update pipeline", stdin=before.encode()))
    assert json.loads(succeeded(run("extract pipeline x-p"))) == json.loads(before)
    succeeded(run("delete pipeline x-p"))
    succeeded(run("create pipeline", stdin=now.encode()))
    assert json.loads(succeeded(run("extract pipeline x-p"))) == json.loads(now)


# ---- jobs


def test_jobs_of_a_pipeline_are_those_of_its_newest_version(run: Run, shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("h-in")
    c.put_file("h-in@master:/a", b"1")
    for version in range(3):
        c.create_pipelines(spec("h-p", "h-in"), update=True, reprocess=bool(version))
        if version:
            c.put_file("h-in@master:/a", str(version).encode())
        c.wait_commit("h-p@master")

    def versions(*flags: str) -> list[int]:
        text = succeeded(run("list", "job", "-p", "h-p", "--raw", *flags))
        return sorted({int(json.loads(line)["pipelineVersion"]) for line in text.splitlines()})

    everything = versions("--history", "all")
    newest = everything[-1:]
    assert newest == [3]
    assert versions() == versions("--history", "none") == newest
    assert versions("--history", "1") == [v for v in everything if v >= 2]
    assert len(everything) > 1


def test_subscribed_jobs_come_with_each_of_their_states(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("s-in")
    c.put_file("s-in@master:/a", b"1")
    c.create_pipelines(spec("s-p", "s-in"))
    c.wait_commit("s-p@master")
    old = next(iter(c.list_job("s-p"))).id
    process = subprocess.Popen(
        [sys.executable, "-m", "pachybox.cli", "subscribe", "job", "s-p", "--new", "--raw"],
        env=shared_box.env,
        stdout=subprocess.PIPE,
    )
    seen: list[tuple[str, str]] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            record = json.loads(line)
            seen.append((record["job"]["id"], record["state"]))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        new: list[str] = []

        def arrived() -> bool:
            if not any(state == "JOB_SUCCESS" for _, state in seen):
                new.append(c.put_file("s-in@master:/a", str(len(new)).encode()).commit[-32:])
                c.wait_commit("s-p@master")
            return any(state == "JOB_SUCCESS" for _, state in seen)

        eventually(arrived, "a new job is seen to succeed")
    finally:
        process.terminate()
        thread.join()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert old not in {id_ for id_, _ in seen}
    assert {id_ for id_, _ in seen} <= set(new)


# ---- the graph


def test_the_graph_shows_what_is_wrong_and_fits_the_terminal(
    run: Run, shared_box: RealBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = shared_box.client
    c.create_project("graph")
    g = Client(str(shared_box.socket), project="graph")
    try:
        g.create_repo("images")
        g.put_file("images@master:/a", b"1")
        g.create_pipelines(spec("edges", "images", "exit 1"))
        for i in range(12):
            g.create_pipelines(spec(f"wide-{i}", "images"))
        g.create_pipelines(spec("montage", "edges"))
        eventually(lambda: all(j.done for j in g.list_job()), "all jobs are over")
        monkeypatch.setenv("COLUMNS", "60")
        drawn = succeeded(run("list pipeline --dag --project graph"))
        assert "│ edges: failure │" in drawn
        assert "\033" not in drawn
        assert max(map(len, drawn.splitlines())) <= 60
        assert drawn.index("images") < drawn.index("edges") < drawn.index("montage")
        assert succeeded(run("draw pipeline --project graph")) == drawn
        assert "│ ed~ │" in succeeded(run("draw pipeline --project graph --box-width 3"))
    finally:
        g.close()


# ---- logs


@pytest.fixture(scope="module")
def talking(shared_box: RealBox) -> RealBox:
    """A pipeline of three datums that print, and fail when told."""
    c = shared_box.client
    c.create_repo("l-in")
    with c.put("l-in@master") as put:
        for name in "abc":
            put.data(f"/{name}", name.encode() * 3)
    c.create_pipelines(spec("l-p", "l-in", 'echo "hello from $(basename /pfs/l-in/*)"'))
    c.wait_commit("l-p@master")
    return shared_box


def test_every_filter_of_logs(run: Run, talking: RealBox) -> None:
    c = talking.client
    job = next(iter(c.list_job("l-p")))
    mine = {"hello from a", "hello from b", "hello from c"}

    def lines(*flags: str) -> set[str]:
        return set(succeeded(run("logs", *flags)).splitlines())

    assert lines("-p", "l-p") == lines("-j", f"l-p@{job.id}") == lines("-j", job.id) == mine
    assert lines("-p", "l-p", "-j", job.id) == mine
    assert len(lines("-p", "l-p", "-t", "2")) == 2
    assert lines("-p", "l-p", "--since", "1h") == mine
    assert lines("-p", "l-p", "-f", "-j", job.id) == mine  # it is over: following ends
    assert lines("-p", "l-p", "--inputs", "/a") == {"hello from a"}
    datums = {d.inputs[0].path: d for d in c.list_datum(str(job))}
    raw = datums["/b"].inputs[0].raw
    import base64

    hashed = raw["hash"]
    for form in (hashed, base64.b64decode(hashed).hex()):
        assert lines("-p", "l-p", "--inputs", form) == {"hello from b"}
    assert lines("-p", "l-p", "--inputs", "/a,/b") == set()
    assert lines("-j", str(job), "--datum", datums["/c"].id) == {"hello from c"}
    worker = lines("-p", "l-p", "--worker")
    assert worker
    assert not worker & mine
    assert len(succeeded(run("logs", "-p", "l-p", "--worker", "-t", "1")).splitlines()) == 1
    records = [json.loads(line) for line in lines("-p", "l-p", "--raw")]
    assert {r["message"].strip() for r in records if r.get("user")} == mine
    assert any(not r.get("user") for r in records)


def test_the_boxs_own_log_is_shown_of_all_or_of_a_pipeline_or_job(
    run: Run, talking: RealBox
) -> None:
    job = next(iter(talking.client.list_job("l-p")))
    own = succeeded(run("logs"))
    assert "ready address=" in own
    assert f"job started job=l-p@{job.id}" in own
    about = succeeded(run("logs", "--master", "-p", "l-p"))
    assert f"job started job=l-p@{job.id}" in about
    assert "ready address=" not in about
    assert succeeded(run("logs", "--master", "-j", job.id)) == about
    assert len(succeeded(run("logs", "-t", "1")).splitlines()) == 1
    record = json.loads(succeeded(run("logs", "-t", "1", "--raw")))
    assert record["master"] is True
    assert "not found" in refused(run("logs", "--master", "-p", "no-such"))
    assert "needs a job" in refused(run("logs --datum x"))
    assert "needs a pipeline" in refused(run("logs --inputs /a"))
    assert "knows no datums" in refused(run("logs --master -p l-p --inputs /a"))


def test_following_a_pipeline_goes_from_job_to_job(talking: RealBox) -> None:
    c = talking.client
    process = subprocess.Popen(
        [sys.executable, "-m", "pachybox.cli", "logs", "-p", "l-p", "-f"],
        env=talking.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen: list[str] = []

    thread = threading.Thread(target=lambda: [seen.append(x.strip()) for x in process.stdout or ()])
    thread.start()
    try:
        eventually(lambda: "hello from a" in seen, "the old job's lines are there")
        for name in ("d", "e"):
            c.put_file(f"l-in@master:/{name}", name.encode())
            eventually(lambda n=name: f"hello from {n}" in seen, "a new job's line comes")  # type: ignore[misc]
    finally:
        process.terminate()
        thread.join()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_following_the_boxs_own_log_goes_on_after_it_was_rotated(tmp_path: Path) -> None:
    from pachybox.api.handlers.box_log import read as read_log

    path = tmp_path / "box.log"
    line = "time=2026-01-02T03:04:05.678Z level=info part=x {}\n"
    path.with_name("box.log.1").write_text(line.format("old"))
    path.write_text(line.format("now") + "torn")
    lines = read_log(path, lambda _: True, 0, True, lambda: False)
    got = [next(lines) for _ in range(3)]
    assert [found.text.split()[-1] for found in got if found] == ["old", "now"]
    os.replace(path, path.with_name("box.log.2"))  # noqa: PTH105
    path.write_text(line.format("new"))
    found = None
    while found is None:
        found = next(lines)
    assert found.text.endswith("new")
    lines.close()  # type: ignore[attr-defined]


def test_pages_of_datums(run: Run, talking: RealBox) -> None:
    job = next(iter(talking.client.list_job("l-p")))
    whole = succeeded(run("list", "datum", str(job), "--status-only")).splitlines()[1:]
    pages = [
        succeeded(run("list", "datum", str(job), "--page", str(n), "--pageSize", "2"))
        for n in range((len(whole) + 1) // 2 + 1)
    ]
    assert [line for page in pages for line in page.splitlines()[1:]] == whole
    assert len(pages[0].splitlines()) == 3


def test_the_datums_of_a_spec_are_listed_without_making_anything(
    run: Run, talking: RealBox, tmp_path: Path
) -> None:
    """A cross of two sides, as the spec would make it of the present heads."""
    c = talking.client
    c.create_repo("dry")
    with c.put("dry@master") as put:
        put.data("/1", b"1")
        put.data("/2", b"2")
    inputs = [{"pfs": {"repo": repo, "glob": "/*"}} for repo in ("l-in", "dry")]
    made = {"pipeline": {"name": "never"}, "input": {"cross": inputs}, "transform": {"cmd": ["x"]}}
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(made))
    files = len(list(c.glob_file("l-in@master:/*")))
    rows = succeeded(run("list", "datum", "-f", str(path))).splitlines()
    assert rows[0].split() == ["ID", "FILES"]
    assert len(rows) == 1 + 2 * files
    assert sum("dry:/2" in row for row in rows) == files
    assert "never" not in succeeded(run("list pipeline"))
    assert "never" not in succeeded(run("list repo"))
    ids = {row.split()[0] for row in rows[1:]}
    paged = succeeded(run("list", "datum", "-f", str(path), "--pageSize", "3", "--raw"))
    assert {json.loads(line)["datum"]["id"] for line in paged.splitlines()} <= ids
    assert "give a job, or a spec" in refused(run("list datum"))


def test_datums_go_on_behind_a_marker(talking: RealBox) -> None:
    """As Pachyderm 2.x pages: a number, and the last id of the page before."""
    c = talking.client
    job = next(iter(c.list_job("l-p")))
    name = {"pipeline": {"name": "l-p"}, "id": job.id}

    def page(**more: object) -> list[str]:
        found = c.stream("pps_v2.API", "ListDatum", job=name, **more)
        return [record["datum"]["id"] for record in found]

    whole = page()
    assert page(number="1") == whole[:1]
    assert page(pagination_marker=whole[0], number="1") == whole[1:2]
    assert page(reverse=True) == whole[::-1]
    with pytest.raises(NotFound, match="datum nope"):
        page(pagination_marker="nope")
