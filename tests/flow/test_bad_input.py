"""Bad input through the command line: one clear line each, and no trace in the box."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boxes import RealBox
from tests.flow.shell import Run, refused, runner, succeeded

NO_ID = "0123456789ab4cdef0123456789abcde"
SPEC = {
    "pipeline": {"name": "copy"},
    "input": {"pfs": {"repo": "texts", "glob": "/*"}},
    "transform": {"cmd": ["sh"], "stdin": ["cp -r /pfs/texts/* /pfs/out"]},
}


@pytest.fixture(scope="module")
def filled(shared_box: RealBox) -> RealBox:
    """A box with a repo, a pipeline and a finished job."""
    c = shared_box.client
    c.create_repo("texts")
    with c.put("texts@master") as put:
        put.data("/a", b"one\n")
        put.data("/sub/b", b"two\n")
    c.create_pipelines(json.dumps(SPEC))
    c.wait_commit("copy@master")
    return shared_box


@pytest.fixture
def run(
    filled: RealBox,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return runner(filled, tmp_path / "config", capfdbinary, monkeypatch)


@pytest.fixture
def unchanged(filled: RealBox) -> Iterator[None]:
    """After the test the box holds what it held before, to the byte."""

    def state() -> list[Any]:
        c = filled.client
        c.collect_garbage()
        branches = [(b.name, b.head) for b in c.list_branch("texts")]
        status = c.status()
        return [
            branches,
            sorted(str(r) for r in c.list_repo(type="all", all_projects=True)),
            sorted(p.name for p in c.list_project()),
            sorted(str(p) for p in c.list_pipeline(all_projects=True)),
            (status.commits, status.store_bytes),
        ]

    before = state()
    yield
    assert state() == before


# ---- names


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("inspect repo nope", "repo default/nope not found; list repo"),
        ("list commit nope", "repo default/nope not found"),
        ("list branch nope", "repo default/nope not found"),
        ("list file texts@nope", 'branch "nope" not found in repo default/texts; list branch'),
        ("list file texts@abcdef12", "commit abcdef12 not found in repo default/texts"),
        (f"list file texts@{NO_ID}", f"commit {NO_ID} not found in repo default/texts"),
        ("list file texts@master^^^", "parent commit not found: master^3"),
        ("list file texts@master.9", "commit master.9 not found"),
        ("list file texts@master^~", "invalid ancestry syntax '^~'"),
        ("list file texts", "'texts' names no branch or commit; write REPO@"),
        ("list file @master", "'@master' names no branch or commit"),
        ("list file texts@master:/nope", "file /nope not found in repo default/texts at commit"),
        ("get file texts@master:/nope", "file /nope not found"),
        ("inspect file texts@master:/a/b", "file /a/b not found"),
        ("diff file texts@master:/nope", "file /nope not found"),
        ("inspect branch texts@nope", 'branch "nope" not found'),
        ("inspect pipeline nope", 'pipeline "nope" not found; list pipeline'),
        ("extract pipeline copy^", "pipeline copy has no version that far back"),
        ("edit pipeline nope", 'pipeline "nope" not found'),
        ("delete pipeline nope", 'pipeline "nope" not found'),
        ("logs -p nope", 'pipeline "nope" not found'),
        ("run pipeline nope", 'pipeline "nope" not found'),
        ("inspect job copy@nope", "job copy@nope not found; list job"),
        ("stop job nope", "job nope not found"),
        ("list datum copy@nope", "job copy@nope not found"),
        ("delete repo nope", "repo default/nope not found"),
        ("update repo nope -d x", "repo default/nope not found"),
        ("update project nope -d x", 'project "nope" not found; make it with: create project'),
        ("create repo x --project nope", 'project "nope" not found'),
        ("list repo --project nope", 'project "nope" not found'),
        ("list job --project nope", 'project "nope" not found'),
        ("list pipeline --project nope", 'project "nope" not found'),
        ("delete file nope@master:/a", "repo default/nope not found"),
        ("delete file texts@nope:/a", 'branch "nope" not found'),
        ("create branch texts@b --head nope", 'branch "nope" not found'),
        ("create branch texts@b --head copy@master", "must belong to the same repo, not to copy"),
        ("create branch texts@b -p nope@master", "repo default/nope not found"),
        (f"create branch texts@{NO_ID}", "would be taken for a commit id; choose another name"),
        ("start commit nope@master", "repo default/nope not found; list repo"),
        ("flush commit texts@nope", 'branch "nope" not found'),
        ("inspect transaction nope", "transaction nope not found; list transaction"),
        ("create repo a@b", "'a@b' is not a repo; write REPO or PROJECT/REPO"),
        ("create project a.b", "project name 'a.b' is not allowed; use at most 255 letters"),
        ("edit metadata repo nope add k=v", "repo default/nope not found"),
    ],
)
def test_a_wrong_name_is_one_line_that_names_it(
    run: Run, unchanged: None, command: str, says: str
) -> None:
    assert says in refused(run(command))


def test_a_very_long_name_is_shortened_in_the_message(run: Run, unchanged: None) -> None:
    assert len(refused(run("create", "repo", "x" * 100_000))) < 300


# ---- paths and patterns


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/../x", "has the element '..'; write the path from the root"),
        ("/a/../x", "has the element '..'"),
        ("/./x", "has the element '.'"),
        ("/" + "x" * 256, "longer than 255 bytes; use shorter names"),
        ("/" + "y/" * 3000 + "x", "longer than 3835 bytes"),
        ("/sub", "file / directory path collision: /sub; there is a directory of that name"),
        ("/a/b", "file / directory path collision: /a; there is a file of that name"),
        ("/bad\udcff", "is not a UTF-8 name"),
    ],
)
def test_a_path_that_cannot_be_is_refused_with_the_rule(
    run: Run, unchanged: None, path: str, says: str
) -> None:
    assert says in refused(run("put", "file", f"texts@master:{path}", stdin=b"x" * 300_000))


@pytest.mark.parametrize("verb", ["list", "glob", "get", "delete"])
@pytest.mark.parametrize(
    ("pattern", "says"),
    [("/[a", '"[" is never closed'), ("/(a", '"(" is never'), ("/^(a)", '"^(" means nothing')],
)
def test_a_bad_glob_is_shown_with_the_place_of_the_mistake(
    run: Run, unchanged: None, verb: str, pattern: str, says: str
) -> None:
    assert says in refused(run(verb, "file", f"texts@master:{pattern}"))


def test_control_characters_in_a_name_do_not_reach_the_terminal(run: Run, filled: RealBox) -> None:
    filled.client.create_repo("odd", "a\x1b[31m description")
    filled.client.put_file("odd@master:/a\nb\x1b[2Jc", b"x")
    for command in ("list file odd@master", "list repo", "inspect repo odd"):
        assert "\x1b" not in succeeded(run(command))
    assert "/a\\nb\\x1b[2Jc file 1B\n" in succeeded(run("list file odd@master"))
    assert "\x1b" not in refused(run("inspect", "file", "odd@master:/\x1b[31mred"))
    filled.client.delete_repo("odd")


# ---- writing where one may not


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("put file copy@master:/x", "cannot start a commit on an output branch (copy@master)"),
        ("start commit copy@master", "cannot start a commit on an output branch"),
        ("finish commit texts@master", "has already finished; write to its branch"),
        ("put file texts@master.1:/x", "has already finished; write to its branch"),
        ("put file nope@master:/x", "repo default/nope not found; make it with: create repo nope"),
        ("put file texts@master", "stdin has no name; write REPO@BRANCH:PATH"),
        ("delete file texts@master", "no path named; write REPO@BRANCH:PATH"),
        ("copy file texts@master:/a texts@master:/sub", "file / directory path collision: /sub"),
        ("copy file texts@master:/nope texts@master:/x", "file /nope not found"),
        ("copy file texts@master:/a copy@master:/x", "cannot start a commit on an output branch"),
        ("create branch texts@master -p texts@master", "cannot be in its own provenance"),
        ("delete repo texts", "repo texts has a branch that copy@master depends on"),
        ("delete repo copy", "is the output of pipeline copy; delete the pipeline"),
    ],
)
def test_writing_where_one_may_not_is_refused_with_the_reason(
    run: Run, unchanged: None, command: str, says: str
) -> None:
    assert says in refused(run(*command.split(), stdin=b"x" * 300_000))


# ---- sources of put file


def _fifo(at: Path) -> None:
    os.mkfifo(at / "x")


def _loop(at: Path) -> None:
    (at / "x").symlink_to("x")


def _dangling(at: Path) -> None:
    (at / "x").symlink_to("gone")


def _folder(at: Path) -> None:
    (at / "x").mkdir()
    (at / "x" / "f").write_text("f")


def _socket(at: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(at / "x"))


def _nothing(at: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_nothing, "cannot read x: No such file or directory"),
        (_folder, "x is a directory; add -r"),
        (_fifo, "x is a named pipe, not a file"),
        (_socket, "x is a socket, not a file"),
        (_loop, "x is a broken symbolic link"),
        (_dangling, "x is a broken symbolic link to gone"),
    ],
)
def test_a_source_that_is_no_file_is_refused_and_the_others_are_not_put(
    run: Run, unchanged: None, make: Callable[[Path], None], says: str
) -> None:
    Path("good").write_bytes(b"g" * 300_000)
    make(Path())
    assert says in refused(run("put file texts@master:/new/ -f good -f x"))


def test_a_directory_with_one_bad_entry_is_not_put_at_all(run: Run, unchanged: None) -> None:
    Path("tree/sub").mkdir(parents=True)
    Path("tree/good").write_bytes(b"g" * 300_000)
    entries: dict[str, Callable[[Path], None]] = {
        "pipe": os.mkfifo,
        "gone": lambda p: p.symlink_to("nowhere"),
        "up": lambda p: p.symlink_to(".."),
        "name\udcff": Path.touch,
    }
    for name, make in entries.items():
        path = Path("tree/sub", name)
        make(path)
        assert "sub/" in refused(run("put file -r texts@master:/new -f tree"))
        path.unlink()


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_is_no_source(run: Run, unchanged: None, device: str) -> None:
    said = refused(run(f"put file texts@master:/x -f {device}"))
    assert said.startswith(f"{device} is a device, not a file")


def test_a_file_nobody_may_read_is_named(run: Run, unchanged: None, is_root: bool) -> None:
    if is_root:
        pytest.skip("root reads everything")
    Path("secret").write_text("x")
    Path("secret").chmod(0)
    said = refused(run("put file texts@master:/x -f secret"))
    assert "cannot read secret: Permission denied" in said


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (b"good\ngone\n", "cannot read gone: No such file or directory"),
        (b"good\ngood\n", "multiple files put with the path /good"),
        (b"good\na\0b\n", "LIST:2: a NUL; write one file or URL a line"),
        (b"good\n\xff\n", "LIST is not UTF-8 text"),
        (b"good\nfolder\n", "folder is a directory; add -r"),
        (b"good\n-\n", "stdin has no name"),
        (b"\n\n", "nothing to put; the list given with -i is empty"),
        (b"good\nhttp://127.0.0.1:1/x\n", "http://127.0.0.1:1/x"),
    ],
)
def test_a_bad_line_in_a_list_puts_nothing(
    run: Run, unchanged: None, monkeypatch: pytest.MonkeyPatch, lines: bytes, says: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Path("good").write_bytes(b"g" * 300_000)
    Path("folder").mkdir()
    Path("LIST").write_bytes(lines)
    assert says in refused(run("put file texts@master -i LIST"))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("-i gone -f -", "cannot read gone: No such file or directory"),
        ("-f x -f x", "multiple files put with the path /new/x"),
        ("-f x -f x/../x", "multiple files put with the path /new/x"),
        ("-f x --header-records 1", "--header-records needs --split"),
        ("-f x --split json", "json record 1 at offset 0"),
        ("-f x --split sql", "sql data has no COPY section"),
        ("-f x --untar", "x is not a tar archive"),
    ],
)
def test_a_put_that_cannot_be_meant_puts_nothing(
    run: Run, unchanged: None, flags: str, says: str
) -> None:
    Path("x").write_bytes(b"not json, not sql, not a tar archive\n" * 10_000)
    assert says in refused(run(f"put file texts@master:/new {flags}"))


# ---- targets of get file


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("get file texts@master:/sub", "/sub is a directory; add -r and -o"),
        ("get file texts@master:/sub -o into", "/sub is a directory; add -r and -o"),
        ("get file -r texts@master:/sub", "-r needs a directory to write to; add -o DIRECTORY"),
        ("get file texts@master:/a -o gone/x", "gone/x: No such file or directory"),
        ("get file -r texts@master:/ -o taken", "taken: File exists"),
        ("get file -r texts@master:/ -o taken/x", "taken/x: Not a directory"),
        ("get file texts@master:/a --retry", "--retry needs a file to continue; add -o FILE"),
        ("get file texts@master:/nope* -o into", "file /nope* not found"),
    ],
)
def test_a_download_that_cannot_be_leaves_no_file(run: Run, command: str, says: str) -> None:
    Path("taken").write_text("mine")
    assert says in refused(run(command))
    assert os.listdir() == ["taken"]
    assert Path("taken").read_text() == "mine"


def test_a_download_does_not_follow_a_link_out_of_its_directory(run: Run) -> None:
    Path("into").mkdir()
    Path("outside").mkdir()
    Path("into/sub").symlink_to("../outside")
    said = refused(run("get file -r texts@master:/ -o into"))
    assert "cannot write to into/sub: a symbolic link" in said
    assert os.listdir("outside") == []


# ---- specs


def _changed(**fields: Any) -> str:
    return json.dumps({**SPEC, "pipeline": {"name": "new"}, **fields})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_changed(transfrom={}), 'transfrom: unknown field; did you mean "transform"'),
        (_changed(pipeline={"name": 5}), "pipeline.name: expected a string, got a number"),
        (_changed(pipeline={}), "pipeline.name: missing"),
        (_changed(transform={}), "transform.cmd: missing"),
        (_changed(input={}), "input: no input set"),
        (_changed(input={"pfs": {"repo": "texts"}}), "input.pfs.glob: missing"),
        (_changed(input={"pfs": {"repo": "texts", "glob": "/[a"}}), '"[" is never closed'),
        (_changed(input={"pfs": {"repo": "nope", "glob": "/"}}), "repo default/nope not found"),
        (_changed(input={"pfs": {"repo": "new", "glob": "/"}}), "cannot read its own output"),
        (_changed(datum_timeout="soon"), "datum_timeout: 'soon' is not a duration"),
        (_changed(pipeline={"name": "copy"}), 'pipeline "copy" already exists; change it with'),
        (f"[{_changed()},{_changed()}]", "new is here twice"),
        (
            f"[{_changed()},{_changed(pipeline={'name': 'copy'})}]",
            'pipeline "copy" already exists',
        ),
        (
            json.dumps(
                [
                    {**SPEC, "pipeline": {"name": "p"}, "input": {"pfs": {"repo": r, "glob": "/"}}}
                    | {"pipeline": {"name": n}}
                    for n, r in (("p", "q"), ("q", "p"))
                ]
            ),
            "repo default/q not found",
        ),
        ('{"pipeline": {"name": "a"},', "not valid JSON"),
        ("pipeline: {name: a\n  x: [", "not valid YAML"),
        ("", "there is no spec in it"),
        ("[]", "there is no spec in it"),
        ("5", "expected a spec (an object), got a number"),
        ("[" * 100_000, "nested deeper than 100"),
        ('!!python/object/apply:os.system ["true"]', "is not known; remove it"),
    ],
)
@pytest.mark.parametrize("verb", ["create", "validate"])
def test_a_bad_spec_is_shown_with_its_place_and_makes_nothing(
    run: Run, unchanged: None, verb: str, text: str, says: str
) -> None:
    Path("spec").write_text(text)
    if verb == "validate" and "already exists" in says:
        return  # valid as an update
    if verb == "validate" and "default/q not found" in says:
        return  # told of both that they read each other
    said = refused(run(f"{verb} pipeline -f spec"))
    assert says in said
    assert len(said) < 400


def test_an_update_that_would_make_a_circle_is_refused(run: Run, unchanged: None) -> None:
    back = {"pfs": {"repo": "copy", "glob": "/"}}
    chain = [
        {**SPEC, "pipeline": {"name": "second"}, "input": back},
        {**SPEC, "input": {"pfs": {"repo": "second", "glob": "/"}}},
    ]
    said = refused(run("update", "pipeline", stdin=json.dumps(chain).encode()))
    assert "which is made from its own output: second@master <- copy@master" in said


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("gone.json", "cannot read gone.json: No such file or directory"),
        ("folder", "folder holds no spec; the names of specs end in .json,"),
        ("binary", "binary is not text: byte 1 is not UTF-8; give a spec in JSON or YAML"),
        ("nul", "the character U+0000"),
        ("-", "stdin is not text: byte 3 is not UTF-8"),
        ("ftp://host/spec.json", "cannot fetch ftp://host/spec.json; use http:// or https://"),
        ("http://127.0.0.1:1/spec.json", "cannot fetch http://127.0.0.1:1/spec.json"),
        ("/dev/null", "there is no spec in it"),
    ],
)
def test_a_source_that_holds_no_spec_is_named(
    run: Run, unchanged: None, source: str, says: str
) -> None:
    Path("folder").mkdir()
    Path("binary").write_bytes(b"\xff\xfe\0")
    Path("nul").write_bytes(b"\0" * 10)
    assert says in refused(run("create", "pipeline", "-f", source, stdin=b"{}\xff"))


def test_specs_that_build_on_each_other_are_valid_together_and_a_dry_run_makes_none(
    run: Run, unchanged: None
) -> None:
    second = {**SPEC, "pipeline": {"name": "next"}, "input": {"pfs": {"repo": "new", "glob": "/"}}}
    text = f"[{_changed()},{json.dumps(second)}]".encode()
    shown = succeeded(run("create", "pipeline", "--dry-run", stdin=text))
    names = [json.loads(line)["pipeline"]["name"] for line in shown.splitlines()]
    assert names == ["new", "next"]
    assert succeeded(run("validate", "pipeline", stdin=text)) == "new: valid\nnext: valid\n"


# ---- user code that misbehaves


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 7", "exit status 7"),
        ("kill -SEGV $$", "killed by signal 11 (SIGSEGV)"),
        ("ln -s /etc/passwd /pfs/out/l", "cannot upload symlink /pfs/out/l -> /etc/passwd"),
        ("ln -s l /pfs/out/l", "cannot upload symlink /pfs/out/l -> l"),
        ("mkfifo /pfs/out/p", "cannot upload special file /pfs/out/p"),
        ("printf x > \"/pfs/out/$(printf 'a\\377')\"", "its name is not UTF-8"),
        ("echo x > /pfs/texts/a", "exit status"),
    ],
)
def test_code_that_fails_is_told_by_wait_logs_and_list(
    run: Run, filled: RealBox, script: str, says: str
) -> None:
    spec = {**SPEC, "transform": {"cmd": ["sh"], "stdin": ["echo here", script]}}
    spec |= {"pipeline": {"name": "bad"}, "datum_tries": 1}
    spec["input"] = {"pfs": {"repo": "texts", "glob": "/a"}}
    succeeded(run("create", "pipeline", stdin=json.dumps(spec).encode()))
    waited = run("wait commit bad@master")
    assert waited.status == 1
    assert waited.err.count("\n") == 1
    assert says in waited.err
    listed = succeeded(run("list job -p bad"))
    assert "failure: datum" in listed
    assert says in listed
    assert succeeded(run("logs -p bad")).startswith("here\n")
    assert succeeded(run("list file bad@master")) == "NAME TYPE SIZE\n"
    assert "last job: failure" in succeeded(run("check status"))
    succeeded(run("delete pipeline bad"))


def test_code_that_floods_forks_and_kills_harms_only_itself(run: Run, filled: RealBox) -> None:
    script = [
        "head -c 50000000 /dev/zero | tr '\\0' x; yes | head -c 50000",
        "(setsid sleep 500 >/dev/null 2>&1 &)",
        "kill -9 $PPID; kill -9 -1",
        "echo done > /pfs/out/done",
    ]
    spec = {**SPEC, "pipeline": {"name": "wild"}, "transform": {"cmd": ["sh"], "stdin": script}}
    spec["input"] = {"pfs": {"repo": "texts", "glob": "/a"}}
    succeeded(run("create", "pipeline", stdin=json.dumps(spec).encode()))
    succeeded(run("wait commit wild@master"))
    assert succeeded(run("get file wild@master:/done")) == "done\n"
    assert len(succeeded(run("logs -p wild"))) < 2_000_000
    assert f"Process: {filled.client.status().pid}\n" in succeeded(run("status"))
    succeeded(run("delete pipeline wild"))


def test_the_box_is_whole_after_all_this(run: Run) -> None:
    assert "0 errors" in succeeded(run("fsck"))
