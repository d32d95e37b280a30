"""Retention on a real box: rules by the command line, what goes by them, and what follows."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.boxes import RealBox, eventually
from tests.s3 import S3

FAST = "retention_interval_s = 1\n"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box that looks for old commits every second."""
    box = RealBox(tmp_path_factory.mktemp("kept") / "home", settings=FAST).start()
    yield box
    box.stop()


def count(box: RealBox, repo: str) -> int:
    return len(list(box.client.list_commit(repo)))


def jobs_end(box: RealBox) -> None:
    eventually(lambda: all(j.done for j in box.client.list_job()), "the jobs end")
    assert [
        (str(j), j.state, j.reason) for j in box.client.list_job() if j.state != "JOB_SUCCESS"
    ] == []


def test_a_pipeline_goes_on_over_a_history_that_is_cut(kept: RealBox, tmp_path: Path) -> None:
    """Input and output keep what the rules say, the heads are whole, unchanged datums are still
    skipped, `all` protects; all of it is told by inspect, list, events and metrics."""
    c = kept.client
    runs = tmp_path / "runs"
    runs.mkdir()
    c.create_repo("events")
    kept.cli("create", "branch", "events@master")
    for name in ("copy", "archive"):
        spec = {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "copy" if name == "archive" else "events", "glob": "/*"}},
            "transform": {
                "cmd": ["sh"],
                "stdin": [
                    "touch $RUNS/$(cat /proc/sys/kernel/random/uuid)",
                    "cp /pfs/[ec]*/* /pfs/out",
                ],
                "env": {"RUNS": str(runs)},
            },
        }
        c.create_pipelines(json.dumps(spec))
    kept.cli("update", "branch", "events@master", "--keep", "keep last 3")
    for i in range(8):
        c.put_file(f"events@master:/{i}", b"%d" % i)
    jobs_end(kept)
    eventually(lambda: count(kept, "events") == 3, "the input is cut")
    eventually(lambda: count(kept, "copy") == count(kept, "archive") == 3, "the outputs too")
    for repo in ("events", "copy", "archive"):
        for i in range(8):
            assert c.get_file(f"{repo}@master:/{i}") == b"%d" % i
    before = len(list(runs.iterdir()))
    c.put_file("events@master:/8", b"8")
    jobs_end(kept)
    assert len(list(c.list_file("archive@master:/"))) == 9
    assert len(list(runs.iterdir())) == before + 2  # the others were skipped

    kept.cli("update", "branch", "archive@master", "--keep", "ALL")
    for i in range(9, 13):
        c.put_file(f"events@master:/{i}", b"")
    jobs_end(kept)
    assert len(list(c.list_file("archive@master:/"))) == 13
    squashed = squashes(kept)
    c.create_repo("other")
    c.put_file("other@master:/x", b"")  # something has come, so there is a look
    eventually(lambda: looked(kept) > squashed[1], "retention looks again")
    assert count(kept, "archive") >= 6
    assert count(kept, "events") >= 6  # what they were made from
    kept.cli("update", "branch", "archive@master", "--keep", "off")
    kept.cli("update", "branch", "archive@master", "--keep", "off")
    eventually(lambda: count(kept, "archive") == count(kept, "events") == 3, "nothing holds them")
    assert squashes(kept)[0] >= 10 * 3

    assert "last 3" in kept.cli("inspect", "branch", "events@master")
    (raw,) = kept.cli("list", "branch", "events", "--raw").splitlines()
    assert json.loads(raw)["metadata"] == {"retention": "last 3"}
    told = [e for e in c.events(kinds=["branch.squashed"]) if e.data["repo"] == "events"]
    assert sum(int(e.data["commits"]) for e in told) == 10
    assert "0 errors" in kept.cli("fsck")


def squashes(box: RealBox) -> tuple[float, float]:
    with urllib.request.urlopen(f"{box.client.status().address}/metrics") as answer:
        page = answer.read().decode()
    values = dict(re.findall(r"pachybox_retention_(\w+)_total (\S+)", page))
    return float(values["squashed"]), float(values["seconds"])


def looked(box: RealBox) -> float:
    return squashes(box)[1]


