"""Tokens: who is let in, what each role may, and every way around one that is bound to repos."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from pachybox.api.access.needs import METHODS, Scope
from pachybox.api.table import Table, collect
from pachybox.client import Client, Denied, InvalidArgument, Unauthenticated
from pachybox.daemon import _HANDLERS
from pachybox.errors import NotFound, PachyboxError
from tests.boxes import RealBox, eventually
from tests.rpc import Rpc, failure
from tests.s3 import S3, Signer

NAMES = ("hidden", "watcher")
"""What bound tokens must never hear of."""


@dataclass
class House:
    """A box with tokens. ``tokens`` by name."""

    box: RealBox
    tokens: dict[str, str]
    http: str
    grpc: str
    opened: list[Client | Rpc | S3] = field(default_factory=list)

    def client(self, name: str) -> Client:
        made = Client(self.http, token=self.tokens.get(name, name), patience_s=0)
        self.opened.append(made)
        return made

    def rpc(self, name: str) -> Rpc:
        made = Rpc(self.grpc, token=self.tokens.get(name, name))
        self.opened.append(made)
        return made

    def s3(self, name: str) -> S3:
        token = self.tokens[name]
        made = S3.of(self.http, Signer(token, token))
        self.opened.append(made)
        return made

    def page(self, path: str, name: str = "", data: bytes | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(f"{self.http}{path}", data)
        if name:
            request.add_header("authn-token", self.tokens.get(name, name))
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """``mine`` is what bound tokens may see; pipeline ``watcher`` reads ``hidden``, ``copy`` reads
    ``mine``, ``mixed`` reads both."""
    box = RealBox(tmp_path_factory.mktemp("tokens") / "home").start()
    owner = box.client
    for repo in ("mine", "hidden"):
        owner.create_repo(repo)
        owner.put_file(f"{repo}@master:/f", f"content of {repo}".encode())
    for name, reads in (("copy", "mine"), ("watcher", "hidden")):
        owner.create_pipelines(_spec(name, reads))
    both = {"cross": [_spec("", "mine")["input"], _spec("", "hidden")["input"]]}
    owner.create_pipelines({**_spec("mixed", "mine"), "input": both})
    for name in ("copy", "watcher", "mixed"):
        eventually(lambda n=name: _done(owner, n), f"{name} has run")  # type: ignore[misc]
    tokens = {}
    for name, role, repos in (
        ("admin", "admin", ()),
        ("writer", "writer", ()),
        ("reader", "reader", ()),
        ("bound-reader", "reader", ("mine", "copy", "mixed")),
        ("bound-writer", "writer", ("mine", "copy", "mixed", "new")),
        ("bound-admin", "admin", ("mine", "copy", "mixed", "gone")),
    ):
        tokens[name] = owner.create_token(name, role, repos=repos, s3=name == "bound-writer")
    status = owner.status()
    made = House(box, tokens, status.address, status.grpc_address.removeprefix("grpc://"))
    yield made
    for one in made.opened:
        one.close()
    box.stop()


def _spec(name: str, reads: str) -> dict[str, Any]:
    return {
        "pipeline": {"name": name},
        "transform": {"cmd": ["sh"], "stdin": ["cp /pfs/*/f /pfs/out/ || true"]},
        "input": {"pfs": {"repo": reads, "glob": "/", "name": reads}},
    }


def _done(client: Client, pipeline: str) -> bool:
    return any(job.state == "JOB_SUCCESS" for job in client.list_job(pipeline))


def denied(act: Callable[[], object]) -> str:
    def whole() -> None:
        found = act()
        if isinstance(found, Iterator):
            list(found)

    with pytest.raises(Denied) as caught:
        whole()
    return str(caught.value)


def code(rpc: Rpc, method: str, request: Any = None, **fields: Any) -> str:
    """ "OK", or the name of the code that a call ends with."""
    try:
        rpc(method, request, **fields)
    except grpc.RpcError as e:
        return failure(e)[0]
    return "OK"


# ---- who is let in


def test_every_method_says_what_it_wants() -> None:
    class Nothing:
        pass

    built = {m.full_name for m in Table(collect(Nothing(), *_HANDLERS)) if m.handler is not None}
    others = ("auth_v2", "enterprise_v2", "identity_v2", "license_v2")
    missing = sorted(name for name in built - METHODS.keys() if not name.startswith(others))
    assert missing == []
    known = {m.full_name for m in Table()}
    assert sorted(METHODS.keys() - known) == []
    assert not any(
        need.scope is not Scope.BOX and "secret" in n.lower() for n, need in METHODS.items()
    )


def test_from_the_first_token_on_callers_show_one(house: House) -> None:
    for door in (house.client(""), house.client("pb_wrong")):
        with pytest.raises(Unauthenticated):
            list(door.list_repo())
    assert code(house.rpc(""), "pfs_v2.API/ListRepo") == "UNAUTHENTICATED"
    assert code(house.rpc("nobody"), "pfs_v2.API/ListRepo") == "UNAUTHENTICATED"
    for path in (
        "/metrics",
        "/docs",
        "/files/get?repo=mine&ref=master",
        "/pfs/default/mine/master/f",
    ):
        assert house.page(path)[0] == 401, path
    assert house.page("/box/extract", "", b"")[0] == 401
    assert house.page("/ingest/any", "", b"{}")[0] == 401
    assert house.page("/healthz")[0] == 200
    assert {r.name for r in house.box.client.list_repo()} > {"mine", "hidden"}  # by the socket


def test_roles_of_the_box(house: House) -> None:
    reader, writer, admin = (house.client(n) for n in ("reader", "writer", "admin"))
    assert reader.get_file("hidden@master:/f") == b"content of hidden"
    for act in (
        lambda: reader.put_file("mine@master:/g", b"x"),
        lambda: reader.create_repo("r1"),
        lambda: reader.delete_file("mine@master:/f"),
        lambda: reader.start_commit("mine@master"),
        lambda: reader.create_pipelines(_spec("p1", "mine")),
        lambda: reader.run_pipeline("copy"),
        lambda: reader.stop_pipeline("copy"),
    ):
        assert "needs the role writer" in denied(act)
    writer.create_repo("w1")
    writer.put_file("w1@master:/a", b"a")
    writer.create_pipelines(_spec("w2", "w1"))
    writer.delete_pipeline("w2")
    for person in (reader, writer):
        for forbidden in (
            lambda p=person: p.create_secret("s", {"k": "v"}),
            lambda p=person: p.list_secret(),
            lambda p=person: p.create_token("mine-too", "admin"),
            lambda p=person: p.list_token().all(),
            lambda p=person: p.delete_token("admin"),
            lambda p=person: p.audit().all(),
            lambda p=person: p.delete_repo("w1"),
            lambda p=person: p.shutdown(),
            lambda p=person: p.delete_all(),
            lambda p=person: p.fsck(),
        ):
            assert "needs the role admin" in denied(forbidden)
    for name in ("reader", "writer"):
        rpc = house.rpc(name)
        for method in ("Dump", "Profile", "Binary", "Trace", "GetDumpV2Template", "DumpV2"):
            assert code(rpc, f"debug_v2.Debug/{method}") == "PERMISSION_DENIED", method
        assert code(rpc, "pps_v2.API/SetClusterDefaults") == "PERMISSION_DENIED"
        assert code(rpc, "admin_v2.API/RestartPachyderm") == "PERMISSION_DENIED"
        assert code(rpc, "pfs_v2.API/DeleteAll") == "PERMISSION_DENIED"
        assert house.page("/box/extract", name, b"")[0] == 403
        assert house.page("/box/restore", name, b"x")[0] == 403
    admin.delete_repo("w1")
    assert [t.name for t in admin.list_token()] == sorted(house.tokens)


def test_a_reader_has_the_box_send_nothing(house: House) -> None:
    rpc = house.rpc("reader")
    file = {"commit": {"branch": {"repo": {"name": "mine"}, "name": "master"}}, "path": "/f"}
    assert code(rpc, "pfs_v2.API/GetFile", file=file) == "OK"
    for method in ("GetFile", "GetFileTAR"):
        got = code(rpc, f"pfs_v2.API/{method}", file=file, url="s3://bucket/x")
        assert got == "PERMISSION_DENIED"
    assert code(rpc, "pfs_v2.API/Egress", commit=file["commit"]) == "PERMISSION_DENIED"


def test_batches_and_transactions_are_no_way_around(house: House) -> None:
    reader, writer = house.rpc("reader"), house.rpc("writer")
    make = {"create_repo": {"repo": {"name": "batched"}}}
    drop = {"delete_repo": {"repo": {"name": "hidden"}, "force": True}}
    batch = "transaction_v2.API/BatchTransaction"
    assert code(reader, batch, requests=[make]) == "PERMISSION_DENIED"
    assert code(writer, batch, requests=[make, drop]) == "PERMISSION_DENIED"
    assert code(writer, batch, requests=[make]) == "OK"
    bound = house.rpc("bound-writer")
    assert (
        code(bound, batch, requests=[{"delete_branch": _branch("hidden")}]) == "PERMISSION_DENIED"
    )
    started = writer("transaction_v2.API/StartTransaction").id
    for rpc in (reader, bound, writer):
        rpc.metadata = (*rpc.metadata, ("pach-transaction", started))
    assert code(reader, "pfs_v2.API/CreateRepo", repo={"name": "q"}) == "PERMISSION_DENIED"
    assert code(bound, "pfs_v2.API/CreateRepo", repo={"name": "new"}) == "PERMISSION_DENIED"
    assert code(writer, "pfs_v2.API/DeleteRepo", repo={"name": "batched"}) == "PERMISSION_DENIED"
    where = {"transaction": {"id": started}}
    assert code(reader, "transaction_v2.API/FinishTransaction", **where) == "PERMISSION_DENIED"
    assert code(writer, "transaction_v2.API/DeleteTransaction", **where) == "OK"


# ---- tokens bound to repos


def _branch(repo: str, name: str = "master") -> dict[str, Any]:
    return {"branch": {"repo": {"name": repo}, "name": name}}


def _commit(repo: str) -> dict[str, Any]:
    return {"commit": _branch(repo)}


def _file(repo: str) -> dict[str, Any]:
    return {"file": {"commit": _branch(repo), "path": "/f"}}


READS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "pfs_v2.API/InspectRepo": lambda r: {"repo": {"name": r}},
    "pfs_v2.API/InspectBranch": lambda r: _branch(r),
    "pfs_v2.API/ListBranch": lambda r: {"repo": {"name": r}},
    "pfs_v2.API/InspectCommit": _commit,
    "pfs_v2.API/ListCommit": lambda r: {"repo": {"name": r}},
    "pfs_v2.API/FindCommits": lambda r: {"start": _branch(r), "file_path": "/f"},
    "pfs_v2.API/GetFile": _file,
    "pfs_v2.API/GetFileTAR": _file,
    "pfs_v2.API/InspectFile": _file,
    "pfs_v2.API/ListFile": _file,
    "pfs_v2.API/WalkFile": _file,
    "pfs_v2.API/GlobFile": lambda r: {**_commit(r), "pattern": "/**"},
    "pfs_v2.API/DiffFile": lambda r: {"new_file": _file(r)["file"]},
    "pfs_v2.API/GetFileSet": _commit,
    "pfs_v2.API/WalkBranchSubvenance": lambda r: {
        "start": [{"name": {"repo": {"name": {"name": r}}, "name": "master"}}]
    },
    "pfs_v2.API/WalkCommitSubvenance": lambda r: {
        "start": [{"branch_head": {"name": {"repo": {"name": {"name": r}}, "name": "master"}}}]
    },
    "pachybox.v1.API/ListHistory": lambda r: {"repo": r, "ref": "master", "path": "/f"},
    "pachybox.v1.API/ResolveCommit": lambda r: {"repo": r, "ref": "master"},
    "pachybox.v1.API/DiffFile": lambda r: {"new_file": _file(r)["file"]},
    "pachybox.v1.API/PageFile": lambda r: {"file": {"commit": _branch(r), "path": "/"}},
    "pachybox.v1.API/PageCommit": lambda r: {"repo": {"name": r}},
    "pachybox.v1.API/PageDiff": lambda r: {"new_file": {"commit": _branch(r), "path": "/"}},
    "pachybox.v1.API/ListRepoUsers": lambda r: {"repo": {"name": r}},
    "pachybox.v1.API/FlushCommit": lambda r: {"commits": [f"{r}@master"]},
    "pps_v2.API/ListDatum": lambda r: {
        "input": {"pfs": {"repo": r, "branch": "master", "glob": "/"}}
    },
    "pps_v2.API/ListJob": lambda r: {"input_commit": [_branch(r)]},
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


def test_lists_leave_out_what_is_not_theirs(house: House) -> None:
    rpc = house.rpc("bound-reader")
    lists = ("ListRepo", "ListBranch", "ListCommit", "ListCommitSet", "ListProject")
    told = {name: rpc(f"pfs_v2.API/{name}", **({"repo": None} if 0 else {})) for name in lists[:1]}
    for name in lists[1:]:
        told[name] = rpc(f"pfs_v2.API/{name}")
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
    told["InspectCommit"] = rpc("pfs_v2.API/InspectCommit", **_commit("mixed"))
    told["InspectBranch"] = rpc("pfs_v2.API/InspectBranch", **_branch("mixed"))
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
    for method in ("GetBoxLog", "ListIngest", "ListImage", "Doctor", "Fsck"):
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
        return code(rpc, "pfs_v2.API/ModifyFile", [{"set_commit": _branch(repo)}, *more])

    assert modify("mine", add) == "OK"
    assert modify("hidden", add) == "PERMISSION_DENIED"
    stolen = {"copy_file": {"dst": "/got", "src": _file("hidden")["file"]}}
    assert modify("mine", stolen) == "PERMISSION_DENIED"
    assert modify("mine", add, stolen) == "PERMISSION_DENIED"
    fetched = {"add_file": {"path": "/u", "url": {"url": "s3://bucket/key"}}}
    assert modify("mine", fetched) == "PERMISSION_DENIED"
    assert code(rpc, "pfs_v2.API/CreateFileSet", [stolen]) == "PERMISSION_DENIED"
    made = rpc("pfs_v2.API/CreateFileSet", [add]).file_set_id
    taken = rpc("pfs_v2.API/GetFileSet", **_commit("mine")).file_set_id
    assert made != taken
    for method, fields in (
        ("CreateRepo", {"repo": {"name": "other"}}),
        ("CreateBranch", {**_branch("mine", "b"), "provenance": [_branch("hidden")["branch"]]}),
        ("CreateBranch", {**_branch("mine", "b"), "head": _branch("hidden")}),
        ("DeleteBranch", {**_branch("mine"), "force": True}),
        ("DeleteRepo", {"repo": {"name": "mine"}}),
        ("AddFileSet", {**_commit("hidden"), "file_set_id": made}),
        ("DropCommit", {**_commit("mine"), "recursive": True}),
        ("DropCommitSet", {"commit_set": {"id": "0" * 32}}),
        ("Egress", _commit("mine")),
        ("GetCache", {"key": "k"}),
        ("CreateProject", {"project": {"name": "p"}}),
    ):
        assert code(rpc, f"pfs_v2.API/{method}", **fields) == "PERMISSION_DENIED", method
    assert code(rpc, "pfs_v2.API/CreateRepo", repo={"name": "new"}) == "OK"
    assert code(rpc, "pfs_v2.API/CreateBranch", **_branch("new", "b")) == "OK"
    for kind, target in (("cluster", {}), ("project", {"name": "default"})):
        edit = {kind: target, "add_key": {"key": "k", "value": "v"}}
        assert code(rpc, "metadata.API/EditMetadata", edits=[edit]) == "PERMISSION_DENIED"
    client = house.client("bound-writer")
    assert "writer on the whole box" in denied(lambda: client.create_pipelines(_spec("x", "mine")))
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
        query = f"/files/get?repo={urllib.request.quote(repo, safe='')}&ref=master"
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


# ---- their lives


def test_a_token_ends_at_once_also_for_what_goes_on(house: House) -> None:
    owner = house.box.client
    token = owner.create_token("short", "reader")
    lines: list[str] = []
    done = threading.Event()

    def follow(act: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                act()
            except (PachyboxError, grpc.RpcError, OSError) as e:
                lines.append(str(e))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    client, rpc = house.client(token), house.rpc(token)
    seen: list[object] = []
    streams = [
        follow(lambda: seen.extend(client.events(follow=True))),
        follow(lambda: seen.extend(rpc.stream("pachybox.v1.API/SubscribeEvents", follow=True))),
    ]
    eventually(lambda: len(seen) > 2 or any(t.is_alive() for t in streams), "they follow")
    owner.delete_token("short")
    for stream in streams:
        stream.join(10)
        assert not stream.is_alive()
    with pytest.raises(Unauthenticated):
        list(house.client(token).list_repo())
    state = {t.name: t.state for t in owner.list_token()}
    assert state["short"] == "revoked"
    done.set()


def test_a_token_expires(house: House) -> None:
    owner = house.box.client
    token = owner.create_token("brief", "reader", expires_s=1)
    client = house.client(token)

    def over() -> bool:
        try:
            list(client.list_repo())
        except Unauthenticated:
            return True
        return False

    eventually(over, "it has expired")
    assert {t.name: t.state for t in owner.list_token()}["brief"] == "expired"


def test_revoking_the_last_does_not_open_the_box(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home").start()

    def projects(token: str) -> list[str]:
        with Client(box.client.status().address, token=token) as client:
            return [p.name for p in client.list_project()]

    try:
        assert projects("")  # open, to this machine
        token = box.cli("create", "token", "one", "--role", "reader", "--expires", "2d").strip()
        assert token.startswith("pb_")
        assert len(token) == 46
        held = box.home / "meta.duckdb"
        box.cli("delete", "token", "one")
        with pytest.raises(Unauthenticated):
            projects("")
        with pytest.raises(InvalidArgument, match="the only token"):
            box.client.delete_token("one", purge=True)
        box.kill()  # also after the worst
        box.start()
        with pytest.raises(Unauthenticated):
            projects(token)
        box.cli("delete", "token", "--all")
        assert projects("")
        assert token.encode() not in held.read_bytes()
        assert box.run("create", "token", "local").returncode == 1
    finally:
        box.stop()


def test_user_code_has_a_token_of_its_own(tmp_path: Path) -> None:
    """What user code finds in its environment lets it write, and no more."""
    box = RealBox(tmp_path / "home", settings='token = "of-the-file"\n').start()
    try:
        owner = box.client
        owner.create_repo("in")
        owner.put_file("in@master:/f", b"x")
        ask = (
            "import json, os, urllib.request, urllib.error\n"
            "def ask(method, body):\n"
            "    r = urllib.request.Request(os.environ['PACHYBOX_ADDRESS'] + '/api/' + method,\n"
            "        json.dumps(body).encode(), {'authn-token': os.environ['PACHYBOX_TOKEN']})\n"
            "    try:\n"
            "        return urllib.request.urlopen(r).status\n"
            "    except urllib.error.HTTPError as e:\n"
            "        return e.code\n"
            "found = [ask('pfs_v2.API/CreateRepo', {'repo': {'name': 'made'}}),\n"
            "         ask('pps_v2.API/ListSecret', {}), os.environ['PACHYBOX_TOKEN']]\n"
            "open('/pfs/out/found', 'w').write(json.dumps(found))\n"
        )
        spec = _spec("asks", "in") | {"transform": {"cmd": ["python3", "-c", ask]}}
        owner.create_pipelines(spec)
        eventually(lambda: _done(owner, "asks"), "it has run")
        made, secrets, token = json.loads(owner.get_file("asks@master:/found"))
        assert (made, secrets) == (200, 403)
        assert token != "of-the-file"
        assert token.startswith("pb_")
    finally:
        box.stop()
