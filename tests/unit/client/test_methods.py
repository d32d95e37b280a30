"""Names into messages, answers into values, and the asyncio client's likeness."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.client import AsyncClient, Client, generate, names
from pachybox.client.pipeline_values import JobInfo
from pachybox.client.values import CommitInfo, RepoInfo
from pachybox.errors import InvalidArgument, NotFound, Unreachable

ID = "0123456789ab4cdef0123456789abcde"


def test_names_become_messages() -> None:
    images = {"name": "images", "type": "user", "project": {"name": "default"}}
    assert names.repo_message("images") == images
    assert names.repo_message("lab/edges.meta") == {
        "name": "edges",
        "type": "meta",
        "project": {"name": "lab"},
    }
    assert names.commit_message(f"images@{ID}") == {"repo": images, "id": ID}
    assert names.commit_message("images@master^2") == {
        "repo": images,
        "branch": {"repo": images, "name": "master^2"},
    }
    assert names.file_message("images@master:a//b/")["path"] == "/a/b"
    assert names.split_file("images@master:/x:y@z") == ("images", "master", "/x:y@z")
    assert names.full_name("a@b", "lab") == "lab/a@b"
    assert names.full_name("default/a@b") == "a@b"


@pytest.mark.parametrize("text", ["", "@b", "a@", "a", "a:b"])
def test_names_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        names.commit_message(text)


@given(st.text(alphabet="abc/ .", max_size=20))
def test_paths_are_absolute_and_cleaning_twice_changes_nothing(path: str) -> None:
    cleaned = names.absolute(path)
    assert cleaned.startswith("/")
    assert "//" not in cleaned
    assert names.absolute(cleaned) == cleaned


def test_records_become_values_with_times_and_sizes() -> None:
    raw = {
        "commit": {
            "repo": {"name": "images", "type": "user", "project": {"name": "lab"}},
            "id": ID,
            "branch": {"name": "master"},
        },
        "origin": {"kind": "AUTO"},
        "started": "2026-01-02T03:04:05.123456789Z",
        "details": {"sizeBytes": "12345678901"},
        "directProvenance": [{"repo": {"name": "src"}, "id": ID}],
    }
    info = CommitInfo.from_json(raw)
    assert str(info) == f"lab/images@{ID}"
    assert info.started is not None
    assert info.started.utcoffset() is not None
    assert info.finished is None
    assert info.size_bytes == 12345678901
    assert info.direct_provenance == (f"src@{ID}",)
    assert info.raw is raw
    assert RepoInfo.from_json({"repo": {"name": "a"}}).project == "default"
    job = JobInfo.from_json({"job": {"pipeline": {"name": "p"}, "id": "1"}, "state": "JOB_KILLED"})
    assert str(job) == "p@1"
    assert job.done


def test_list_methods_ask_for_the_clients_project(box: Any) -> None:
    box.answers["ListRepo"] = [{"repo": {"name": "a"}, "details": {"sizeBytes": "7"}}]
    with Client(box.path, project="lab") as client:
        assert [r.size_bytes for r in client.list_repo()] == [7]
        assert box.last("ListRepo").body == {"type": "user", "projects": [{"name": "lab"}]}
        list(client.list_repo(type="all", all_projects=True))
        assert box.last("ListRepo").body == {"type": "all"}


def test_a_branch_head_may_be_a_ref_of_the_same_repo_or_a_whole_one(
    box: Any, client: Client
) -> None:
    box.answers["CreateBranch"] = {}
    for head in ("staging^", "images@staging^"):
        client.create_branch("images@master", head=head, provenance=["a@b"])
        body = box.last("CreateBranch").body
        assert body["head"]["branch"]["name"] == "staging^"
        assert body["head"]["repo"]["name"] == "images"
        assert body["provenance"][0]["name"] == "b"


# Every message the client sends has only fields the API knows: checked against the SDK's messages.
CALLS: dict[str, tuple[Any, ...]] = {
    "create_project": ("p", "d"),
    "inspect_project": ("p",),
    "list_project": (),
    "delete_project": ("p",),
    "create_repo": ("r", "d"),
    "inspect_repo": ("r",),
    "list_repo": (),
    "delete_repo": ("r",),
    "delete_repos": (),
    "create_branch": ("r@b",),
    "inspect_branch": ("r@b",),
    "list_branch": ("r",),
    "delete_branch": ("r@b",),
    "start_commit": ("r@b",),
    "finish_commit": ("r@b",),
    "inspect_commit": ("r@b",),
    "wait_commit": ("r@b",),
    "list_commit": ("r@b",),
    "list_commit_set": (),
    "inspect_commit_set": (ID,),
    "subscribe_commit": ("r@b",),
    "drop_commit": ("r@b",),
    "drop_commit_set": (ID,),
    "squash_commit": ("r@b",),
    "squash_commit_set": (ID,),
    "find_commit": ("r@b:/p",),
    "inspect_file": ("r@b:/p",),
    "list_file": ("r@b:/p",),
    "walk_file": ("r@b:/p",),
    "glob_file": ("r@b:/*",),
    "diff_file": ("r@b:/p", "r@c:/p"),
    "inspect_pipeline": ("p",),
    "list_pipeline": ("p",),
    "delete_pipeline": ("p",),
    "delete_pipelines": (),
    "start_pipeline": ("p",),
    "stop_pipeline": ("p",),
    "rerun_pipeline": ("p",),
    "run_cron": ("p",),
    "inspect_job": (f"p@{ID}",),
    "wait_job": (f"p@{ID}",),
    "inspect_job_set": (ID,),
    "list_job": ("p",),
    "list_job_set": (),
    "subscribe_job": ("p",),
    "stop_job": (f"p@{ID}",),
    "delete_job": (f"p@{ID}",),
    "list_datum": (f"p@{ID}",),
    "inspect_datum": (f"p@{ID}", "d"),
    "restart_datum": (f"p@{ID}", ["/a"]),
    "logs": ("p",),
    "box_log": ("p",),
    "finish_transaction": (ID,),
    "inspect_transaction": (ID,),
    "delete_transaction": (ID,),
    "start_transaction": (),
    "list_transaction": (),
    "delete_all": (),
    "create_secret": ("{}",),
    "inspect_secret": ("s",),
    "list_image": (),
    "list_secret": (),
    "edit_metadata": ("commit", "r@b"),
    "clear_commit": ("r@b",),
    "get_fileset": ("r@b",),
    "add_fileset": ("r@b", "f"),
    "renew_fileset": ("f", 60),
    "compose_filesets": (["f", "g"],),
    "cluster_defaults": (),
    "set_cluster_defaults": ({"createPipelineRequest": {}},),
    "project_defaults": (),
    "set_project_defaults": ({"createPipelineRequest": {}}, "p"),
    "render_template": ("{}", {"a": "b"}),
    "repos_summary": (),
    "pipelines_summary": (),
    "walk_commit_provenance": ("r@b",),
    "walk_commit_subvenance": (["r@b", f"r@{ID}"],),
    "walk_branch_provenance": ("r@b",),
    "walk_branch_subvenance": ("r@b",),
    "project_exists": ("p",),
    "repo_exists": ("r",),
    "branch_exists": ("r@b",),
    "commit_exists": ("r@b",),
    "file_exists": ("r@b:/p",),
    "pipeline_exists": ("p",),
}
OURS = {
    "summary", "page_job", "page_datum", "page_file", "page_commit", "page_diff", "timing",
    "repo_users",
    "flush_commit", "flush_job", "delete_commit", "create_pipelines", "extract_pipeline",
    "run_pipeline", "list_history", "status", "shutdown", "settings", "doctor", "fsck",
    "collect_garbage", "events", "version", "inspect_cluster", "delete_secret",
    "validate_pipelines", "move_pipelines",
    "create_pipeline", "diff_pipelines", "build_pipeline", "create_python_pipeline",
    "open_trial", "run_trial", "save_trial", "create_ingest", "inspect_ingest", "list_ingest",
    "pause_ingest", "resume_ingest", "run_ingest", "delete_ingest", "advance_ingest",
    "ingest_log", "create_demo", "delete_demo",
    "read_log", "find_log", "follow_log", "check_spec", "describe_spec",
    "preview_input", "list_webhook", "test_webhook", "scrub",
    "create_token", "list_token", "delete_token", "delete_all_tokens", "audit",
    "create_backup", "list_backup", "verify_backup", "restore_backup", "prune_backup",
}  # fmt: skip
PLAIN = {
    "call", "stream", "close", "healthy", "ready", "put", "put_file", "put_files", "put_url",
    "copy_file", "delete_file", "get_file", "save_file", "get_files", "open", "archive_url",
    "commit", "transaction", "create_fileset", "upload_fileset",
}  # fmt: skip


def public(cls: type) -> set[str]:
    return {
        name
        for name, value in inspect.getmembers(cls)
        if not name.startswith("_") and inspect.isfunction(value)
    }


def test_every_method_is_covered_here() -> None:
    assert public(Client) == set(CALLS) | OURS | PLAIN


def test_messages_hold_only_fields_of_the_api(box: Any) -> None:
    """Parsed by the API's own definitions, which refuse unknown fields."""
    from google.protobuf import json_format

    from pachybox.api.definitions import message, service, service_names

    known = {}
    for name in service_names():
        for method in service(name).methods:
            known[f"/api/{name}/{method.name}"] = method

    class Any_(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            return {"fileSetId": "f"} if "FileSet" in key else {}

    box.answers = Any_()
    with Client(box.path) as client:
        for name, arguments in CALLS.items():
            answer = getattr(client, name)(*arguments)
            if inspect.isgenerator(answer):
                list(answer)
        for kind, name in (
            ("project", "p"),
            ("repo", "r"),
            ("branch", "r@b"),
            ("commit", f"r@{ID}"),
        ):
            client.edit_metadata(
                kind, name, add={"a": "b"}, edit={"c": "d"}, delete=["e"], replace={"f": "g"}
            )
    assert len(box.asked) >= len(CALLS)
    for asked in box.asked:
        method = known[asked.target]
        json_format.ParseDict(asked.body, message(method.input_type.full_name)())


def test_the_generated_files_are_up_to_date() -> None:
    here = Path(generate.__file__).parent
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "I,F401", "--fix", "-q", "-",
         "--stdin-filename", str(here / "aio.py")],
        input=subprocess.run(
            [sys.executable, "-m", "ruff", "format", "-q", "-"],
            input=generate.aio_source(), capture_output=True, text=True, check=True,
        ).stdout,
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    strip = str.split  # layout apart
    assert strip(formatted) == strip((here / "aio.py").read_text())
    assert generate.docs_source(generate.DOCS.read_text()) == generate.DOCS.read_text()


