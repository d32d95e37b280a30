"""What commands do: files up and down, contexts, transactions, editing, completion, start-up."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import stat
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.cli.draw import draw, layers
from pachybox.cli.output import Painted, columns
from pachybox.cli.progress import Bar
from pachybox.cli.put import destination
from pachybox.cli.spec import input_repos, input_text
from pachybox.errors import InvalidArgument, NotFound

ID = "0123456789ab4cdef0123456789abcde"


# ---- put file


@pytest.mark.parametrize(
    ("path", "source", "alone", "full", "expected"),
    [
        ("/x/a.png", "b.png", True, False, "/x/a.png"),
        ("", "dir/b.png", True, False, "/b.png"),
        ("", "dir/b.png", True, True, "/dir/b.png"),
        ("", "../../dir/b.png", True, True, "/dir/b.png"),
        ("/", "dir/b.png", True, False, "/b.png"),
        ("/x/", "dir/b.png", True, False, "/x/b.png"),
        ("/x", "dir/b.png", False, False, "/x/b.png"),
        ("/x", "/abs/b.png", False, True, "/x/abs/b.png"),
        ("", "https://h/a/b.png?q=1", True, False, "/b.png"),
        ("", "s3://bucket/a/b.png", True, True, "/a/b.png"),
        ("/x", "-", True, False, "/x"),
        ("", ".", True, False, "/"),
    ],
)
def test_destinations_follow_the_rules_of_put_file(
    path: str, source: str, alone: bool, full: bool, expected: str
) -> None:
    assert destination(path, source, alone=alone, full_path=full) == expected


def test_stdin_needs_a_path(run: Any, box: Any) -> None:
    done = run("put", "file", "r@b", stdin=b"x")
    assert done.status == 1
    assert "stdin has no name" in done.err
    assert run("put", "file", "r@b:/x", stdin=b"x").status == 0
    assert box.files == {"/x": b"x"}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "photos"
    (root / "sub").mkdir(parents=True)
    (root / "a.png").write_bytes(b"a")
    (root / "sub" / "b.png").write_bytes(b"b" * 400_000)
    monkeypatch.chdir(tmp_path)
    return root


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("r@b:/", {"/a.png", "/sub/b.png"}),
        ("r@b", {"/photos/a.png", "/photos/sub/b.png"}),
        ("r@b:/x", {"/x/a.png", "/x/sub/b.png"}),
        ("r@b:x/y/", {"/x/y/a.png", "/x/y/sub/b.png"}),
    ],
)
def test_a_directory_goes_where_it_is_told(
    run: Any, box: Any, tree: Path, target: str, expected: set[str]
) -> None:
    assert run("put", "file", "-r", target, "-f", "photos/").status == 0
    assert set(box.files) == expected
    assert box.commits == 1


def test_several_sources_are_one_commit_and_may_not_share_a_path(
    run: Any, box: Any, tree: Path
) -> None:
    (tree / "list").write_text("photos/a.png\nphotos/sub/b.png\n")
    assert run("put", "file", "r@b:/x", "-i", str(tree / "list")).status == 0
    assert set(box.files) == {"/x/a.png", "/x/b.png"}
    assert box.commits == 1
    (tree / "sub" / "a.png").write_bytes(b"other")
    done = run("put", "file", "r@b", "-f", "photos/a.png", "-f", "photos/sub/a.png")
    assert done.status == 1
    assert "multiple files put with the path /a.png" in done.err
    assert box.commits == 1


def test_a_directory_without_r_and_missing_files_are_refused(
    run: Any, box: Any, tree: Path
) -> None:
    assert "add -r" in run("put", "file", "r@b", "-f", "photos").err
    assert "cannot read nowhere: No such file" in run("put", "file", "r@b", "-f", "nowhere").err
    assert box.commits == 0


def test_appending_splitting_and_untarring(run: Any, box: Any, tree: Path) -> None:
    box.files["/x"] = b"1"
    run("put", "file", "-a", "r@b:/x", stdin=b"2")
    assert box.files["/x"] == b"12"
    run("put", "file", "r@b:/s", "--split", "line", "--target-file-datums", "2", stdin=b"a\nb\n")
    how = {"split": "line", "target_file_datums": 2, "append": False}
    assert box.ops == [["s", "/s", 4, how]]
    assert "needs --split" in run("put", "file", "r@b:/s", "--header-records", "1").err
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(tree, "p")
    assert run("put", "file", "--untar", "r@b:/t", stdin=archive.getvalue()).status == 0
    assert box.files["/t/p/sub/b.png"] == b"b" * 400_000
    assert "not a tar archive" in run("put", "file", "--untar", "r@b:/t", stdin=b"junk").err


def test_urls_are_fetched_by_the_box(run: Any, box: Any) -> None:
    run("put", "file", "r@b:/data", "-r", "-f", "s3://bucket/prefix/")
    assert box.ops == [["u", "/data", "s3://bucket/prefix/", {"recursive": True, "append": False}]]


def test_the_shells_process_substitution_is_read_to_its_end(
    run: Any, box: Any, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe")
    os.close(writer)
    assert run("put", "file", "r@b:/x", "-f", f"/dev/fd/{reader}").status == 0
    os.close(reader)
    assert box.files == {"/x": b"from a pipe"}
    os.mkfifo(tmp_path / "fifo")
    assert "is a named pipe" in run("put", "file", "r@b:/x", "-f", str(tmp_path / "fifo")).err


# ---- get, list, delete


def test_getting_to_stdout_a_file_a_directory_and_the_missing_tail(
    run: Any, box: Any, tmp_path: Path
) -> None:
    box.files = {"/d/a": b"0123456789", "/d/e/b": b"b"}
    box.answers["InspectFile"] = NotFound("no")
    assert run("get", "file", "r@b:/d/a").out == "0123456789"
    assert run("get", "file", "r@b:/d/a", "--offset", "8").out == "89"
    assert run("get", "file", "r@b:/d/a", "-o", str(tmp_path / "o")).out == ""
    assert (tmp_path / "o").read_bytes() == b"0123456789"
    (tmp_path / "o").write_bytes(b"0123")
    run("get", "file", "r@b:/d/a", "-o", str(tmp_path / "o"), "--retry")
    assert (tmp_path / "o").read_bytes() == b"0123456789"
    run("get", "file", "r@b:/d/a", "-o", str(tmp_path))
    assert (tmp_path / "a").read_bytes() == b"0123456789"
    assert run("get", "file", "-r", "r@b:/d", "-o", str(tmp_path / "t")).status == 0
    assert (tmp_path / "t" / "e" / "b").read_bytes() == b"b"
    assert run("get", "file", "r@b:/d/*").out == "0123456789b"
    assert "glob=1" in box.asked[-1].target
    assert "add -o" in run("get", "file", "-r", "r@b:/d").err
    assert "add -r" in run("get", "file", "r@b:/d").err


def test_a_name_with_a_patterns_character_is_that_file_when_there_is_one(
    run: Any, box: Any
) -> None:
    box.files = {"/a(1)": b"x"}
    box.answers["InspectFile"] = {"file": {"path": "/a(1)"}, "fileType": "FILE"}
    assert run("get", "file", "r@b:/a(1)").out == "x"
    assert "glob=1" not in box.asked[-1].target


def test_listing_a_pattern_lists_what_every_match_holds(run: Any, box: Any) -> None:
    box.answers["InspectFile"] = NotFound("no")
    box.answers["GlobFile"] = [
        {"file": {"path": "/d1/"}, "fileType": "DIR"},
        {"file": {"path": "/f"}, "fileType": "FILE"},
    ]
    box.answers["ListFile"] = lambda body: [
        {"file": {"path": body["file"]["path"] + "/x"}, "fileType": "FILE"}
    ]
    lines = run("list", "file", "r@b:/*").out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "/d1/x", "/f"]
    box.answers["GlobFile"] = []
    assert run("list", "file", "r@b:/*").status == 1


def test_deleting_needs_a_path(run: Any, box: Any) -> None:
    assert run("delete", "file", "r@b").status == 1
    assert run("delete", "file", "r@b:/a").status == 0
    assert box.ops == [["d", "/a"]]


def test_a_diff_is_the_text_that_changed(
    run: Any, box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def side(id: str) -> dict[str, Any]:
        commit = {"repo": {"name": "r"}, "id": id}
        return {"file": {"commit": commit, "path": "/notes"}, "fileType": "FILE"}

    box.answers["DiffFile"] = [{"newFile": side("1" * 32), "oldFile": side("2" * 32)}]
    asked: list[str] = []

    def serve(target: str) -> None:
        asked.append(target)
        box.files = {"/notes": b"new\n" if "1" * 32 in target else b"old\n"}

    monkeypatch.setattr(box, "before_get", serve)
    for command in ((), ("--diff-command", "diff -ru"), "builtin"):
        if command == "builtin":
            monkeypatch.setattr("shutil.which", lambda name: None)
            command = ()
        done = run("diff", "file", "r@b:/notes", *command)
        assert done.status == 0
        assert "\n-old\n+new\n" in done.out
        assert "old/notes" in done.out


# ---- confirmations


@pytest.mark.parametrize(
    ("command", "method"),
    [
        ("delete all", "DeleteAll"),
        ("delete repo --all", "DeleteRepos"),
        ("delete pipeline --all", "DeletePipelines"),
    ],
)
def test_deleting_everything_asks_first(run: Any, box: Any, command: str, method: str) -> None:
    box.answers[method] = {}
    for answer in (b"", b"no\n"):
        done = run(*command.split(), stdin=answer)
        assert done.status == 1
        assert "not confirmed" in done.err
    assert not [a for a in box.asked if a.method == method]
    assert run(*command.split(), stdin=b"yes\n").status == 0
    assert run(*command.split(), "-y").status == 0
    assert [a for a in box.asked if a.method == method]


# ---- transactions, contexts


def test_a_transaction_is_sent_with_what_can_be_queued_until_it_is_finished(
    run: Any, box: Any, tmp_path: Path
) -> None:
    box.answers.update(
        StartTransaction={"id": "t1"},
        FinishTransaction={"transaction": {"id": "t1"}, "requests": [{}, {}]},
        CreateRepo={},
        ListRepo=[],
        InspectTransaction={
            "transaction": {"id": "t1"},
            "requests": [{"createRepo": {"repo": {"name": "a"}}}],
        },
    )
    assert run("start", "transaction").out == "t1\n"
    assert "is open" in run("start", "transaction").err
    run("create", "repo", "a")
    assert box.last("CreateRepo").headers["pach-transaction"] == "t1"
    assert "createRepo a" in run("inspect", "transaction").out
    settings = tmp_path / "config" / "pachybox" / "config.json"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    run("stop", "transaction")
    run("create", "repo", "b")
    assert "pach-transaction" not in box.last("CreateRepo").headers
    run("resume", "transaction", "t1")
    assert run("finish", "transaction").out == "Completed transaction with 2 requests: t1\n"
    done = run("finish", "transaction")
    assert done.status == 1
    assert "no transaction is open" in done.err


def test_contexts_name_boxes_and_projects(
    run: Any, box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.answers["ListRepo"] = []
    monkeypatch.delenv("PACHYBOX_ADDRESS")
    monkeypatch.delenv("PACHYBOX_HOME")
    assert run("connect", box.url, "--alias", "lab").status == 0
    assert run("config", "get", "active-context").out == "lab\n"
    run("config", "update", "context", "lab", "--project", "genomes", "--token", "s3cret")
    assert run("list", "repo").status == 0
    assert box.last("ListRepo").body["projects"] == [{"name": "genomes"}]
    assert box.last("ListRepo").headers["authorization"] == "Bearer s3cret"
    assert run("config", "get", "context", "lab").out.count("***") == 1
    assert re.search(rf"\* +lab +{box.url} +genomes", run("config", "list", "context").out)
    assert run("config", "delete", "context", "lab").status == 1
    run("config", "set", "active-context", "local")
    assert run("config", "delete", "context", "lab").status == 0
    assert run("config", "set", "active-context", "lab").status == 1
    given = json.dumps({"pachd_address": box.url}).encode()
    assert run("config", "set", "context", "two", stdin=given).status == 0
    assert run("config", "set", "context", "two", stdin=b"{}").status == 1
    assert run("config", "set", "context", "three", stdin=b'{"x": 1}').status == 1


# ---- pipelines


@pytest.fixture
def site() -> Any:
    """A web server with one spec."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/spec" else 404)
            self.end_headers()
            self.wfile.write(b"spec from the web")

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_specs_come_from_a_file_a_url_or_stdin_as_they_are(
    run: Any, box: Any, tmp_path: Path, site: str
) -> None:
    box.answers["CreatePipelines"] = {"pipelines": [], "warnings": ["pod_spec is ignored"]}
    (tmp_path / "s.yaml").write_text("spec from a file")
    done = run("create", "pipeline", "-f", str(tmp_path / "s.yaml"), "--runner", "process")
    assert done.err == "pachybox: warning: pod_spec is ignored\n"
    body = box.last("CreatePipelines").body
    assert (body["text"], body["update"], body["runner"]) == ("spec from a file", False, "process")
    run("update", "pipeline", "--reprocess", stdin=b"spec from stdin")
    body = box.last("CreatePipelines").body
    assert (body["text"], body["update"], body["reprocess"]) == ("spec from stdin", True, True)
    run("create", "pipeline", "-f", f"{site}/spec")
    assert box.last("CreatePipelines").body["text"] == "spec from the web"
    assert "cannot fetch" in run("create", "pipeline", "-f", f"{site}/nothing").err
    assert "cannot read" in run("create", "pipeline", "-f", str(tmp_path / "nothing")).err
    box.answers["RenderTemplate"] = {"json": '{"made": "by it"}'}
    run("create", "pipeline", "--jsonnet", f"{site}/spec", "--arg", "a=b=c")
    asked = box.last("RenderTemplate").body
    assert (asked["template"], asked["args"]) == ("spec from the web", {"a": "b=c"})
    assert json.loads(box.last("CreatePipelines").body["text"]) == [{"made": "by it"}]
    assert (
        "write --arg KEY=VALUE"
        in run("create", "pipeline", "--jsonnet", f"{site}/spec", "--arg", "x").err
    )
    assert "--arg goes with a template" in run("create", "pipeline", "--arg", "x=y").err


