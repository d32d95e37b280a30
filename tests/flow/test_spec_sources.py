"""Where specs come from: directories, several files, URLs, Git repositories, templates."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.boxes import RealBox
from tests.flow.shell import Run, refused, runner, succeeded


def spec(name: str, repo: str) -> str:
    return json.dumps(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": repo, "glob": "/*"}},
            "transform": {"cmd": ["sh", "-c", f"cp /pfs/{repo}/* /pfs/out/"]},
        }
    )


@pytest.fixture
def run(
    shared_box: RealBox,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    if not any(repo.name == "texts" for repo in shared_box.client.list_repo()):
        shared_box.client.create_repo("texts")
    monkeypatch.chdir(tmp_path)
    return runner(shared_box, tmp_path / "config", capfdbinary, monkeypatch)


@pytest.fixture
def dag(shared_box: RealBox, tmp_path: Path) -> Iterator[Path]:
    """A directory with a chain of three pipelines, the last of them first by name."""
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "a.json").write_text(spec("third", "second"))
    (folder / "b.yaml").write_text(spec("second", "first"))
    (folder / "c.jsonnet").write_text(
        "function(repo='texts') {pipeline: {name: 'first'}, transform: {cmd: ['true']},"
        " input: {pfs: {repo: repo, glob: '/*'}}}"
    )
    (folder / "notes.txt").write_text("no spec")
    (folder / ".hidden.json").write_text("no spec")
    yield folder
    for name in ("third", "second", "first"):
        if name in names(shared_box):
            shared_box.client.delete_pipeline(name)


@pytest.fixture
def repository(dag: Path) -> str:
    """The same in a Git repository, at the tag v1; after it, the main branch has no spec."""

    def git(*words: str) -> None:
        who = ("-c", "user.name=n", "-c", "user.email=e", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *who, *words], cwd=dag.parent, check=True, capture_output=True)

    git("init")
    (dag.parent / "link.yaml").symlink_to("specs/b.yaml")
    git("add", "specs", "link.yaml")
    git("commit", "-m", "one")
    git("tag", "v1")
    git("rm", "-r", "specs", "link.yaml")
    (dag.parent / "README").write_text("nothing")
    git("add", "README")
    git("commit", "-m", "two")
    dag.mkdir()
    return f"git+file://{dag.parent}"


def names(box: RealBox) -> set[str]:
    return {pipeline.name for pipeline in box.client.list_pipeline()}


class Site(BaseHTTPRequestHandler):
    """Answers /moved with a redirect to what follows, /page with HTML, the rest with a spec."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        kind, body, status = "text/plain", spec("first", "texts").encode(), 200
        if self.path.startswith("/moved"):
            status = 302
        elif self.path.startswith("/page"):
            kind, body = "text/html; charset=utf-8", b"<html>"
        elif self.path.endswith("/none.json"):
            status = 404
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.path.removeprefix("/moved"))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_directory_of_a_dag_is_made_at_once(run: Run, dag: Path, shared_box: RealBox) -> None:
    """Whatever the files are called; and it says which were taken."""
    made = run(f"create pipeline -f {dag}")
    assert succeeded(made) == ""
    assert made.err == f"pachybox: specs of {dag}: a.json, b.yaml, c.jsonnet\n"
    assert names(shared_box) == {"first", "second", "third"}
    assert succeeded(run(f"update pipeline -f {dag} --arg repo=texts")) == ""
    assert shared_box.client.inspect_pipeline("third").version == 2


def test_all_specs_of_a_call_are_made_or_none(run: Run, dag: Path, shared_box: RealBox) -> None:
    """The one that is wrong is named by its file."""
    (dag / "b.yaml").write_text(spec("second", "first").replace("/*", "[", 1))
    files = f"-f {dag}/c.jsonnet -f {dag}/b.yaml"
    said = run(f"create pipeline {files}")
    assert said.status == 1
    assert f"{dag}/b.yaml:1:77: input.pfs.glob" in said.err
    assert run(f"validate pipeline {files}").status == 1
    (dag / "b.yaml").write_text(spec("first", "texts"))
    twice = (
        f"{dag}/b.yaml: first is in {dag}/c.jsonnet already; rename one of them, or leave it out"
    )
    assert refused(run(f"create pipeline {files}")) == twice
    assert names(shared_box) == set()
    (dag / "b.yaml").write_text(spec("second", "first"))
    assert succeeded(run(f"validate pipeline {files}")) == "first: valid\nsecond: valid\n"
    assert names(shared_box) == set()