def test_the_asyncio_client_has_the_same_methods() -> None:
    assert public(AsyncClient) == public(Client) - {"call", "stream", "open"}


async def test_the_asyncio_client_calls_streams_and_puts(box: Any) -> None:
    box.answers["InspectRepo"] = {"repo": {"name": "a"}}
    box.answers["ListRepo"] = [{"repo": {"name": f"r{i}"}} for i in range(5000)]
    box.answers["InspectBranch"] = NotFound("no branch")
    async with AsyncClient(box.path) as client:
        one, two = await asyncio.gather(client.inspect_repo("a"), client.inspect_repo("a"))
        assert one == two
        assert [r.name async for r in client.list_repo()] == [f"r{i}" for i in range(5000)]
        with pytest.raises(NotFound):
            await client.inspect_branch("a@b")
        async with client.put("r@b") as put:
            await put.data("/x", b"x")
        assert put.result is not None
        assert await client.get_file("r@b:/x") == b"x"
        async with client.list_repo() as repos:
            async for _repo in repos:
                break


async def test_cancelling_a_task_ends_its_call_and_its_stream(box: Any) -> None:
    asked, release = threading.Event(), threading.Event()

    def wait(body: object) -> dict[str, object]:
        asked.set()
        release.wait(10)
        return {}

    def forever(body: object) -> Iterator[dict[str, Any]]:
        yield {"seq": "1", "kind": "a"}
        asked.set()
        release.wait(10)

    box.answers["InspectCommit"] = wait
    box.answers["SubscribeEvents"] = forever
    async with AsyncClient(box.path) as client:

        async def follow() -> None:
            async for _event in client.events(follow=True):
                pass

        for work in (client.wait_commit("a@master"), follow()):
            asked.clear()
            task = asyncio.ensure_future(work)
            await asyncio.to_thread(asked.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 5)
        release.set()


async def test_an_unreachable_box_raises_in_streams_too(tmp_path: Path) -> None:
    async with AsyncClient(str(tmp_path / "none.sock")) as client:
        with pytest.raises(Unreachable):
            async for _repo in client.list_repo():
                pass


def test_importing_the_client_loads_nothing_heavy() -> None:
    code = "import sys, json, pachybox.client.sync; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    heavy = {"asyncio", "http", "http.client", "urllib.request", "ssl", "google.protobuf", "yaml",
             "duckdb", "numpy", "argparse", "pathlib", "uuid", "subprocess"}  # fmt: skip
    # the interpreter's own site start-up may bring some (an editable install's finder)
    base = subprocess.run(
        [sys.executable, "-c", "import sys, json; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not (loaded & heavy) - set(json.loads(base.stdout))
