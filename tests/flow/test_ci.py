"""``pachybox ci``: what it says of specs that are right and wrong, and what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.boxes import RealBox, eventually
from tests.flow.shell import Ran, Run, refused, runner, succeeded

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ci"
TEXTS = {"pfs": {"repo": "texts", "glob": "/*"}}
COPY = {"cmd": ["sh", "-c", "cp -r /pfs/texts/* /pfs/out/"]}


@pytest.fixture
def run(
    shared_box: RealBox,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Run]:
    """A command line in an empty directory. Throw-away boxes are in $TMPDIR, and gone after."""
    where = tmp_path / "here"
    where.mkdir()
    short = Path(tempfile.mkdtemp(prefix="pb", dir="/tmp"))  # podman's socket has a path of 107
    monkeypatch.chdir(where)
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield runner(shared_box, tmp_path / "config", capfdbinary, monkeypatch)
    assert list(short.iterdir()) == []
    short.rmdir()


def write(name: str, **spec: Any) -> None:
    """A spec file of a pipeline named as the file."""
    whole = {"pipeline": {"name": Path(name).stem}, "input": TEXTS, "transform": COPY, **spec}
    Path(name).write_text(json.dumps(whole))


def data(**files: str) -> None:
    """testdata/texts."""
    folder = Path("testdata/texts")
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def cases(ran: Ran) -> dict[tuple[str, str], tuple[str, str]]:
    """State and detail of what --raw says was looked at."""
    found = map(json.loads, ran.out.splitlines())
    return {(one["kind"], one["name"]): (one["state"], one["detail"]) for one in found}


def test_the_worked_example_is_what_its_workflow_runs(shared_box: RealBox, tmp_path: Path) -> None:
    """Every command of both jobs, but for those that set up GitHub's own machine."""
    repository = tmp_path / "repository"
    shutil.copytree(EXAMPLE, repository)
    workflow = yaml.safe_load((repository / ".github/workflows/pipelines.yml").read_text())
    shared_box.client.create_repo("texts", update=True)
    env = {**os.environ, "PACHYBOX_HOME": str(shared_box.home)}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    env["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary")
    ran = []
    for job in ("test", "deploy"):
        for step in workflow["jobs"][job]["steps"]:
            command = step.get("run", "")
            if command.startswith("pachybox"):
                done = subprocess.run(
                    ["bash", "-eo", "pipefail", "-c", command], cwd=repository, env=env,
                    capture_output=True, text=True, timeout=120,
                )  # fmt: skip
                assert done.returncode == 0, done.stdout + done.stderr
                ran.append(command)
            else:
                assert "uses" in step or command.startswith(("sudo sysctl", "pip install"))
    assert len(ran) == 3
    report = ElementTree.parse(repository / "report.xml").getroot()
    assert (report.get("tests"), report.get("failures")) == ("6", "0")
    assert "words: new" in (tmp_path / "summary").read_text()
    assert {"words", "top", "top_build"} <= {p.name for p in shared_box.client.list_pipeline()}
    shared_box.client.delete_pipelines()


def test_what_is_wrong_is_told_and_the_rest_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINER_HOST", "unix:///nonexistent")  # as where there is no podman
    write("boxed.json", transform={"image": "made", "dockerfile": "made.txt", **COPY})
    data(one="1", two="2")
    write("good.json")
    write(
        "bad.json",
        datum_tries=1,
        transform={"cmd": ["sh", "-c", "echo oh; test -e /pfs/texts/one"]},
    )
    write("after.json", input={"pfs": {"repo": "bad", "glob": "/"}}, transform={"cmd": ["true"]})
    write("typo.json", transfrom={})
    write(
        "secretive.json",
        transform={"cmd": ["true"], "secrets": [{"name": "x", "mount_path": "/x"}]},
    )
    write("dry.json", input={"pfs": {"repo": "absent", "glob": "/"}})
    write("none.json", input={"pfs": {"repo": "texts", "glob": "/no*"}})
    write("out.json", egress={"URL": "s3://nowhere/at/all"})
    write(
        "ticks.json", input={"cron": {"name": "t", "spec": "@daily"}}, transform={"cmd": ["true"]}
    )
    Path("package.json").write_text('{"name": "no spec"}')
    Path("expected/good").mkdir(parents=True)
    Path("expected/good/one").write_text("1\n")
    Path("expected/good/gone").write_text("")
    ran = run("ci --raw --junit report.xml")
    assert ran.status == 1
    found = cases(ran)
    states = {name: state for name, (state, _) in found.items()}
    assert states == {
        **{("specs", f"{name}.json"): "ok" for name in ("good", "bad", "after", "dry", "none")},
        ("specs", "out.json"): "ok",
        ("specs", "ticks.json"): "ok",
        ("specs", "typo.json"): "failed",
        ("specs", "boxed.json"): "failed",
        ("specs", "secretive.json"): "failed",
        ("data", "texts@master"): "ok",
        ("data", "absent@master"): "failed",
        ("job", "good"): "ok",
        ("job", "out"): "ok",
        ("job", "ticks"): "ok",
        ("job", "bad"): "failed",
        ("job", "after"): "skipped",
        ("job", "none"): "skipped",
        ("output", "good"): "failed",
    }
    assert "add --runner process" in found["specs", "boxed.json"][1]
    assert "without its egress" in found["job", "out"][1]
    assert "exit status 1" in found["job", "bad"][1]
    report = ElementTree.parse("report.xml").getroot()
    (suite,) = report
    assert (report.get("failures"), suite.get("skipped")) == ("6", "2")
    texts = {one.get("name"): failure.text for one in report.iter("testcase")
             for failure in one.iter("failure")}  # fmt: skip
    assert texts["bad"] is not None
    assert "(texts:/two):\n  oh" in texts["bad"]
    assert (texts["good"] or "").startswith("missing: gone\nnot expected: two\ndiffers: one\n")