def test_space_comes_back_and_a_kill_leaves_whole_commits(tmp_path: Path) -> None:
    """What only squashed commits held is freed without being asked for; a box that is killed
    while it squashes goes on when it is started."""
    box = RealBox(tmp_path / "home", settings=FAST).start()
    c = box.client
    c.create_repo("big")
    kept = [c.put_file("big@master:/same", bytes([i]) * (9 << 20)).commit for i in range(10)][-1:]
    for i in range(250):
        c.put_file(f"big@small:/{i % 3}", b"%d" % i)
    box.cli("update", "branch", "big@small", "--keep", "last 5, for 1s")
    eventually(lambda: len(list(c.list_commit("big"))) < 260, "squashing has begun")
    box.kill()
    box.start()
    eventually(lambda: len(list(box.client.list_commit("big"))) == 15, "it goes on")
    full = box.client.status().store_bytes
    box.cli("update", "branch", "big@master", "--keep", "under 10MB")
    eventually(lambda: box.client.status().store_bytes < full / 2, "space comes back")
    ids = [x.id for x in box.client.list_commit("big") if x.branch == "master"]
    assert ids == kept
    assert box.client.get_file("big@master:/same") == bytes([9]) * (9 << 20)
    box.cli("update", "branch", "big@master", "--keep", "under 1MB")
    eventually(lambda: "newest commit alone" in box.cli("status"), "status tells of it")
    assert "0 errors" in box.cli("fsck")
    box.stop()


def test_what_pipelines_made_of_squashed_commits_is_freed(kept: RealBox) -> None:
    """Content that each commit replaces, and what a pipeline made of it; what is used is still
    there, and known: the same datum is not run again."""
    c = kept.client
    c.create_repo("noise")
    c.create_branch("noise@master")
    spec = {
        "pipeline": {"name": "doubled"},
        "input": {"pfs": {"repo": "noise", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": ["for f in /pfs/noise/*; do",
                              "cat $f $f > /pfs/out/$(basename $f); done"]},
    }  # fmt: skip
    c.create_pipelines(json.dumps(spec))
    c.put_file("noise@master:/stays", b"stays")
    for _ in range(8):
        noise = os.urandom(1 << 20)
        c.put_file("noise@master:/replaced", noise)
    jobs_end(kept)
    c.collect_garbage()
    full = c.status().store_bytes
    kept.cli("update", "branch", "noise@master", "--keep", "last 1")
    eventually(lambda: count(kept, "noise") == count(kept, "doubled") == 1, "it is cut")
    c.collect_garbage()
    freed = full - c.status().store_bytes
    assert freed > 7 * (3 << 20) * 0.95
    assert c.get_file("doubled@master:/replaced") == noise * 2
    c.put_file("noise@master:/more", b"")
    jobs_end(kept)
    (newest, *_) = c.list_job("doubled")
    assert (newest.processed, newest.skipped) == (1, 2)
    assert c.get_file("doubled@master:/stays") == b"staysstays"


def test_versions_of_objects_are_those_of_the_commits_there(kept: RealBox) -> None:
    c = kept.client
    c.create_repo("versioned")
    for i in range(6):
        c.put_file("versioned@master:/a", b"%d" % i)
    with closing(S3.of(c.status().address)) as s3:
        _listed_and_cut(kept, s3)


def _listed_and_cut(kept: RealBox, s3: S3) -> None:
    listed = s3.raw("GET", "/versioned?versions").texts("Version/VersionId")
    assert len(listed) == 6
    kept.cli("update", "branch", "versioned@master", "--keep", "last 2")
    eventually(lambda: count(kept, "versioned") == 2, "it is cut")
    assert s3.raw("GET", "/versioned?versions").texts("Version/VersionId") == listed[:2]


@pytest.mark.parametrize("rules", ["last", "for ever", "under 0", "newest 3", "last 0", ""])
def test_bad_rules_are_refused(kept: RealBox, rules: str) -> None:
    kept.client.create_repo("refused", update=True)
    kept.client.create_branch("refused@master")
    done = kept.run("update", "branch", "refused@master", "--keep", rules)
    assert done.returncode == 1
    assert "write it like" in done.stderr
    assert kept.client.inspect_branch("refused@master").metadata == {}
    edited = kept.run("edit", "metadata", "branch", "refused@master", "add", "retention=" + rules)
    assert edited.returncode == 1