def test_defaults_are_edited(run: Any, box: Any, tmp_path: Path) -> None:
    box.answers["GetClusterDefaults"] = {"clusterDefaultsJson": '{"a": 1}'}
    box.answers["SetClusterDefaults"] = {
        "affectedPipelines": [{"project": {"name": "lab"}, "name": "edges"}]
    }
    script = tmp_path / "editor"
    script.write_text("sed -i s/1/2/ $1")
    done = run("edit", "defaults", "--cluster", "--regenerate", "--editor", f"sh {script}")
    assert (done.status, done.out) == (0, "lab/edges\n")
    body = box.last("SetClusterDefaults").body
    assert (json.loads(body["cluster_defaults_json"]), body["regenerate"]) == ({"a": 2}, True)
    assert "unchanged" in run("edit", "defaults", "--cluster", "--editor", "true").err


def test_checking_a_spec_prints_what_would_be_used(run: Any, box: Any) -> None:
    made = {"name": "edges", "version": "1", "effectiveSpecJson": '{"a": 1}'}
    box.answers["CreatePipelines"] = {"pipelines": [made]}
    assert json.loads(run("create", "pipeline", "--dry-run", stdin=b"x").out) == {"a": 1}
    assert box.last("CreatePipelines").body["dry_run"] is True


