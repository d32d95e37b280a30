"""Every folder of examples/ does what its README says: its spec, as it stands, on small data."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pachybox.client.pipeline_values import JobInfo
from tests.boxes import RealBox, eventually
from tests.flow.test_pipelines import contents, last_job

pytestmark = pytest.mark.box("shared")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def create(box: RealBox, name: str) -> None:
    """Make the pipelines of an example."""
    path = EXAMPLES / name / f"{name}.yaml"
    _, warnings = box.client.create_pipelines(path.read_text(), source=path.name)
    assert warnings == []


def put(box: RealBox, branch: str, files: Mapping[str, str]) -> str:
    """One commit of so many files; its id."""
    with box.client.put(branch) as one:
        for path, text in files.items():
            one.data(path, text.encode())
    assert one.result is not None
    return one.result.commit


def run(box: RealBox, *pipelines: str) -> list[JobInfo]:
    """The newest job of each pipeline, when it is over; they must succeed."""
    jobs = [last_job(box, pipeline) for pipeline in pipelines]
    for job in jobs:
        assert job.state == "JOB_SUCCESS", job.reason
    return jobs


def counts(job: JobInfo) -> tuple[int, int]:
    """How many datums ran and how many were skipped."""
    assert job.processed + job.skipped + job.recovered == job.total
    return job.processed, job.skipped


def texts(box: RealBox, commit: str) -> dict[str, str]:
    """Every file of a commit, stripped."""
    return {path: text.decode().strip() for path, text in contents(box, commit).items()}


def test_wordcount_counts_only_the_words_of_a_changed_text(box: RealBox) -> None:
    box.client.create_repo("texts")
    create(box, "wordcount")
    id_ = put(box, "texts@master", {"/a": "one fish two fish\n", "/b": "red fish\n"})
    maps, reduces = run(box, "map", "reduce")
    assert (maps.id, reduces.id) == (id_, id_)
    assert texts(box, "map@master")["/fish/a"] == "2"
    assert texts(box, "reduce@master") == {"/one": "1", "/two": "1", "/red": "1", "/fish": "3"}
    put(box, "texts@master", {"/b": "blue fish\n"})
    maps, reduces = run(box, "map", "reduce")
    assert counts(maps) == (1, 1)
    assert texts(box, "reduce@master") == {"/one": "1", "/two": "1", "/blue": "1", "/fish": "3"}
    assert counts(reduces) == (1, 3), "fish, of which nothing changed, is not counted again"


def test_photos_become_edges_and_a_montage_of_which_only_what_is_new_is_made(
    tmp_path: Path,
) -> None:
    """The demo checks itself; it is run where its pictures are in nobody's way."""
    folder = tmp_path / "examples" / "photos"
    shutil.copytree(EXAMPLES / "photos", folder)
    done = subprocess.run(
        [sys.executable, str(folder / "demo.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 datum ran, 5 were skipped" in done.stdout
    first, second = (tmp_path / ".demo" / f"montage-{n}.png" for n in (1, 2))
    assert first.read_bytes() != second.read_bytes()


def test_words_has_its_totals(box: RealBox) -> None:
    box.client.create_repo("texts")
    path = EXAMPLES / "words" / "words.yaml"
    box.client.create_pipelines(path.read_text())
    put(box, "texts@master", {"/a": "one fish two fish\n", "/b": "red fish\n"})
    run(box, "words", "total")
    assert texts(box, "total@master")["/total"].splitlines()[0] == "3 fish"


def test_join_makes_a_datum_of_each_pair_and_an_outer_join_of_what_is_alone(box: RealBox) -> None:
    for repo in ("orders", "customers"):
        box.client.create_repo(repo)
    create(box, "join")
    put(box, "customers@master", {"/C1.txt": "Ada", "/C2.txt": "Bob", "/C3.txt": "Cy"})
    put(box, "orders@master", {"/C1-7": "10", "/C1-8": "20", "/C3-9": "5", "/C4-1": "99"})
    bills, letters = run(box, "bills", "letters")
    wanted = {"/C1-7": "Ada owes 10", "/C1-8": "Ada owes 20", "/C3-9": "Cy owes 5"}
    assert texts(box, "bills@master") == wanted
    assert texts(box, "letters@master") == {"/C2.txt": "Dear Bob,"}
    assert bills.total == 3, "the order of a customer that is not known makes no datum"
    assert letters.total == 4
    put(box, "customers@master", {"/C1.txt": "Ann", "/C4.txt": "Di"})
    bills, letters = run(box, "bills", "letters")
    assert counts(bills) == (3, 1), "Ann's two pairs, Di's, not Cy's"
    assert texts(box, "bills@master")["/C1-8"] == "Ann owes 20"
    assert texts(box, "bills@master")["/C4-1"] == "Di owes 99"
    box.client.delete_file("orders@master:/C1-7")
    box.client.delete_file("orders@master:/C1-8")
    run(box, "bills", "letters")
    assert sorted(texts(box, "bills@master")) == ["/C3-9", "/C4-1"]
    assert texts(box, "letters@master") == {"/C2.txt": "Dear Bob,", "/C1.txt": "Dear Ann,"}


def test_group_has_everything_of_a_key_in_one_datum(box: RealBox) -> None:
    for repo in ("scans", "notes"):
        box.client.create_repo(repo)
    create(box, "group")
    put(box, "notes@master", {"/P1.txt": "n1 ", "/P2.txt": "n2 "})
    put(box, "scans@master", {"/P1-1": "s1 ", "/P1-2": "s2 ", "/P3-1": "s3 "})
    (job,) = run(box, "patients")
    assert texts(box, "patients@master") == {"/P1": "n1 s1 s2", "/P2": "n2", "/P3": "s3"}
    datums = {len(d.inputs) for d in box.client.list_datum(str(job))}
    assert datums == {3, 1}
    put(box, "scans@master", {"/P1-3": "s4"})
    (job,) = run(box, "patients")
    assert counts(job) == (1, 2)
    assert texts(box, "patients@master")["/P1"] == "n1 s1 s2 s4"


def test_windows_are_crossed_with_days_and_only_those_of_a_new_day_run(box: RealBox) -> None:
    for repo in ("days", "windows"):
        box.client.create_repo(repo)
    create(box, "windows")
    put(box, "windows@master", {"/w1": "2026-11-01 2026-11-03\n", "/w2": "2026-11-03 2026-11-04\n"})
    days = {f"/2026-11-0{day}": f"{day}\n" for day in range(1, 5)}
    put(box, "days@master", days)
    windowed, _ = run(box, "windowed", "sums")
    assert windowed.total == 8
    inside = {f"/w1/2026-11-0{d}" for d in (1, 2, 3)} | {f"/w2/2026-11-0{d}" for d in (3, 4)}
    assert set(contents(box, "windowed@master")) == inside
    assert texts(box, "sums@master") == {"/w1": "6", "/w2": "7"}
    put(box, "days@master", {"/2026-11-04": "40\n", "/2026-11-05": "5\n"})
    windowed, sums = run(box, "windowed", "sums")
    assert counts(windowed) == (4, 6), "two days with two windows each"
    assert counts(sums) == (1, 1)
    assert texts(box, "sums@master") == {"/w1": "6", "/w2": "43"}


def test_a_grid_is_every_combination_and_a_new_value_runs_its_own(box: RealBox) -> None:
    for repo in ("points", "slopes", "offsets"):
        box.client.create_repo(repo)
    create(box, "grid")
    put(box, "points@master", {"/a": "1 3\n2 5\n", "/b": "3 7\n"})
    put(box, "slopes@master", {"/1": "1", "/2": "2", "/3": "3"})
    put(box, "offsets@master", {"/0": "0", "/1": "1"})
    fits, _ = run(box, "fits", "best")
    assert fits.total == 6
    assert texts(box, "best@master") == {"/best": "0 2 1"}
    put(box, "slopes@master", {"/4": "4"})
    fits, best = run(box, "fits", "best")
    assert counts(fits) == (2, 6)
    assert counts(best) == (1, 0)
    put(box, "points@master", {"/b": "3 3\n"})
    fits, _ = run(box, "fits", "best")
    assert counts(fits) == (8, 0), "the points are in every combination"


def test_a_union_has_the_datums_of_both_under_one_name(box: RealBox) -> None:
    for repo in ("east", "west"):
        box.client.create_repo(repo)
    create(box, "union")
    put(box, "east@master", {"/e1": "1\n2\n"})
    (job,) = run(box, "totals")
    assert job.total == 1, "a repo without a commit has no datums"
    put(box, "west@master", {"/w1": "3\n", "/w2": "4\n"})
    (job,) = run(box, "totals")
    assert counts(job) == (2, 1)
    assert texts(box, "totals@master") == {"/e1": "3", "/w1": "3", "/w2": "4"}


def test_a_release_is_a_branch_that_moves(box: RealBox) -> None:
    """What was committed in between is in no job; the trigger counts commits and sizes."""
    c = box.client
    c.create_repo("pages")
    c.create_branch("pages@staging")
    create(box, "release")
    for number in (1, 2):
        put(box, "pages@staging", {"/index": f"{number}"})
    assert list(c.list_job()) == []
    released = c.inspect_commit("pages@staging").id
    c.create_branch("pages@master", head="staging")
    (site,) = run(box, "site")
    assert texts(box, "site@master") == {"/site": "2"}
    commit = c.inspect_commit(f"site@{site.id}")
    assert f"pages@{released}" in commit.direct_provenance
    third = put(box, "pages@staging", {"/index": "3"})
    (preview,) = run(box, "preview")
    assert texts(box, "preview@master") == {"/site": "3"}
    assert f"pages@{third}" in c.inspect_commit(str(preview)).direct_provenance
    put(box, "pages@staging", {"/index": "4"})
    large = put(box, "pages@staging", {"/other": "x" * 120_000})
    eventually(lambda: len(list(c.list_job("preview"))) == 2, "the size fires before the count")
    (preview,) = run(box, "preview")
    assert f"pages@{large}" in c.inspect_commit(str(preview)).direct_provenance
    assert len(list(c.list_job("site"))) == 1


def test_what_err_cmd_recovers_is_left_out_and_tried_again(box: RealBox) -> None:
    c = box.client
    c.create_repo("readings")
    create(box, "recover")
    put(box, "readings@master", {"/r1": "4\n", "/r2": "four\n"})
    (job,) = run(box, "doubled")
    assert (job.processed, job.recovered, job.failed, job.total) == (1, 1, 0, 2)
    assert texts(box, "doubled@master") == {"/r1": "8"}
    (datum,) = c.list_datum(str(job), states=["RECOVERED"])
    said = [line.message for line in c.logs(job=str(job), datum=datum.id)]
    assert said == ["not a number, four"] * 2 + ["skipping r2"]
    put(box, "readings@master", {"/r3": "5\n"})
    (job,) = run(box, "doubled")
    assert (job.processed, job.skipped, job.recovered) == (1, 1, 1), "it is tried again"
    put(box, "readings@master", {"/r2": "6\n"})
    (job,) = run(box, "doubled")
    assert counts(job) == (1, 2)
    assert texts(box, "doubled@master") == {"/r1": "8", "/r2": "12", "/r3": "10"}


def test_source_is_built_and_run(box: RealBox) -> None:
    box.client.create_repo("texts")
    put(box, "texts@master", {"/a": "one fish two fish\n"})
    for name in ("python", "shell"):
        box.cli("create", "pipeline", "-f", str(EXAMPLES / "source" / f"{name}.yaml"))
    run(box, "titles", "shifted")
    assert texts(box, "titles@master") == {"/a": "One Fish Two Fish"}
    assert texts(box, "shifted@master") == {"/a": "bar svfu gjb svfu"}
