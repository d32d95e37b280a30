"""Jobs that read and write by S3: `s3: true` inputs and `s3_out`, by user code with plain HTTP."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.errors import InvalidArgument
from tests.boxes import RealBox

PYTHON = "/usr/bin/python3" if os.geteuid() else sys.executable

HTTP = """
import os, re, sys, urllib.error, urllib.request
END = os.environ["S3_ENDPOINT"]
assert os.environ["AWS_ENDPOINT_URL_S3"] == END
assert os.environ["AWS_ACCESS_KEY_ID"] == os.environ["AWS_SECRET_ACCESS_KEY"] != ""
def ask(method, path, data=None, **headers):
    request = urllib.request.Request(END + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
def good(*args, **more):
    code, text = ask(*args, **more)
    assert 200 <= code < 300, (args, code, text)
    return text
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    made = RealBox(tmp_path_factory.mktemp("box") / "home").start()
    yield made
    made.stop()


def pipeline(box: RealBox, name: str, given: Any, code: str, **more: Any) -> str:
    """Create it and wait for its first job; returns the job's state."""
    spec = {
        "pipeline": {"name": name},
        "input": given,
        "transform": {"cmd": [PYTHON, "-c", HTTP + code]},
        "datum_tries": 1,
        **more,
    }
    box.client.create_pipelines(json.dumps(spec))
    return latest(box, name)


def latest(box: RealBox, name: str) -> str:
    (job,) = list(box.client.list_job(name))[:1]
    done = box.client.wait_job(f"{name}@{job.id}")
    print(done.reason, box.cli("logs", "-p", name, check=False))  # shown when a test fails
    return done.state


def s3_input(repo: str, **more: Any) -> dict[str, Any]:
    return {"pfs": {"repo": repo, "glob": "/", "s3": True, **more}}


def files(box: RealBox, name: str) -> dict[str, bytes]:
    found = box.client.walk_file(f"{name}@master:/")
    return {f.path: box.client.get_file(f"{name}@master:{f.path}") for f in found if not f.is_dir}


def test_a_job_reads_its_commit_and_writes_its_output_by_s3(box: RealBox) -> None:
    box.client.create_repo("books")
    with box.client.put("books@master") as put:
        put.data("/a.txt", b"one two")
        put.data("/sub/b.txt", b"three")
    code = """
text = good("GET", "/")
assert sorted(re.findall("<Name>(.*?)</Name>", text)) == ["in", "out"], text
keys = re.findall("<Key>(.*?)</Key>", good("GET", "/in?list-type=2"))
assert keys == ["a.txt", "sub/b.txt"], keys
assert not os.path.exists("/pfs/in") and "in" not in os.environ and os.environ["in_COMMIT"]
for key in keys:
    good("PUT", "/out/upper/" + key, good("GET", "/in/" + key).upper().encode())
good("PUT", "/out/gone", b"x"); good("DELETE", "/out/gone")
assert ask("PUT", "/in/new", b"x")[0] >= 400
assert ask("DELETE", "/in/a.txt")[0] >= 400
assert ask("GET", "/out/upper/a.txt")[0] == 404
assert "<Key>" not in good("GET", "/out")
assert ask("PUT", "/other")[0] == 501 and ask("DELETE", "/out")[0] == 501
assert ask("GET", "/nosuch/x")[0] == 404
assert "Enabled" not in good("GET", "/out?versioning")
assert ask("GET", "/api/pfs_v2.API/ListRepo")[0] == 404
"""
    state = pipeline(box, "upper", s3_input("books", name="in"), code, s3_out=True)
    assert state == "JOB_SUCCESS"
    assert files(box, "upper") == {"/upper/a.txt": b"ONE TWO", "/upper/sub/b.txt": b"THREE"}


def test_a_job_of_s3_input_alone_writes_files_and_is_skipped_when_nothing_changed(
    box: RealBox,
) -> None:
    box.client.create_repo("numbers")
    box.client.put_file("numbers@master:/n", b"7")
    code = """
with open("/pfs/out/n", "w") as f:
    f.write(str(int(good("GET", "/numbers/n")) * 2))
assert "out" not in re.findall("<Name>(.*?)</Name>", good("GET", "/"))
"""
    assert pipeline(box, "double", s3_input("numbers"), code) == "JOB_SUCCESS"
    assert files(box, "double") == {"/n": b"14"}
    box.client.put_file("numbers@master:/n", b"7")
    assert latest(box, "double") == "JOB_SUCCESS"
    (job, *_) = box.client.list_job("double")
    assert (job.processed, job.skipped) == (0, 1)


def test_datums_of_a_cross_write_side_by_side_and_in_parts(box: RealBox) -> None:
    """Each datum has an ``out`` of its own; an object of several parts is one file."""
    box.client.create_repo("model")
    box.client.create_repo("images")
    box.client.put_file("model@master:/w", b"W")
    with box.client.put("images@master") as put:
        for i in range(4):
            put.data(f"/{i}", f"image {i}".encode())
    code = """
import glob
(mine,) = [os.path.basename(p) for p in glob.glob("/pfs/images/*")]
body = (good("GET", "/model/w") + mine).encode()
good("PUT", "/out/small/" + mine, body)
start = good("POST", "/out/big/" + mine + "?uploads", b"")
id = re.search("<UploadId>(.*?)</UploadId>", start)[1]
part = bytes([65 + int(mine)]) * (5 << 20)
for number in (2, 1):
    body = part if number == 1 else b"end"
    good("PUT", f"/out/big/{mine}?partNumber={number}&uploadId={id}", body)
listed = good("GET", f"/out/big/{mine}?uploadId={id}")
tags = re.findall("<ETag>(.*?)</ETag>", listed)
parts = "".join(
    f"<Part><PartNumber>{n}</PartNumber><ETag>{t}</ETag></Part>" for n, t in enumerate(tags, 1)
)
good("POST", f"/out/big/{mine}?uploadId={id}",
     f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode())
good("POST", "/out/never?uploads", b"")
"""
    given = {"cross": [s3_input("model"), {"pfs": {"repo": "images", "glob": "/*"}}]}
    state = pipeline(box, "infer", given, code, s3_out=True, parallelism_spec={"constant": 2})
    assert state == "JOB_SUCCESS"
    found = {f.path: f.size_bytes for f in box.client.walk_file("infer@master:/") if not f.is_dir}
    assert found == {f"/small/{i}": 2 for i in range(4)} | {
        f"/big/{i}": (5 << 20) + 3 for i in range(4)
    }
    assert box.client.get_file("infer@master:/big/2") == b"C" * (5 << 20) + b"end"
    assert box.client.get_file("infer@master:/small/3") == b"W3"
    box.client.run_pipeline("infer")  # never skipped
    assert latest(box, "infer") == "JOB_SUCCESS"
    (job, *_) = box.client.list_job("infer")
    assert (job.processed, job.skipped) == (4, 0)


def test_output_of_a_datum_that_fails_is_not_kept_and_pfs_out_is_refused(box: RealBox) -> None:
    box.client.create_repo("few")
    box.client.put_file("few@master:/x", b"x")
    code = 'good("PUT", "/out/x", b"x")\nsys.exit(3)\n'
    assert pipeline(box, "fails", s3_input("few"), code, s3_out=True) == "JOB_FAILURE"
    assert files(box, "fails") == {}
    code = 'open("/pfs/out/y", "w").write("y")\n'
    assert pipeline(box, "both", s3_input("few"), code, s3_out=True) == "JOB_FAILURE"
    (job,) = box.client.list_job("both")
    assert "the pipeline has s3_out, and /y was written to /pfs/out" in job.reason


def test_what_does_not_go_together_is_refused(box: RealBox) -> None:
    box.client.create_repo("plain")
    for given, message in (
        ({"pfs": {"repo": "plain", "glob": "/*", "s3": True}}, "must have the glob /"),
        ({"join": [s3_input("plain", join_on="x")]}, "may not be in a join"),
        (s3_input("plain", empty_files=True), "does not go with s3"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            pipeline(box, "never", given, "")


def test_a_box_with_a_token_gives_each_datum_a_secret_of_its_own(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home", settings='token = "t0ken"\n').start()
    try:
        box.client.create_repo("shut")
        box.client.put_file("shut@master:/x", b"x")
        code = """
assert os.environ["AWS_ACCESS_KEY_ID"] not in ("t0ken", "default")
assert ask("GET", "/shut/x")[0] == 403
key = os.environ["AWS_ACCESS_KEY_ID"]
assert good("GET", "/shut/x", Authorization="Bearer " + key) == "x"
"""
        assert pipeline(box, "keyed", s3_input("shut"), code) == "JOB_SUCCESS"
    finally:
        box.stop()