def test_validating_tells_every_problem_and_fails(run: Any, box: Any) -> None:
    right = {"pipelines": [{"name": "edges"}], "warnings": ["odd"]}
    box.answers["ValidatePipelines"] = right
    done = run("validate", "pipeline", stdin=b"x")
    assert (done.out, done.status) == ("edges: valid\n", 0)
    assert done.err == "pachybox: warning: odd\n"
    box.answers["ValidatePipelines"] = {**right, "problems": ["x:1: a", "x:2: b"]}
    done = run("validate", "pipeline", stdin=b"x")
    assert (done.out, done.status) == ("", 1)
    assert done.err.splitlines()[1:] == ["pachybox: x:1: a", "pachybox: x:2: b"]


def test_a_cron_is_run_by_hand(run: Any, box: Any) -> None:
    box.answers["RunCron"] = {}
    assert run("run", "cron", "nightly").status == 0
    assert box.last("RunCron").body["pipeline"]["name"] == "nightly"


def test_editing_updates_when_the_text_changed(run: Any, box: Any, tmp_path: Path) -> None:
    box.answers["ExtractPipeline"] = {"specJson": '{"description": "old"}'}
    box.answers["InspectPipeline"] = {"pipeline": {"name": "edges"}, "version": "3"}
    box.answers["CreatePipelines"] = {}
    assert "unchanged" in run("edit", "pipeline", "edges", "--editor", "true").err
    assert not [a for a in box.asked if a.method == "CreatePipelines"]
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i s/old/new/ $1\n")
    editor.chmod(0o755)
    assert run("edit", "pipeline", "edges", "--editor", str(editor), "-o", "yaml").status == 0
    assert box.last("CreatePipelines").body["text"] == "description: new\n"
    assert run("edit", "pipeline", "edges", "--editor", "false").status == 1


