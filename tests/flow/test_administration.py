"""What clients ask of a cluster: who they are, its licence, dumps, profiles, logs, restarts."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pachybox.client import Client
from pachybox.errors import InvalidArgument, NotFound, PachyboxError, Unimplemented
from tests.boxes import RealBox, eventually
from tests.flow.calls import Json, call, stream
from tests.rpc import Rpc

PIPELINE = """
pipeline: {name: talker}
input: {pfs: {repo: said, glob: "/*"}}
transform:
  cmd: [sh]
  env: {PASSWORD: hunter2}
  stdin: ["cat /pfs/said/*", "echo", "echo over"]
"""


@pytest.fixture(scope="module")
def talking(shared_box: RealBox) -> tuple[RealBox, str]:
    """A box in which a pipeline has said something, and the id of its job."""
    c = shared_box.client
    c.create_repo("said")
    with c.put("said@master") as put:
        put.data("/a", memoryview(b"alpha"))
        put.data("/b", memoryview(b"beta"))
    c.create_pipelines(PIPELINE)
    job = c.inspect_commit("talker@master").id
    c.wait_job(f"talker@{job}")
    return shared_box, job


def unpacked(pieces: list[bytes]) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces)), mode="r:gz") as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]


def values(found: object) -> list[bytes]:
    return [base64.b64decode(v) for v in found]  # type: ignore[attr-defined]


# ---- users and licences


def test_without_a_token_it_is_a_cluster_without_auth(shared_box: RealBox) -> None:
    for method in ("WhoAmI", "GetUsers", "Deactivate", "Activate", "Authorize", "GetRoleBinding"):
        with pytest.raises(Unimplemented, match="the auth service is not activated"):
            call(shared_box, f"auth_v2.API/{method}")
    for method in ("identity_v2.API/DeleteAll", "pfs_v2.API/ActivateAuth"):
        with pytest.raises(Unimplemented, match="the auth service is not activated"):
            call(shared_box, method)
    assert call(shared_box, "enterprise_v2.API/GetState") == {}  # NONE
    assert call(shared_box, "license_v2.API/GetActivationCode") == {}
    assert call(shared_box, "license_v2.API/DeleteAll") == {}
    assert call(shared_box, "license_v2.API/ListClusters") == {}
    assert call(shared_box, "enterprise_v2.API/PauseStatus") == {}
    no = ("license_v2.API/Activate", "enterprise_v2.API/Pause", "pjs.API/CreateJob")
    for method in (*no, "snapshot.API/ListSnapshot"):
        with pytest.raises(Unimplemented, match=method):
            list(stream(shared_box, method))


def test_with_a_token_its_bearer_is_the_administrator(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home", settings='token = "sesame"\n').start()
    try:
        address = call(box, "pachybox.v1.API/Status")["address"]
        client = Client(address, token="sesame")

        def ask(method: str, **fields: object) -> Json:
            return client.call("auth_v2.API", method, **fields)

        assert ask("WhoAmI") == {"username": "pach:root"}
        wanted = ["REPO_READ", "CLUSTER_DELETE_ALL"]
        answer = ask("Authorize", permissions=wanted)
        assert (answer["authorized"], answer["satisfied"]) == (True, wanted)
        assert "REPO_WRITE" in ask("GetPermissions")["permissions"]
        assert ask("GetPermissionsForPrincipal", principal="robot:x") == {}
        assert ask("GetRoleBinding")["binding"]["entries"]["pach:root"]["roles"] == {
            "clusterAdmin": True
        }
        with pytest.raises(Unimplemented, match="already activated"):
            ask("Activate")
        with pytest.raises(Unimplemented, match="GetUsers is not built"):
            ask("GetUsers")
        client.close()
    finally:
        box.stop()


# ---- the cluster


def test_the_cluster_says_what_it_is(shared_box: RealBox) -> None:
    box = shared_box
    edits = [
        {"cluster": {}, "addKey": {"key": "site", "value": "lab"}},
        {"project": {"name": "default"}, "replace": {"replacement": {"a": "b"}}},
    ]
    call(box, "metadata.API/EditMetadata", edits=edits)
    found = call(box, "admin_v2.API/InspectCluster", current_project={"name": "default"})
    assert found["warningsOk"]
    assert "warnings" not in found
    assert found["id"] == found["deploymentId"]
    assert found["metadata"] == {"site": "lab"}
    assert found["webResources"]["archiveDownloadBaseUrl"].endswith("/archive/")
    project = call(box, "pfs_v2.API/InspectProject", project={"name": "default"})
    assert project["metadata"] == {"a": "b"}
    with pytest.raises(NotFound, match='project "nowhere" not found'):
        call(box, "admin_v2.API/InspectCluster", current_project={"name": "nowhere"})
    edits = [
        {"project": {"name": "default"}, "editKey": {"key": "a", "value": "c"}},
        {"cluster": {}, "addKey": {"key": "site", "value": "other"}},
    ]
    with pytest.raises(PachyboxError, match="already exists"):  # all or nothing
        call(box, "metadata.API/EditMetadata", edits=edits)
    project = call(box, "pfs_v2.API/InspectProject", project={"name": "default"})
    assert project["metadata"] == {"a": "b"}


def test_metadata_of_a_pipeline_goes_with_it(talking: tuple[RealBox, str]) -> None:
    box, _ = talking
    box.client.create_pipelines(PIPELINE.replace("talker", "fleeting"))
    target = {"pipeline": {"name": {"name": "fleeting"}}}
    edit = {**target, "addKey": {"key": "owner", "value": "me"}}
    call(box, "metadata.API/EditMetadata", edits=[edit])
    name = {"name": "fleeting"}
    found = call(box, "pps_v2.API/InspectPipeline", pipeline=name)
    assert found["metadata"] == {"owner": "me"}
    box.client.delete_pipeline("fleeting")
    with pytest.raises(NotFound, match="not found"):
        call(box, "metadata.API/EditMetadata", edits=[edit])
    box.client.create_pipelines(PIPELINE.replace("talker", "fleeting"))
    assert "metadata" not in call(box, "pps_v2.API/InspectPipeline", pipeline=name)
    box.client.delete_pipeline("fleeting")


def test_restarting_begins_anew_in_the_same_process(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home")
    command = [sys.executable, "-m", "pachybox.daemon"]  # which is run again as it was
    with subprocess.Popen(command, env=box.env) as process:
        try:
            eventually(lambda: _answers(box), "the box answers")
            box.client.create_repo("kept")
            before = call(box, "pachybox.v1.API/Status")
            call(box, "admin_v2.API/RestartPachyderm", reason="for the test")

            def anew() -> bool:
                try:
                    found = call(box, "pachybox.v1.API/Status")
                except PachyboxError:
                    return False
                return bool(found["started"] != before["started"])

            eventually(anew, "the box is there again")
            assert process.poll() is None
            assert call(box, "pachybox.v1.API/Status")["pid"] == process.pid
            assert box.client.inspect_repo("kept").name == "kept"
        finally:
            box.forget_client()
            process.terminate()


def _answers(box: RealBox) -> bool:
    try:
        return bool(box.client.healthy())
    except PachyboxError:
        return False


# ---- debug


def test_a_dump_tells_all_but_secrets(talking: tuple[RealBox, str]) -> None:
    box, job = talking
    text = '{"createPipelineRequest": {"transform": {"env": {"KEY": "hunter2"}}}}'
    call(box, "pps_v2.API/SetClusterDefaults", cluster_defaults_json=text)
    found = unpacked(values(stream(box, "debug_v2.Debug/Dump")))
    call(box, "pps_v2.API/SetClusterDefaults", cluster_defaults_json="{}")
    assert b"KEY" in found["defaults/cluster.json"]
    assert json.loads(found["pachd/version.json"])["pachybox"]
    assert json.loads(found["pachd/status.json"])["pipelines"] == 1
    assert json.loads(found["database/tables.json"])["commits"] > 0
    assert b"part=daemon" in found["pachd/logs/box.log"]
    assert job.encode() in found["source-repos/default/talker.user.json"]
    spec = json.loads(found["pipelines/default/talker/spec.json"])["spec"]
    assert spec["transform"]["env"] == {"PASSWORD": "(left out)"}
    assert not [name for name, data in found.items() if b"hunter2" in data]
    assert b"alpha" in found["pipelines/default/talker/logs.jsonl"]
    one = {"pipeline": {"name": "talker"}}
    only = unpacked(values(stream(box, "debug_v2.Debug/Dump", filter=one, limit=1)))
    assert {n.split("/")[0] for n in only} == {"pipelines"}
    assert len(only["pipelines/default/talker/logs.jsonl"].splitlines()) == 1


def test_a_dump_by_its_template(talking: tuple[RealBox, str]) -> None:
    box, _ = talking
    template = call(box, "debug_v2.Debug/GetDumpV2Template")["request"]
    assert template["pipelines"] == [{"project": "default", "name": "talker"}]
    chunks = list(stream(box, "debug_v2.Debug/DumpV2", **template))
    tasks = [c["progress"]["task"] for c in chunks if "progress" in c]
    assert tasks == ["box", "logs", "database", "repos", "pipelines", "done"]
    content = [base64.b64decode(c["content"]["content"]) for c in chunks if "content" in c]
    assert "pipelines/default/talker/jobs.json" in unpacked(content)
    few = call(box, "debug_v2.Debug/GetDumpV2Template", filters=["database"])["request"]
    assert few == {"system": {"database": True}}


def test_profiles_and_the_program(shared_box: RealBox) -> None:
    def profile(name: str) -> str:
        asked = {"name": name, "duration": "0.2s"}
        found = unpacked(values(stream(shared_box, "debug_v2.Debug/Profile", profile=asked)))
        return next(iter(found.values())).decode()

    assert any(line.rsplit(" ", 1)[1].isdigit() for line in profile("cpu").splitlines())
    assert "thread MainThread" in profile("goroutine")
    assert profile("heap")
    with pytest.raises(InvalidArgument, match="'mutex' is not known"):
        profile("mutex")
    program = unpacked(values(stream(shared_box, "debug_v2.Debug/Binary")))
    assert "pachd/pachybox/daemon.py" in program


def test_the_level_of_the_log_is_set_for_a_while(box: RealBox) -> None:
    log = box.home / "run" / "box.log"

    def set_level(name: str, duration: str) -> None:
        answer = call(
            box, "debug_v2.Debug/SetLogLevel", pachyderm=name, duration=duration, recurse=True
        )
        assert answer == {"affectedPods": ["pachybox"]}

    def said(what: str) -> bool:
        return what in log.read_text()

    set_level("OFF", "60s")
    call(box, "debug_v2.Debug/SetLogLevel", grpc="DEBUG", duration="60s")
    rpc = Rpc(box.client.status().grpc_address.removeprefix("grpc://"))
    rpc("versionpb_v2.API/GetVersion")
    rpc.close()
    eventually(lambda: said("level=debug part=grpc"), "the words of gRPC are in the log")
    call(box, "pachybox.v1.API/CollectGarbage")
    with pytest.raises(InvalidArgument, match="duration"):
        set_level("DEBUG", "0s")
    set_level("DEBUG", "0.2s")
    eventually(lambda: said("log level over"), "the level is what it was")


# ---- logs


def lines(box: RealBox, query: Json, **fields: object) -> list[str]:
    found = stream(box, "logs.API/GetLogs", query=query, **fields)
    return [r["log"]["ppsLogMessage"]["message"] for r in found if "log" in r]


def test_logs_by_whatever_names_them(talking: tuple[RealBox, str]) -> None:
    box, job = talking
    users = {"userLogsOnly": True}
    name = {"project": "default", "pipeline": "talker"}
    everything = ["alpha", "beta", "over", "over"]
    for query in (
        {"pipeline": name},
        {"project": "default"},
        {"job": job},
        {"pipelineJob": {"pipeline": name, "job": job}},
    ):
        assert sorted(lines(box, {"user": query}, filter=users)) == everything, query
    datum = next(iter(box.client.list_datum(f"talker@{job}"))).id
    for query in (
        {"datum": datum},
        {"jobDatum": {"job": job, "datum": datum}},
        {"pipelineDatum": {"pipeline": name, "datum": datum}},
    ):
        found = lines(box, {"admin": {"user": query}}, filter=users)
        assert (len(found), found[1]) == (2, "over"), query
    pattern = {**users, "regex": {"pattern": "^a"}}
    assert lines(box, {"user": {"job": job}}, filter=pattern) == ["alpha"]
    pattern["regex"]["negate"] = True  # type: ignore[index]
    assert "alpha" not in lines(box, {"user": {"job": job}}, filter=pattern)
    assert any("level=info part=daemon ready" in line for line in lines(box, {}))
    assert any(job in line for line in lines(box, {"admin": {"master": name}}))
    with pytest.raises(Unimplemented, match="logql"):
        lines(box, {"admin": {"logql": "{}"}})
    with pytest.raises(NotFound, match="no app"):
        lines(box, {"admin": {"app": "etcd"}})


def test_paging_through_logs(talking: tuple[RealBox, str]) -> None:
    box, job = talking
    whole = lines(box, {"user": {"job": job}})
    seen: list[str] = []
    ask: Json = {"query": {"user": {"job": job}}, "filter": {"limit": 2}, "wantPagingHint": True}
    while True:
        page = list(stream(box, "logs.API/GetLogs", **ask))
        seen += [r["log"]["ppsLogMessage"]["message"] for r in page if "log" in r]
        if len(page) == 1:
            break
        ask = page[-1]["pagingHint"]["newer"]
    assert sorted(seen) == sorted(whole)