def test_an_image_is_built_and_run(run: Run, busybox_image: str) -> None:
    """Of the Containerfile beside the spec; by --runner process neither."""
    data(one="1")
    Path("Containerfile").write_text(f"FROM {busybox_image}\nCOPY code /code\n")
    Path("code").write_text("echo built > /pfs/out/$(cat /code | wc -l)")
    write("boxed.json", transform={"image": "pachybox-test/ci", "cmd": ["sh", "/code"]})
    found = cases(run("ci --raw"))
    try:
        assert [state for state, _ in found.values()] == ["ok"] * 4, found
    finally:
        image = found["build", "boxed"][1]
        subprocess.run(["podman", "rmi", image], capture_output=True, check=True)
    assert image.startswith("localhost/pachybox-test/ci:")
    write("boxed.json", transform={"image": "localhost/pachybox-test/none", "cmd": ["sh"]})
    state, why = cases(run("ci --raw --no-build"))["job", "boxed"]  # at once: it is not awaited
    assert (state, why.partition(";")[0]) == (
        "failed", "image localhost/pachybox-test/none is not on this machine",
    )  # fmt: skip


def test_data_of_a_real_box_and_results_that_are_accepted(run: Run, shared_box: RealBox) -> None:
    """A sample of another branch, without a change to that box."""
    c = shared_box.client
    c.create_repo("texts", update=True)
    with c.put("texts@staging") as put:
        for name in ("a/1", "a/2", "b/1", "c/1"):
            put.data(f"/{name}", name.encode())
    write("copy.json")
    assert succeeded(run("ci --from - --branch staging --sample 2 --accept")).endswith("s\n")
    assert sorted(str(p) for p in Path("expected").rglob("*") if p.is_file()) == [
        f"expected/copy/{name}" for name in ("a/1", "a/2", "b/1")
    ]
    assert not c.pipeline_exists("copy")


def test_arguments_that_cannot_be(run: Run) -> None:
    assert refused(run("ci")).startswith("no spec in .; ")
    write("s.json")
    assert "--sample goes with --from" in refused(run("ci --sample 2"))
    assert "write --data REPO=DIR" in refused(run("ci --data x"))
    assert "x is not a directory" in refused(run("ci --data a=x"))
    assert "no box answers" in refused(run("ci --from 127.0.0.1:1"))


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_that_is_interrupted_leaves_nothing(run: Run, how: int, status: int) -> None:
    """No box, no directory; the report says how far it came."""
    data(one="1")
    write("slow.json", transform={"cmd": ["sleep", "600"]})
    with open("out", "w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "pachybox.cli", "ci", "--junit", "report.xml"], stdout=out,
        )  # fmt: skip
        eventually(lambda: "data " in Path("out").read_text(), "the data is there")
        process.send_signal(how)
        assert process.wait(60) == status
    assert ElementTree.parse("report.xml").getroot().get("tests") == "2"
    assert (
        os.environ["TMPDIR"]
        not in subprocess.run(
            ["ps", "-eo", "args"], capture_output=True, text=True, check=True
        ).stdout
    )