@pytest.mark.parametrize(
    ("name", "version"),
    [("edges", None), ("edges^", 4), ("edges^^", 3), ("edges~2", 3), ("edges.1", 1)],
)
def test_earlier_versions_are_named_by_ancestry(
    run: Any, box: Any, name: str, version: int | None
) -> None:
    box.answers["InspectPipeline"] = {"pipeline": {"name": "edges"}, "version": "5"}
    box.answers["ExtractPipeline"] = {"specJson": "{}"}
    assert run("extract", "pipeline", name).out == "{}\n"
    assert box.last("ExtractPipeline").body.get("version") == version
    assert run("extract", "pipeline", "edges^9").status == 1


def test_inputs_are_told_in_one_line() -> None:
    pfs = {"pfs": {"repo": "a", "glob": "/*"}}
    assert input_text(pfs) == "a:/*"
    assert input_text({"cross": [pfs, {"join": [pfs, pfs]}]}) == "(a:/* ⨯ (a:/* ⋈ a:/*))"
    assert input_text({}) == "none"
    assert list(input_repos({"union": [pfs, {"cron": {"name": "tick"}}]})) == [
        ("", "a"),
        ("", "tick"),
    ]


DIAMOND = {"images": [], "edges": ["images"], "grey": ["images"], "montage": ["edges", "grey"]}


