"""Tokens that are bound to repos: every way around them."""

from __future__ import annotations

import base64
import hmac
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import grpc
import pytest

from pachybox.errors import NotFound, PachyboxError
from tests.boxes import RealBox, eventually
from tests.flow.houses import House, branch, code, commit, denied, done, file, opened, spec
from tests.rpc import failure
from tests.s3 import S3, Signer

NAMES = ("hidden", "watcher")
"""What bound tokens must never hear of."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """``mine`` is what bound tokens may see; pipeline ``watcher`` reads ``hidden``, ``copy`` reads
    ``mine``, ``mixed`` reads both."""
    box = RealBox(tmp_path_factory.mktemp("bound") / "home").start()
    owner = box.client
    for repo in ("mine", "hidden"):
        owner.create_repo(repo)
        owner.put_file(f"{repo}@master:/f", f"content of {repo}".encode())
    for name, reads in (("copy", "mine"), ("watcher", "hidden")):
        owner.create_pipelines(spec(name, reads))
    both = {"cross": [spec("", "mine")["input"], spec("", "hidden")["input"]]}
    owner.create_pipelines({**spec("mixed", "mine"), "input": both})
    for name in ("copy", "watcher", "mixed"):
        eventually(lambda n=name: done(owner, n), f"{name} has run")  # type: ignore[misc]
    made = opened(box)
    yield made
    made.close()


READS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "pfs_v2.API/InspectRepo": lambda r: {"repo": {"name": r}},
    "pfs_v2.API/InspectBranch": lambda r: branch(r),
    "pfs_v2.API/ListBranch": lambda r: {"repo": {"name": r}},
    "pfs_v2.API/InspectCommit": commit,
    "pfs_v2.API/ListCommit": lambda r: {"repo": {"name": r}},
    "pfs_v2.API/FindCommits": lambda r: {"start": branch(r), "file_path": "/f"},
    "pfs_v2.API/GetFile": file,
    "pfs_v2.API/GetFileTAR": file,
    "pfs_v2.API/InspectFile": file,
    "pfs_v2.API/ListFile": file,
    "pfs_v2.API/WalkFile": file,
    "pfs_v2.API/GlobFile": lambda r: {**commit(r), "pattern": "/**"},
    "pfs_v2.API/DiffFile": lambda r: {"new_file": file(r)["file"]},
    "pfs_v2.API/GetFileSet": commit,
    "pfs_v2.API/WalkBranchSubvenance": lambda r: {
        "start": [{"name": {"repo": {"name": {"name": r}}, "name": "master"}}]
    },
    "pfs_v2.API/WalkCommitSubvenance": lambda r: {
        "start": [{"branch_head": {"name": {"repo": {"name": {"name": r}}, "name": "master"}}}]
    },
    "pachybox.v1.API/ListHistory": lambda r: {"repo": r, "ref": "master", "path": "/f"},
    "pachybox.v1.API/ResolveCommit": lambda r: {"repo": r, "ref": "master"},
    "pachybox.v1.API/DiffFile": lambda r: {"new_file": file(r)["file"]},
    "pachybox.v1.API/PageFile": lambda r: {"file": {"commit": branch(r), "path": "/"}},
    "pachybox.v1.API/PageCommit": lambda r: {"repo": {"name": r}},
    "pachybox.v1.API/PageDiff": lambda r: {"new_file": {"commit": branch(r), "path": "/"}},
    "pachybox.v1.API/ListRepoUsers": lambda r: {"repo": {"name": r}},
    "pachybox.v1.API/FlushCommit": lambda r: {"commits": [f"{r}@master"]},
    "pps_v2.API/ListDatum": lambda r: {
        "input": {"pfs": {"repo": r, "branch": "master", "glob": "/"}}
    },
    "pps_v2.API/ListJob": lambda r: {"input_commit": [branch(r)]},
}


def test_reads_of_what_is_theirs_and_of_nothing_else(house: House) -> None:
    rpc = house.rpc("bound-reader")
    for method, request in READS.items():
        assert code(rpc, method, **request("mine")) == "OK", method
        answers = {}
        for repo in ("hidden", "nothing-at-all"):
            try:
                rpc(method, **request(repo))
                answers[repo] = "let in"
            except grpc.RpcError as e:
                answers[repo] = str(failure(e)).replace(repo, "REPO")
        assert answers["hidden"] == answers["nothing-at-all"], method  # which of them exists
        assert "PERMISSION_DENIED" in answers["hidden"], method
    told = str([rpc(method, **request("mine")) for method, request in READS.items()])
    assert not any(name in told for name in NAMES)


def test_status_shows_no_figures_that_are_not_told(house: House) -> None:
    box = house.box
    # by the door: who comes by the socket is the owner
    given = {"PACHYBOX_ADDRESS": house.http, "PACHYBOX_TOKEN": house.tokens["bound-reader"]}
    env = {key: value for key, value in box.env.items() if key != "PACHYBOX_HOME"}
    before, box.env = box.env, {**env, **given}
    try:
        shown = box.cli("status")
    finally:
        box.env = before
    assert "Address: " in shown
    assert not [line for line in shown.splitlines() if line.startswith(("Disk", "Repos", "Proc"))]


def test_lists_leave_out_what_is_not_theirs(house: House) -> None:
    rpc = house.rpc("bound-reader")
    lists = ("ListRepo", "ListBranch", "ListCommit", "ListCommitSet", "ListProject")
    told = {name: rpc(f"pfs_v2.API/{name}") for name in lists}
    assert {r.repo.name for r in told["ListRepo"]} == {"mine", "copy", "mixed"}
    assert {c.commit.repo.name for c in told["ListCommit"]} == {"mine", "copy", "mixed"}
    for name in ("ListPipeline", "ListJob", "ListJobSet"):
        told[name] = rpc(f"pps_v2.API/{name}", details=True)
    # mixed reads what is not theirs: its files are seen, its spec and jobs are not
    assert {p.pipeline.name for p in told["ListPipeline"]} == {"copy"}
    assert {j.job.pipeline.name for j in told["ListJob"]} == {"copy"}
    for name in ("GetSummary", "SubscribeEvents", "Status"):
        told[name] = rpc(f"pachybox.v1.API/{name}")
    assert {r.name for r in told["GetSummary"].repos} == {"mine", "copy", "mixed"}
    assert {e.data["repo"] for e in told["SubscribeEvents"] if "repo" in e.data} == {
        *("mine", "copy", "mixed")
    }
    told["InspectCluster"] = rpc("admin_v2.API/InspectCluster")
    told["InspectCommit"] = rpc("pfs_v2.API/InspectCommit", **commit("mixed"))
    told["InspectBranch"] = rpc("pfs_v2.API/InspectBranch", **branch("mixed"))
    assert [c.repo.name for c in told["InspectCommit"].direct_provenance] == ["mine"]
    for name, answer in told.items():
        assert not any(hidden in str(answer) for hidden in NAMES), name
    for method in ("InspectPipeline", "ListJob"):
        for pipeline in ("watcher", "mixed"):
            got = code(rpc, f"pps_v2.API/{method}", pipeline={"name": pipeline})
            assert got == "PERMISSION_DENIED"


def test_jobs_datums_and_logs_of_what_reads_other_repos(house: House) -> None:
    rpc, owner = house.rpc("bound-reader"), house.box.client
    jobs = {name: next(iter(owner.list_job(name))).id for name in ("copy", "mixed")}
    for name, wanted in (("copy", "OK"), ("mixed", "PERMISSION_DENIED")):
        job = {"pipeline": {"name": name}, "id": jobs[name]}
        for method, fields in (
            ("pps_v2.API/InspectJob", {"job": job}),
            ("pps_v2.API/ListDatum", {"job": job}),
            ("pps_v2.API/GetLogs", {"job": job}),
            ("pachybox.v1.API/GetLogs", {"job": job}),
            ("pachybox.v1.API/ReadLog", {"log": {"job": job}}),
            ("pachybox.v1.API/PageDatum", {"job": job}),
            ("pachybox.v1.API/GetTiming", {"job": job}),
            ("pachybox.v1.API/PageJob", {"pipeline": {"name": name}}),
        ):
            assert code(rpc, method, **fields) == wanted, (name, method)
    by_id = {"job": {"id": jobs["mixed"]}}  # a job's pipeline may be left out
    for method in ("pps_v2.API/InspectJob", "pps_v2.API/ListDatum", "pachybox.v1.API/GetTiming"):
        assert code(rpc, method, **by_id) == "PERMISSION_DENIED"
    mine = {"pipeline": {"name": "copy"}}
    assert code(rpc, "pps_v2.API/GetLogs", **mine, **by_id) == "PERMISSION_DENIED"
    assert code(rpc, "pps_v2.API/GetLogs", **mine, master=True) == "PERMISSION_DENIED"
    assert code(rpc, "pps_v2.API/GetLogs") == "PERMISSION_DENIED"
    assert code(rpc, "pps_v2.API/ListJob", jq_filter="error(.)") == "PERMISSION_DENIED"
    for method in ("GetBoxLog", "InspectIngest", "ListImage", "Doctor", "Fsck"):
        assert code(rpc, f"pachybox.v1.API/{method}") == "PERMISSION_DENIED"
    for method in ("logs.API/GetLogs", "pps_v2.API/QueryLoki", "pfs_v2.API/ReposSummary"):
        assert code(rpc, method) == "PERMISSION_DENIED"
    # what a pipeline says of itself stands in repos beside its output
    spec = {"repo": {"name": "mixed", "type": "spec"}}
    assert code(rpc, "pfs_v2.API/ListCommit", **spec) == "PERMISSION_DENIED"


def test_writes_of_what_is_theirs_and_of_nothing_else(house: House) -> None:
    rpc = house.rpc("bound-writer")
    add = {"add_file": {"path": "/w", "raw": {"value": b"w"}}}

    def modify(repo: str, *more: dict[str, Any]) -> str:
        return code(rpc, "pfs_v2.API/ModifyFile", [{"set_commit": branch(repo)}, *more])

    assert modify("mine", add) == "OK"
    assert modify("hidden", add) == "PERMISSION_DENIED"
    stolen = {"copy_file": {"dst": "/got", "src": file("hidden")["file"]}}
    assert modify("mine", stolen) == "PERMISSION_DENIED"
    assert modify("mine", add, stolen) == "PERMISSION_DENIED"
    fetched = {"add_file": {"path": "/u", "url": {"url": "s3://bucket/key"}}}
    assert modify("mine", fetched) == "PERMISSION_DENIED"
    assert code(rpc, "pfs_v2.API/CreateFileSet", [stolen]) == "PERMISSION_DENIED"
    made = rpc("pfs_v2.API/CreateFileSet", [add]).file_set_id
    taken = rpc("pfs_v2.API/GetFileSet", **commit("mine")).file_set_id
    assert made != taken
    for method, fields in (
        ("CreateRepo", {"repo": {"name": "other"}}),
        ("CreateBranch", {**branch("mine", "b"), "provenance": [branch("hidden")["branch"]]}),
        ("CreateBranch", {**branch("mine", "b"), "head": branch("hidden")}),
        ("DeleteBranch", {**branch("mine"), "force": True}),
        ("DeleteRepo", {"repo": {"name": "mine"}}),
        ("AddFileSet", {**commit("hidden"), "file_set_id": made}),
        ("DropCommit", {**commit("mine"), "recursive": True}),
        ("DropCommitSet", {"commit_set": {"id": "0" * 32}}),
        ("Egress", commit("mine")),
        ("GetCache", {"key": "k"}),
        ("CreateProject", {"project": {"name": "p"}}),
    ):
        assert code(rpc, f"pfs_v2.API/{method}", **fields) == "PERMISSION_DENIED", method
    assert code(rpc, "pfs_v2.API/CreateRepo", repo={"name": "new"}) == "OK"
    assert code(rpc, "pfs_v2.API/CreateBranch", **branch("new", "b")) == "OK"
    for kind, target in (("cluster", {}), ("project", {"name": "default"})):
        edit = {kind: target, "add_key": {"key": "k", "value": "v"}}
        assert code(rpc, "metadata.API/EditMetadata", edits=[edit]) == "PERMISSION_DENIED"
    client = house.client("bound-writer")
    assert "writer on the whole box" in denied(lambda: client.create_pipelines(spec("x", "mine")))
    admin = house.rpc("bound-admin")
    assert code(admin, "pfs_v2.API/CreateRepo", repo={"name": "gone"}) == "OK"
    assert code(admin, "pfs_v2.API/DeleteRepo", repo={"name": "gone"}) == "OK"
    assert code(admin, "pachybox.v1.API/CreateToken", name="t", role="admin") == "PERMISSION_DENIED"


def test_errors_do_not_tell_names(house: House) -> None:
    client = house.client("bound-admin")
    with pytest.raises(PachyboxError) as caught:
        client.delete_repo("mine")  # which mixed and copy read
    assert not any(name in str(caught.value) for name in NAMES)
    for name in ("hidden", "nothing-at-all"):  # of what they say themselves they hear again
        with pytest.raises(NotFound, match=name):
            client.inspect_branch(f"mine@{name}")


def test_files_pages_and_archives(house: House) -> None:
    reader, writer = house.client("bound-reader"), house.client("bound-writer")
    assert reader.get_file("mine@master:/f") == b"content of mine"
    denied(lambda: reader.get_file("hidden@master:/f"))
    denied(lambda: reader.put_file("mine@master:/x", b"x"))
    denied(lambda: writer.put_file("hidden@master:/x", b"x"))
    denied(lambda: writer.copy_file("hidden@master:/f", "mine@master:/stolen"))
    denied(lambda: writer.put_url("mine@master:/u", "s3://bucket/key"))
    for repo in ("hidden", "default/hidden", "hidden.user", "none"):
        query = f"/files/get?repo={quote(repo, safe='')}&ref=master"
        assert house.page(query, "bound-reader")[0] == 403, repo
        assert (
            house.page(f"/pfs/default/{repo.replace('/', '%2F')}/master/f", "bound-reader")[0]
            == 403
        )
    assert house.page("/pfs/default/mine/master/f", "bound-reader") == (200, b"content of mine")
    status, body = house.page("/metrics", "bound-reader")
    assert status == 403
    assert not any(name.encode() in body for name in NAMES)
    assert house.page("/metrics", "reader")[0] == 200


def test_s3(house: House) -> None:
    bound, reader = house.s3("bound-writer"), house.s3("reader")
    names = bound("GET", "/").texts("Buckets/Bucket/Name")
    assert {name.partition(".")[2] for name in names} <= {"mine", "copy", "mixed", "new"}
    assert bound("GET", "/master.mine/f").body == b"content of mine"
    assert bound("PUT", "/master.mine/s3", b"1").status == 200
    for bucket in ("master.hidden", "hidden", "master.none", "other.hidden", "x.master.hidden"):
        for method, path, body in (
            *(("GET", "/f", b""), ("HEAD", "/f", b""), ("PUT", "/f", b"x"), ("DELETE", "/f", b"")),
            *(("GET", "", b""), ("PUT", "", b""), ("DELETE", "", b"")),
        ):
            answer = bound(method, f"/{bucket}{path}", body)
            assert answer.status in (400, 403), (method, bucket, path, answer.status)
            assert answer.code in ("", "AccessDenied", "InvalidBucketName")
    stolen = {"x_amz_copy_source": "/master.hidden/f"}
    assert bound("PUT", "/master.mine/stolen", **stolen).code == "AccessDenied"
    upload = bound("POST", "/master.mine/big", query=[("uploads", "")]).texts("UploadId")[0]
    part = [("partNumber", "1"), ("uploadId", upload)]
    assert bound("PUT", "/master.mine/big", query=part, **stolen).code == "AccessDenied"
    assert bound("PUT", "/master.mine/big", b"p", query=part).status == 200
    for path in ("/master.hidden/big", "/hidden/big"):
        assert bound("PUT", path, b"p", query=part).code == "AccessDenied"
    assert reader("GET", "/master.hidden/f").status == 200
    for method, path in (("PUT", "/master.mine/r"), ("DELETE", "/master.mine/f"), ("PUT", "/made")):
        assert reader(method, path, b"x" if method == "PUT" else b"").code == "AccessDenied"
    assert house.s3("writer")("DELETE", "/master.mine").code == "AccessDenied"
    # by name, as it was made for S3; others are not known by theirs
    by_name = bound.by("bound-writer", house.tokens["bound-writer"])
    assert by_name("GET", "/master.mine/f").status == 200
    assert by_name("GET", "/master.hidden/f").code == "AccessDenied"
    assert bound.by("reader", house.tokens["reader"])("GET", "/").code == "InvalidAccessKeyId"


def test_zips_hold_what_is_theirs(house: House) -> None:
    client, reader = house.client("admin"), house.tokens["bound-reader"]
    url = client.archive_url("mine@master:/f", "hidden@master:/f", "none@master:/f")
    status, body = house.page(url.removeprefix(house.http), reader)
    assert status == 200
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        names = [n for n in archive.namelist() if n != "@error.txt"]
        errors = archive.read("@error.txt").decode()
        assert len(names) == 1
        assert archive.read(names[0]) == b"content of mine"
    said = [line.replace("none", "hidden") for line in errors.splitlines()]
    assert len(said) == 2
    assert said[0].partition(": ")[2] == said[1].partition(": ")[2]  # which of them exists
    assert "content of hidden" not in body.decode("latin-1")


def test_datums_of_inputs(house: House) -> None:
    rpc = house.rpc("bound-reader")

    def create(repo: str, *behind: dict[str, Any]) -> str:
        start = {"start": {"input": {"pfs": {"repo": repo, "branch": "master", "glob": "/"}}}}
        return code(rpc, "pps_v2.API/CreateDatum", [start, *behind])

    assert create("mine", {"continue": {}}) == "OK"
    assert create("hidden") == "PERMISSION_DENIED"
    both = {"cross": [{"pfs": {"repo": r, "glob": "/"}} for r in ("mine", "hidden")]}
    assert code(rpc, "pps_v2.API/CreateDatum", [{"start": {"input": both}}]) == "PERMISSION_DENIED"
    assert code(rpc, "pps_v2.API/CreateDatum", [{"continue": {}}]) == "PERMISSION_DENIED"
    text = json.dumps(spec("p", "hidden"))
    for method in ("PreviewInput", "CheckSpec", "ValidatePipelines", "DiffPipelines", "RunTrial"):
        assert code(rpc, f"pachybox.v1.API/{method}", text=text) == "PERMISSION_DENIED", method


def test_projects_are_hidden_with_their_repos(house: House) -> None:
    house.box.client.create_project("apart")
    rpc = house.rpc("bound-reader")
    answers = set()
    for project in ("apart", "none"):
        for method in ("pfs_v2.API/InspectProject", "admin_v2.API/InspectCluster"):
            field = "project" if "Project" in method else "current_project"
            assert code(rpc, method, **{field: {"name": project}}) == "PERMISSION_DENIED"
        with pytest.raises(grpc.RpcError) as caught:
            rpc("pfs_v2.API/ListCommitSet", project={"name": project})
        answers.add(failure(caught.value)[1].replace(project, "P"))
    assert len(answers) == 1
    assert [p.project.name for p in rpc("pfs_v2.API/ListProject")] == ["default"]


def test_presigned_addresses_hosts_and_forms(house: House) -> None:
    bound = house.s3("bound-writer")
    signer, host = (
        Signer("bound-writer", house.tokens["bound-writer"]),
        f"{bound.host}:{bound.port}",
    )

    def presigned(method: str, path: str, by: Signer = signer) -> str:
        pairs = by.presigned(method, path, [], host)
        return f"{path}?" + "&".join(f"{quote(n)}={quote(v, safe='')}" for n, v in pairs)

    assert bound.anyone.raw("GET", presigned("GET", "/master.mine/f")).body == b"content of mine"
    for path in ("/master.hidden/f", "/master.none/f"):
        assert bound.anyone.raw("GET", presigned("GET", path)).code == "AccessDenied"
        assert bound.anyone.raw("PUT", presigned("PUT", path), b"x").code == "AccessDenied"
    for bucket, status in (("master.mine", 200), ("master.hidden", 403), ("master.none", 403)):
        there = f"{bucket}.localhost:{bound.port}"
        assert bound("GET", "/f", host=there).status == status
    for bucket, status in (("master.mine", 204), ("master.hidden", 403), ("master.none", 403)):
        assert _form(bound, bucket, house.tokens["bound-writer"]).status == status
    reader = house.tokens["bound-reader"]
    assert _form(bound, "master.mine", reader).code == "AccessDenied"
    house.box.client.create_token("leaver", "reader", s3=True)
    assert bound.by("leaver", "guess")("GET", "/").code == "SignatureDoesNotMatch"
    house.box.client.delete_token("leaver")
    assert bound.by("leaver", "guess")("GET", "/").code == "InvalidAccessKeyId"


def _form(s3: S3, bucket: str, token: str) -> Any:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    conditions = [{"bucket": bucket}, ["starts-with", "$key", ""]]
    text = base64.b64encode(
        json.dumps({"expiration": when, "conditions": conditions}).encode()
    ).decode()
    made = base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()
    fields = {"key": "k", "AWSAccessKeyId": token, "policy": text, "signature": made}
    body = "".join(
        f'--B\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'
        for n, v in fields.items()
    )
    body += '--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--B--\r\n'
    kind = {"content-type": "multipart/form-data; boundary=B"}
    return s3.raw("POST", f"/{bucket}", body.encode(), kind)


def test_posted_records(house: House) -> None:
    owner = house.box.client
    for name, repo in (("feed", "mine"), ("other", "hidden")):
        owner.create_ingest({"name": name, "to": f"{repo}@fed", "push": {}})
    for who, name, status in (
        *(("bound-writer", "feed", 200), ("bound-writer", "other", 403)),
        *(("bound-writer", "none", 403), ("bound-reader", "feed", 403)),
        *(("reader", "other", 403), ("writer", "other", 200), ("writer", "none", 404)),
    ):
        assert house.page(f"/ingest/{name}", who, b'{"a": 1}')[0] == status, (who, name)
    for who, name, status in (
        *(("bound-reader", "feed", 200), ("bound-reader", "other", 403)),
        *(("bound-reader", "none", 403), ("reader", "other", 200)),
    ):
        assert house.page(f"/ingest/{name}", who)[0] == status, (who, name)
    told = [house.page(f"/ingest/{name}", "bound-writer", b"{}") for name in ("other", "none")]
    assert told[0] == told[1], "a source elsewhere is told from none"
    assert house.page("/ingest/feed", "", b"{}")[0] == 401
    (seen,) = house.rpc("bound-reader")("pachybox.v1.API/ListIngest")
    assert (seen.ingest.name, seen.spec_json) == ("feed", "")
    # a source that reads folders or runs programs has the rights of the box
    program = json.dumps({"name": "x", "to": "mine@x", "command": {"cmd": ["true"]}})
    asked = code(house.rpc("writer"), "pachybox.v1.API/CreateIngest", text=program)
    assert asked not in ("OK", "INTERNAL")


def test_json_is_judged_alike(house: House) -> None:
    ask = json.dumps({"repo": {"name": "hidden"}}).encode()
    assert house.page("/api/pfs_v2.API/InspectRepo", "bound-reader", ask)[0] == 403
    assert house.page("/api/pfs_v2.API/ListCommit", "bound-reader", ask)[0] == 403
    lines = json.dumps({"setCommit": branch("mine")}) + json.dumps(
        {"copyFile": {"dst": "/stolen", "src": file("hidden")["file"]}}
    )
    answer = house.page("/api/pfs_v2.API/ModifyFile", "bound-writer", lines.encode())
    assert answer[0] in (400, 403)
    assert house.page("/pfs/default/mine/master/stolen", "bound-reader")[0] == 404