def test_a_git_repository(run: Run, repository: str, shared_box: RealBox) -> None:
    """A directory or a file of it, at a tag or the newest commit."""
    assert succeeded(run(f"create pipeline -f {repository}@v1#specs")) == ""
    assert names(shared_box) == {"first", "second", "third"}
    for file in ("specs/b.yaml", "link.yaml"):
        assert succeeded(run(f"validate pipeline -f {repository}@v1#{file}")) == "second: valid\n"
    said = refused(run(f"validate pipeline -f {repository}#specs"))
    assert said.startswith(f"cannot read {repository}#specs: there is no specs; ")
    said = refused(run(f"validate pipeline -f {repository}none#specs"))
    assert "does not appear to be a git repository" in said
    assert "holds no spec" in refused(run(f"validate pipeline -f {repository}#."))
    assert "nowhere" in refused(run(f"validate pipeline -f {repository}@nowhere#specs"))
    assert "is not understood" in refused(run("validate pipeline -f git+file:///x"))


def test_a_git_host(run: Run, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the short form and by the address of a page."""
    monkeypatch.setenv("PACHYBOX_GITHUB_URL", f"{site}/hub")
    monkeypatch.setenv("PACHYBOX_GITLAB_URL", f"{site}/lab")
    Site.asked.clear()
    for name in (
        "github.com/acme/vision/specs/first.json",
        "github.com/acme/vision/first.json@feature/x",
        "https://github.com/acme/vision/blob/v1/specs/first.json",
        "gitlab.com/acme/vision/first.json@v1",
        f"{site}/group/sub/repo/-/blob/main/first.json",
    ):
        assert succeeded(run(f"validate pipeline -f {name}")) == "first: valid\n"
    assert Site.asked == [
        "/hub/acme/vision/raw/HEAD/specs/first.json",
        "/hub/acme/vision/raw/feature/x/first.json",
        "/hub/acme/vision/raw/v1/specs/first.json",
        "/lab/acme/vision/-/raw/v1/first.json",
        "/group/sub/repo/-/raw/main/first.json",
    ]
    said = refused(run("validate pipeline -f github.com/acme/vision/none.json"))
    assert said.startswith("cannot fetch github.com/acme/vision/none.json: 404 Not Found; ")


def test_a_directory_at_a_git_host(
    run: Run, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the git program, from the server that the variable names."""
    (tmp_path / "hub/acme").mkdir(parents=True)
    (tmp_path / "hub/acme/vision.git").symlink_to(tmp_path / ".git")
    monkeypatch.setenv("PACHYBOX_GITHUB_URL", f"file://{tmp_path}/hub")
    valid = "first: valid\nsecond: valid\nthird: valid\n"
    for name in ("github.com/acme/vision/specs@v1", "https://github.com/acme/vision/tree/v1/specs"):
        said = run(f"validate pipeline -f {name}")
        assert succeeded(said) == valid
        assert said.err == f"pachybox: specs of {name}: a.json, b.yaml, c.jsonnet\n"


def test_urls(run: Run, site: str) -> None:
    """Redirects are followed, but to no other scheme; a web page is told from a spec."""
    assert succeeded(run(f"validate pipeline -f {site}/moved/x")) == "first: valid\n"
    assert "is a web page" in refused(run(f"validate pipeline -f {site}/page"))
    assert "cannot fetch" in refused(run(f"validate pipeline -f {site}/movedfile:///etc/passwd"))
    assert "named twice" in refused(run("validate pipeline -f - -f -"))