def test_the_graph_is_drawn_with_sources_above() -> None:
    assert layers(DIAMOND) == [["images"], ["edges", "grey"], ["montage"]]
    picture = draw(DIAMOND)
    assert picture == (
        "┌────────┐\n"
        "│ images │\n"
        "└────┬───┘\n"
        "     ├──────────┐\n"
        " ┌───┴───┐  ┌───┴──┐\n"
        " │ edges │  │ grey │\n"
        " └───┬───┘  └───┬──┘\n"
        "     └──┐   ┌───┘\n"
        "     ┌──┴───┴──┐\n"
        "     │ montage │\n"
        "     └─────────┘\n"
    )
    assert draw({}) == ""
    assert "│ im~ │" in draw(DIAMOND, width=3)
    assert set(draw(DIAMOND, plain=True)) <= set("+-| \nagdeghimnorsty")


def test_a_line_that_goes_past_a_layer_has_a_lane_and_crosses_without_joining() -> None:
    """``c`` reads ``a`` past the layer of ``b``; the line of ``x`` goes under that of ``a``."""
    nodes = {"a": [], "x": [], "b": ["a", "x"], "c": ["b", "a"]}
    picture = draw(nodes).splitlines()
    assert "│  │ b │" in "\n".join(picture)
    crossing = draw({"a": [], "b": [], "c": ["a", "b"], "d": ["a", "b"]})
    assert "─│─" in crossing


def test_wide_graphs_fit_and_wide_letters_align() -> None:
    wide = {"images": [], **{f"w{i}": ["images"] for i in range(40)}}
    wide["all"] = [f"w{i}" for i in range(0, 40, 10)]
    for line in draw(wide, room=80).splitlines():
        assert columns(line) <= 80
    top, text, bottom = draw({"日本": []}).splitlines()
    assert columns(top) == columns(text) == columns(bottom) == 8


def test_states_colour_the_names_only_where_asked() -> None:
    labels = {"a": Painted.of("a: failure", "red")}
    assert "\033[31ma: failure\033[0m" in draw({"a": []}, labels=labels, paint=True)
    assert "\033" not in draw({"a": []}, labels=labels)


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=4))
)
def test_any_graph_is_drawn_with_every_node_once_even_with_cycles(
    nodes: dict[str, list[str]],
) -> None:
    whole = {**{n: [] for reads in nodes.values() for n in reads}, **nodes}
    for room in (0, 20):
        picture = draw(whole, room=room)
        for name in whole:
            assert picture.count(f"│ {name} │") == 1


# ---- progress, completion, endings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only_and_cleared_at_the_end() -> None:
    now = [0.0]
    out = Terminal()
    with Bar("put", total=1000, stream=out, clock=lambda: now[0]) as bar:
        bar(1, 1)
        assert out.getvalue() == ""
        now[0] = 2.0
        bar(500, 1)
        assert "50%" in out.getvalue()
        assert "250B/s" in out.getvalue()
        assert "0:02 left" in out.getvalue()
    assert out.getvalue().endswith("\r\033[K")
    quiet = io.StringIO()
    with Bar("put", stream=quiet, clock=lambda: now[0]) as bar:
        now[0] = 9.0
        bar(1, 1)
    assert quiet.getvalue() == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-- cre", ["create"]),
        ("create -- p", ["project", "pipeline"]),
        ("config get -- a", ["active-context", "audit_bytes"]),
        ("inspect repo -- im", ["images"]),
        ("list commit -- im", ["images@"]),
        ("list commit -- images@m", ["images@master"]),
        ("get file -- images@master:/d", ["images@master:/d/"]),
        ("get file -- images@m", ["images@master:"]),
        ("inspect pipeline -- e", ["edges"]),
        ("logs -p -- e", ["edges"]),
        ("inspect job -- edges@", [f"edges@{ID}"]),
        ("list repo -- --fu", ["--full-timestamps"]),
    ],
)
def test_completion_offers_commands_flags_and_the_boxs_names(
    run: Any, box: Any, words: str, expected: list[str]
) -> None:
    box.answers.update(
        ListRepo=[{"repo": {"name": "images"}}, {"repo": {"name": "texts"}}],
        ListBranch=[{"branch": {"name": "master"}}],
        ListCommit=[{"commit": {"id": ID}}],
        ListFile=[{"file": {"path": "/d/"}, "fileType": "DIR"}],
        ListPipeline=[{"pipeline": {"name": "edges"}}],
        ListJob=[{"job": {"pipeline": {"name": "edges"}, "id": ID}}],
    )
    done = run("__complete", *words.split(), *([] if words.split()[-1] != "--" else [""]))
    assert done.status == 0
    assert done.out.split() == expected


def test_completion_without_a_box_offers_nothing_and_is_quiet(run: Any) -> None:
    assert run("__complete", "inspect", "repo", "--", "x") == (0, "", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shells_script_is_valid(run: Any, shell: str, tmp_path: Path) -> None:
    import shutil

    script = run("completion", shell).out
    assert "__complete" in script
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not on this machine")
    (tmp_path / "s").write_text(script)
    subprocess.run([shell, "-n", str(tmp_path / "s")], check=True)


def test_bash_completes_words_with_at_signs_and_colons(box: Any, tmp_path: Path) -> None:
    box.answers["ListRepo"] = [{"repo": {"name": "images"}}]
    box.answers["ListBranch"] = [{"branch": {"name": "master"}}]
    box.answers["ListCommit"] = []
    code = """
        pachybox() { "$PYTHON" -m pachybox.cli "$@"; }
        eval "$(pachybox completion bash)"
        compopt() { :; }
        COMP_LINE='pachybox get file images@ma' COMP_POINT=27
        COMP_WORDS=(pachybox get file images @ ma) COMP_CWORD=5
        _pachybox; echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", code],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "master:\n"


def command(*argv: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "pachybox.cli", *argv], **options)


def test_ctrl_c_is_quiet_and_exits_130(box: Any) -> None:
    import signal

    asked = threading.Event()
    released = threading.Event()

    def wait(body: object) -> dict[str, Any]:
        asked.set()
        released.wait(10)
        return {}

    box.answers["InspectCommit"] = wait
    child = command("wait", "commit", "a@b", stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert asked.wait(10)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=10)
    released.set()
    assert (child.returncode, out, err) == (130, b"", b"")


def test_a_reader_that_has_seen_enough_is_no_error(box: Any) -> None:
    box.answers["ListRepo"] = [{"repo": {"name": f"r{i}"}} for i in range(20_000)]
    child = command("list", "repo", stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout
    assert child.stderr
    child.stdout.readline()
    child.stdout.close()
    err = child.stderr.read()
    child.stderr.close()
    assert (child.wait(10), err) == (0, b"")


def test_the_usual_commands_load_nothing_heavy(box: Any) -> None:
    box.answers["ListRepo"] = []
    heavy = {
        "asyncio", "http", "http.client", "urllib.request", "ssl", "google", "yaml", "duckdb",
        "numpy", "uuid", "blake3", "pachybox.api", "pachybox.client.sync", "pachybox.daemon",
    }  # fmt: skip
    code = (
        "import sys, json; before = set(sys.modules); from pachybox.cli import main;"
        "main(sys.argv[1:]); sys.stderr.write(json.dumps(sorted(set(sys.modules) - before)))"
    )
    for argv in (["list", "repo"], ["--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *argv], capture_output=True, text=True, check=True
        )
        loaded = set(json.loads(done.stderr))
        assert not loaded & heavy
        if argv == ["--help"]:
            assert "argparse" not in loaded


def test_versions(run: Any, box: Any) -> None:
    import pachybox

    box.answers["GetVersion"] = {"major": 2, "minor": 12}
    box.answers["Status"] = {"version": "9.9"}
    assert run("version", "--client-only").out == f"{pachybox.__version__}\n"
    assert run("version").out.split()[-3:] == ["Pachyderm", "API", "2.12.0"]
    assert json.loads(run("version", "--raw").out)["box"] == "9.9"


def test_checks_of_the_box_end_with_1_when_something_is_wrong(run: Any, box: Any) -> None:
    box.answers["Fsck"] = [{"level": "info", "thing": "store", "detail": "7 blobs"}]
    assert run("fsck") == (0, "info: store: 7 blobs\n", "")
    box.answers["Fsck"] = [{"level": "error", "thing": "blob x", "detail": "is missing"}]
    assert run("fsck", "-f").status == 1
    assert box.last("Fsck").body == {"fix": True}
    box.answers["CollectGarbage"] = {"freedBytes": "2048", "packsRemoved": "1"}
    assert run("garbage-collect").out == "freed 2KiB: 1 packs, 0 large objects\n"


def test_events_are_lines_or_records(run: Any, box: Any) -> None:
    box.answers["SubscribeEvents"] = [
        {"seq": "4", "time": "2026-01-02T03:04:05Z", "kind": "commit.finished", "data": {"id": "x"}}
    ]
    line = run("events", "--after", "3", "--full-timestamps").out
    assert line.split() == ["4", "2026-01-02T03:04:05Z", "commit.finished", "id=x"]
    assert json.loads(run("events", "--raw").out)["seq"] == "4"
    assert box.last("SubscribeEvents").body["from"] == "1"


def test_a_broken_settings_file_is_named(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "pachybox"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")
    done = run("list", "repo")
    assert done.status == 1
    assert f"cannot read {folder}/config.json" in done.err


@given(st.text(max_size=30), st.sampled_from(["", "/", "/x", "/x/"]))
def test_destinations_are_always_absolute_and_inside(source: str, path: str) -> None:
    try:
        where = destination(path, source, alone=True)
    except InvalidArgument:
        assert source == "-"
        return
    assert where.startswith("/")
    assert ".." not in where.split("/")


def test_user_code_asks_its_worker_for_the_next_datum(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 while there is one, 1 in silence at the end; an error text goes to the worker."""
    done = run("next", "datum")
    assert done.status == 1
    assert "datum_batching" in done.err
    path = tmp_path / "next"
    answers = [b"dA=1\0B=2\0", b"d", b"e"]
    told: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        for answer in answers:
            to, _ = listener.accept()
            with to, to.makefile("rb") as said:
                told.append(said.read())
                to.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        monkeypatch.setenv("PACHYBOX_NEXT", str(path))
        assert run("next", "datum") == (0, "", "")
        assert run("next", "datum", "--error", "no such colour").status == 0
        assert run("next", "datum") == (1, "", "")
        thread.join(60)
    assert told == [b"", b"no such colour", b""]


# ---- tokens


@pytest.mark.parametrize("text", ["0", "0s", "0.5s", "1ns", "9" * 400, "9" * 400 + "d", "soon"])
def test_a_token_lasts_for_a_time_or_is_not_made(run: Any, box: Any, text: str) -> None:
    """Without any time it holds for ever, so no time may be taken for none."""
    ran = run("create", "token", "ci", "--expires", text)
    assert ran.status == 2
    assert "--expires" in ran.err
    assert not box.asked
