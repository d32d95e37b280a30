"""What a user of the command line sees: tables, records, exit status, signals, terminals."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from pachybox.cli.table import NOT_BUILT, commands
from tests.boxes import RealBox
from tests.flow.shell import Run, refused, succeeded

PROGRAM = [sys.executable, "-m", "pachybox.cli"]
SPEC = """
pipeline: {name: upper}
description: capitals
input: {pfs: {repo: texts, glob: "/*"}}
transform:
  cmd: [sh]
  stdin: ['for f in /pfs/texts/*; do tr a-z A-Z < "$f" > "/pfs/out/$(basename "$f")"; done']
---
pipeline: {name: all}
input: {pfs: {repo: upper, glob: "/"}}
transform: {cmd: [sh], stdin: ["cat /pfs/upper/* > /pfs/out/all; echo joined"]}
"""
ID = "[0-9a-f]{32}"
AGE = r"(Less than a second ago|\d+ seconds? ago)"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"


@pytest.fixture(scope="module")
def filled(shared_box: RealBox) -> RealBox:
    """A box with a repo of two commits and two pipelines that have run on it."""
    c = shared_box.client
    c.create_repo("texts", "some texts")
    c.put_file("texts@master:/a", b"one\n")
    c.create_pipelines(SPEC)
    c.put_file("texts@master:/b", b"x" * 2048)
    c.wait_commit("all@master")
    return shared_box


def rows(text: str) -> list[list[str]]:
    """A table cut at the columns that its header's words begin at: proves the alignment."""
    lines = text.splitlines()
    titles = re.findall(r"SIZE \(MASTER\)|STATE / LAST JOB|\S+", lines[0])
    starts = [lines[0].index(title) for title in titles]
    ends = [*starts[1:], None]
    return [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in lines]


def newest(run: Run, pipeline: str) -> str:
    """The id of a pipeline's newest job."""
    first = succeeded(run(f"list job -p {pipeline} --raw")).splitlines()[0]
    return str(json.loads(first)["job"]["id"])


# ---- tables


@pytest.mark.parametrize(
    ("command", "header", "row"),
    [
        (
            "list repo",
            ["NAME", "CREATED", "SIZE (MASTER)", "DESCRIPTION"],
            ["texts", AGE, "2.004KiB", "some texts"],
        ),
        ("list branch texts", ["BRANCH", "HEAD"], ["master", ID]),
        (
            "list commit texts@master",
            ["REPO", "BRANCH", "COMMIT", "FINISHED", "SIZE", "PROGRESS", "DESCRIPTION"],
            ["texts", "master", ID, AGE, "2.004KiB", "2/2", ""],
        ),
        ("list file texts@master", ["NAME", "TYPE", "SIZE"], ["/b", "file", "2KiB"]),
        (
            "list file texts@master:/a --history all",
            ["COMMIT", "NAME", "TYPE", "COMMITTED", "SIZE"],
            [ID, "/a", "file", AGE, "4B"],
        ),
        ("diff file texts@master:/ --name-only", ["OP", "NAME", "TYPE", "SIZE"], ["\\+", "/b"]),
        (
            "list pipeline",
            ["NAME", "VERSION", "INPUT", "CREATED", "STATE / LAST JOB", "RUNNER", "DESCRIPTION"],
            ["upper", "1", r"texts:/\*", AGE, "running / success", "process", "capitals"],
        ),
        (
            "list job",
            ["ID", "PIPELINE", "STARTED", "DURATION", "RESTART", "PROGRESS", "DL", "UL", "STATE"],
            [ID, "upper", AGE, r"\d\.\d\ds", "0", "1 \\+ 1 / 2", "2KiB", "2KiB", "success"],
        ),
        ("list project", ["NAME", "CREATED", "DESCRIPTION"], ["default", AGE, "-"]),
    ],
)
def test_lists_are_aligned_tables_of_pachyderms_columns(
    run: Run, command: str, header: list[str], row: list[str]
) -> None:
    table = rows(succeeded(run(command)))
    assert table[0] == header
    assert any(
        all(re.fullmatch(want, cell) for want, cell in zip(row, cells, strict=False))
        for cells in table[1:]
    ), table


def test_datums_are_listed_with_their_state_and_time(run: Run) -> None:
    table = rows(succeeded(run(f"list datum upper@{newest(run, 'upper')}")))
    assert table[0] == ["ID", "STATUS", "TIME"]
    assert sorted(row[1] for row in table[1:]) == ["skipped", "success"]
    assert all(re.fullmatch("[0-9a-f]{64}", row[0]) for row in table[1:])


def test_following_commands_leave_room_so_that_their_tables_stay_aligned(run: Run) -> None:
    table = rows(succeeded(run("flush job texts@master")))
    assert [row[1] for row in table] == ["PIPELINE", "upper", "all"]
    assert [row[-1] for row in table] == ["STATE", "success", "success"]


RECORDS = [
    ("list repo", "repo"),
    ("list branch texts", "branch"),
    ("list commit texts", "commit"),
    ("list file texts@master", "file"),
    ("walk file texts@master", "file"),
    ("glob file texts@master:/*", "file"),
    ("list pipeline", "pipeline"),
    ("list job", "job"),
    ("list project", "project"),
    ("inspect repo texts", "repo"),
    ("inspect branch texts@master", "branch"),
    ("inspect commit texts@master", "commit"),
    ("inspect file texts@master:/a", "file"),
    ("inspect pipeline upper", "pipeline"),
    ("inspect project default", "project"),
    ("wait commit texts@master", "commit"),
    ("flush commit texts@master", "commit"),
    ("flush job texts@master", "job"),
    ("events", "seq"),
    ("status", "version"),
    ("inspect cluster", "id"),
]


@pytest.mark.parametrize(("command", "key"), RECORDS)
def test_raw_json_and_yaml_are_one_object_a_record_with_the_fields_of_the_api(
    run: Run, command: str, key: str
) -> None:
    raw = [json.loads(line) for line in succeeded(run(f"{command} --raw")).splitlines()]
    assert raw
    assert all(key in record for record in raw)
    as_json = succeeded(run(f"{command} -o json"))
    assert [set(json.loads(line)) for line in as_json.splitlines()][:3] == [set(r) for r in raw][:3]
    as_yaml = list(yaml.safe_load_all(succeeded(run(f"{command} -o yaml"))))
    assert [record.get(key) for record in as_yaml][:3] == [record.get(key) for record in raw][:3]


@pytest.mark.parametrize(
    "command",
    ["list repo", "list commit texts", "list pipeline", "list job", "inspect repo texts", "events"],
)
def test_full_timestamps_replace_ages(run: Run, command: str) -> None:
    assert re.search(AGE, succeeded(run(command)))
    full = succeeded(run(f"{command} --full-timestamps"))
    assert re.search(TIME, full)
    assert not re.search(AGE, full)


def test_the_graph_is_drawn_from_inputs_to_outputs(run: Run) -> None:
    drawn = succeeded(run("draw pipeline"))
    assert drawn.index("texts") < drawn.index("upper") < drawn.index("all")


def test_files_go_in_by_every_source_and_come_out_joined_cut_or_continued(run: Run) -> None:
    succeeded(run("create repo files"))
    Path("folder").mkdir()
    Path("folder/f").write_text("f")
    Path("ok").write_text("ok")
    put = ["put", "file"]
    succeeded(run(*put, "files@master:/pre", "-f", "ok", "-f", "folder/f"))
    succeeded(run(*put, "files@master", "-i", "-", stdin=b"ok\nfolder/f\n"))
    succeeded(run(*put, "files@master", "--full-path", "-f", "folder/f"))
    succeeded(run(*put, "-r", "files@master:/tree", "-f", "folder"))
    succeeded(run(*put, "files@master:/ok", "-a", stdin=b"!"))
    succeeded(run(*put, "files@master:/csv", "--split", "csv", "--header-records", "1",
                  stdin=b"h,i\n1,2\n3,4\n"))  # fmt: skip
    found = [row[0] for row in rows(succeeded(run("walk file files@master")))[1:]]
    assert [name for name in found if not name.endswith("/")] == [
        "/csv/0000000000000000",
        "/csv/0000000000000001",
        "/f",
        "/folder/f",
        "/ok",
        "/pre/f",
        "/pre/ok",
        "/tree/f",
    ]
    assert succeeded(run("get file files@master:/ok --offset 1")) == "k!"
    assert succeeded(run("get file files@master:/{pre,tree}/*")) == "fokf"
    assert succeeded(run("get file files@master:/csv/0000000000000001")) == "h,i\n3,4\n"
    assert succeeded(run("get file files@master:/csv/*")) == "h,i\n1,2\n3,4\n"
    Path("part").write_text("o")
    succeeded(run("get file files@master:/ok -o part --retry"))
    assert Path("part").read_text() == "ok!"
    succeeded(run("get file -r files@master:/csv -o out"))
    assert Path("out/0000000000000001").read_text() == "h,i\n3,4\n"
    succeeded(run("get file files@master:/f -o out"))
    assert Path("out/f").read_text() == "f"
    succeeded(run("delete repo files"))


# ---- pipelines and jobs


def test_a_spec_comes_out_as_it_can_go_in_again(run: Run) -> None:
    for form in ("json", "yaml"):
        text = succeeded(run(f"extract pipeline upper -o {form}"))
        assert succeeded(run("validate", "pipeline", stdin=text.encode())) == "upper: valid\n"
    assert json.loads(succeeded(run("inspect pipeline upper --spec")))["description"] == "capitals"


def test_editing_a_pipeline_makes_its_next_version(run: Run) -> None:
    succeeded(run("create repo edited"))
    spec = {
        "pipeline": {"name": "tries"},
        "input": {"pfs": {"repo": "edited", "glob": "/"}},
        "transform": {"cmd": ["true"]},
        "datum_tries": 3,
    }
    succeeded(run("create", "pipeline", stdin=json.dumps(spec).encode()))
    edit = ["edit", "pipeline", "tries", "--editor"]
    assert run(*edit, "true").err == "pachybox: unchanged\n"
    assert "exit status 1; nothing was changed" in refused(run(*edit, "false"))
    assert "cannot start the editor '/nope'" in refused(run(*edit, "/nope"))
    assert "tries:1:" in refused(run(*edit, "sh -c 'echo nonsense > $0'"))
    succeeded(run(*edit, 'sed -i \'s/"datum_tries": 3/"datum_tries": 5/\''))
    assert json.loads(succeeded(run("extract pipeline tries")))["datum_tries"] == 5
    assert json.loads(succeeded(run("extract pipeline tries^")))["datum_tries"] == 3
    assert json.loads(succeeded(run("extract pipeline tries.1")))["datum_tries"] == 3
    assert "tries has no version 0; the oldest is tries.1" in refused(
        run("extract pipeline tries.0")
    )
    versions = rows(succeeded(run("list pipeline tries --history all")))
    assert [row[1] for row in versions] == ["VERSION", "2", "1"]
    succeeded(run("delete pipeline tries"))
    succeeded(run("delete repo edited"))


def test_runs_are_asked_for_waited_for_and_read(run: Run) -> None:
    made = succeeded(run("run pipeline upper texts@master^")).strip()
    assert re.fullmatch(f"upper@{ID}", made)
    shown = succeeded(run(f"wait job {made}"))
    assert "0 + 1 / 1" in shown
    succeeded(run("rerun pipeline all"))
    succeeded(run("wait commit all@master"))
    assert "joined\n" in succeeded(run("logs -p all"))
    job = newest(run, "all")
    assert json.loads(succeeded(run(f"inspect job all@{job} --raw")))["state"] == "JOB_SUCCESS"
    assert "State: success" in succeeded(run(f"inspect job {job[:8]}"))
    assert "has already finished" in refused(run(f"stop job all@{job}"))
    succeeded(run(f"delete job all@{job}"))
    assert "not found" in refused(run(f"inspect job all@{job}"))


def test_a_number_of_jobs_counts_those_that_are_shown(run: Run) -> None:
    shown = rows(succeeded(run("list job --state success -n 1")))
    assert len(shown) == 2
    assert rows(succeeded(run("list job --state failure,killed"))) == [shown[0]]
    assert "state 'bogus' is not known; use created," in refused(run("list job --state bogus"))
    assert "state 'x' is not known" in refused(run("list pipeline --state x"))
    assert "is not a whole number" in refused(run("list job -n -1"), status=2)


# ---- transactions


def test_what_a_transaction_holds_is_seen_only_when_it_is_finished(run: Run) -> None:
    id = succeeded(run("start transaction")).strip()
    succeeded(run("create repo left"))
    succeeded(run("create repo right"))
    assert succeeded(run("start commit left@master")).strip() == id
    assert succeeded(run("start commit right@master")).strip() == id
    assert "left" not in succeeded(run("list repo"))
    assert rows(succeeded(run("list transaction")))[1][::2] == [id, "4"]
    assert "startCommit right@master" in succeeded(run("inspect transaction"))
    assert "already exists" in refused(run("create repo left"))
    assert "is open; end it with" in refused(run("start transaction"))
    assert "with 4 requests" in succeeded(run("finish transaction"))
    assert "no transaction is open" in refused(run("finish transaction"))
    heads = [
        json.loads(succeeded(run(f"inspect branch {r}@master --raw"))) for r in ("left", "right")
    ]
    assert {head["head"]["id"] for head in heads} == {id}
    for repo in ("left", "right"):
        succeeded(run(f"delete repo {repo}"))


def test_a_dropped_transaction_leaves_nothing(run: Run) -> None:
    id = succeeded(run("start transaction")).strip()
    succeeded(run("create repo never"))
    succeeded(run("stop transaction"))
    assert "repo default/never not found" in refused(run("inspect repo never"))
    succeeded(run(f"resume transaction {id}"))
    succeeded(run("delete transaction"))
    assert "not found" in refused(run(f"finish transaction {id}"))
    assert succeeded(run("list transaction")) == "TRANSACTION STARTED OPS\n"


# ---- help and mistakes in the command itself


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help_with_examples_that_parse(run: Run, name: str) -> None:
    shown = succeeded(run(f"{name} --help"))
    assert shown.startswith("usage: pachybox ")
    assert "\nexamples:\n  $ " in shown
    assert succeeded(run(f"help {name}")) == shown


@pytest.mark.parametrize("line", ["backup --help", "backup -h", "help backup"])
def test_the_first_word_of_commands_has_help(run: Run, line: str) -> None:
    shown = succeeded(run(line))
    assert shown.startswith("usage: pachybox backup ...\n")
    assert "  backup create   back the box up while it works" in shown


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("creat repo x", "unknown command 'creat repo'; did you mean: pachybox create repo"),
        ("create-repo x", "did you mean: pachybox create repo"),
        ("repo list", "did you mean: pachybox list repo"),
        ("fush commit x", "did you mean: pachybox flush commit"),
        ("frobnicate", "unknown command 'frobnicate'; see: pachybox --help"),
        ("--frobnicate", "unknown flag --frobnicate; see: pachybox --help"),
        ("list", "list what? list branch, list commit,"),
        ("list repo --frob", "unrecognized arguments: --frob; see: pachybox list repo --help"),
        ("create repo", "are required: REPO; see: pachybox create repo --help"),
        ("create repo a b", "unrecognized arguments: b"),
        ("list commit texts --origin NO", "invalid choice"),
        ("put file texts@master:/x --split tab", "invalid choice: 'tab'"),
        ("logs -p upper -t -1", "'-1' is not a whole number of 0 or more"),
        ("get file texts@master:/a --offset x", "'x' is not a whole number"),
        ("find commit texts@master:/a --timeout -1", "'-1' is not a duration"),
        ("down --timeout soon", "'soon' is not a duration"),
        ("completion tcsh", "invalid choice: 'tcsh'"),
    ],
)
def test_a_command_that_is_not_understood_says_what_would_be(
    run: Run, line: str, says: str
) -> None:
    assert says in refused(run(line), status=2)


@pytest.mark.parametrize("name", ["mount", "create snapshot", "auth login", "deploy local"])
def test_what_is_not_built_says_so_with_what_to_do_instead(run: Run, name: str) -> None:
    said = refused(run(name))
    assert "is not built; " in said
    assert any(said.startswith(known) for known in NOT_BUILT)


def test_deleting_everything_asks_first(run: Run) -> None:
    for line in ("delete all", "delete repo --all", "delete pipeline --all"):
        assert "not confirmed, nothing was done" in refused(run(*line.split(), stdin=b"no\n"))
    assert "texts" in succeeded(run("list repo"))


# ---- pipes, closed streams, signals


def shell(box: RealBox, script: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which ``pachybox`` is this version."""
    return subprocess.run(
        ["bash", "-c", f'pachybox() {{ "$PYTHON" -m pachybox.cli "$@"; }}; {script}'],
        env={**box.env, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "command", ["list commit texts --raw", "events", "--help", "get file texts@master:/long"]
)
def test_a_reader_that_leaves_early_is_no_error(filled: RealBox, command: str) -> None:
    if command.endswith("/long"):
        filled.client.put_file("texts@other:/long", b"line\n" * 400_000)
        command = command.replace("@master", "@other")
    done = shell(filled, f"pachybox {command} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def test_streams_that_were_closed_break_nothing(filled: RealBox) -> None:
    done = shell(filled, "pachybox list repo >&-")
    assert (done.returncode, done.stderr) == (0, "")
    done = shell(filled, "pachybox inspect repo nope 2>&-")
    assert (done.returncode, done.stdout) == (1, "")
    done = shell(filled, "pachybox list repo <&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["list repo", "--help", "get file texts@master:/b"])
def test_a_full_disk_under_the_output_is_told(filled: RealBox, command: str) -> None:
    done = shell(filled, f"pachybox {command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "pachybox: standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("command", "first"),
    [
        (["subscribe", "commit", "texts@master"], b"REPO"),
        (["events", "-f", "-k", "repo."], b" "),
        (["logs", "-f", "-p", "all"], b"joined"),
    ],
)
def test_ctrl_c_ends_a_command_that_follows_with_130_and_no_word(
    filled: RealBox, command: list[str], first: bytes
) -> None:
    with subprocess.Popen(
        [*PROGRAM, *command], env=filled.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert first in process.stdout.readline()  # it follows now
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == b""


def test_ctrl_c_during_an_upload_leaves_no_commit(filled: RealBox) -> None:
    before = filled.client.inspect_branch("texts@master").head
    with subprocess.Popen(
        [*PROGRAM, "put", "file", "texts@master:/half"],
        env=filled.env,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"x" * (4 << 20))  # more than a pipe holds: it reads
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == b""
        process.stdin.close()
    assert filled.client.inspect_branch("texts@master").head == before


def test_names_outside_ascii_are_aligned_and_printed_in_any_locale(filled: RealBox) -> None:
    filled.client.put_file("texts@wide:/日本/файл", b"x")
    filled.client.put_file("texts@wide:/plain", b"x")
    shown = filled.cli("list", "file", "texts@wide")
    assert shown == "NAME   TYPE SIZE\n/plain file 1B\n/日本/ dir  1B\n"
    done = shell(filled, "PYTHONIOENCODING=ascii pachybox list file texts@wide:/日本")
    assert done.returncode == 0, done.stderr
    assert "/\\u65e5\\u672c/\\u0444" in done.stdout
    assert filled.cli("get", "file", "texts@wide:/日本/файл") == "x"


# ---- terminals


def on_terminal(box: RealBox, command: Sequence[str], feed: bytes = b"", **env: str) -> str:
    """What a command shows on a terminal of its own, its stdin a pipe of ``feed``."""
    main, side = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *command],
        env={**box.env, "TERM": "xterm", **env},
        stdin=subprocess.PIPE,
        stdout=side,
        stderr=side,
    ) as process:
        os.close(side)
        assert process.stdin is not None
        shown = bytearray()
        until = time.monotonic() + 60
        pieces = [feed[i : i + 65536] for i in range(0, len(feed), 65536)]
        while time.monotonic() < until:
            if pieces:
                process.stdin.write(pieces.pop())
            elif not process.stdin.closed:
                process.stdin.close()
            if not select.select([main], [], [], 0.01 if pieces else 5)[0]:
                continue
            try:
                data = os.read(main, 65536)
            except OSError:  # the other side is closed: it has ended
                break
            if not data:
                break
            shown += data
        os.close(main)
        assert process.wait(20) == 0
    return shown.decode()


def test_states_have_colours_on_a_terminal_only_and_when_they_are_wanted(filled: RealBox) -> None:
    green = "\x1b[32msuccess\x1b[0m"
    assert green in on_terminal(filled, ["list", "job"])
    assert "\x1b" not in on_terminal(filled, ["list", "job", "--no-color"])
    assert "\x1b" not in on_terminal(filled, ["list", "job"], NO_COLOR="1")
    assert "\x1b" not in filled.cli("list", "job")


def test_a_long_upload_shows_its_progress_on_a_terminal_and_cleans_up(filled: RealBox) -> None:
    feed = b"x" * (8 << 20)  # 128 pieces, 10 ms apart
    shown = on_terminal(filled, ["put", "file", "texts@slow:/x"], feed)
    assert re.search(r"\rput  1 file  [\d.]+MiB  [\d.]+MiB/s", shown)
    assert shown.endswith("\r\x1b[K")
    quiet = on_terminal(filled, ["put", "file", "texts@slow:/x", "--no-progress"], feed)
    assert quiet == ""
    assert filled.run("put", "file", "texts@slow:/x", stdin=feed).stderr == ""


# ---- completion


def test_completion_knows_commands_flags_words_and_the_names_in_the_box(run: Run) -> None:
    def words(*typed: str) -> list[str]:
        *before, current = typed
        return succeeded(run("__complete", *before, "--", current)).splitlines()

    assert words("cre") == ["create"]
    assert words("list", "re") == ["repo"]
    assert "--raw" in words("list", "repo", "--")
    assert words("list", "repo", "--ra") == ["--raw"]
    assert words("list", "repo", "-o", "") == ["json", "yaml"]
    assert words("completion", "") == ["bash", "zsh", "fish"]
    assert words("help", "create", "re") == ["repo"]
    assert words("inspect", "repo", "te") == ["texts"]
    assert words("list", "file", "texts@ma") == ["texts@master:"]
    assert words("get", "file", "texts@master:/") == ["texts@master:/a", "texts@master:/b"]
    assert words("logs", "-p", "up") == ["upper"]
    assert words("inspect", "job", "upp") == ["upper@"]


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion_scripts_are_sound(run: Run, shell_name: str) -> None:
    script = succeeded(run(f"completion {shell_name}"))
    try:
        done = subprocess.run(
            [shell_name, "-n"], input=script, text=True, capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip(f"{shell_name} is not installed")
    assert (done.returncode, done.stderr) == (0, "")


# ---- the box


def test_doctor_fsck_garbage_collect_and_status_say_how_the_box_is(run: Run) -> None:
    checks = succeeded(run("doctor")).splitlines()
    shape = r"[A-Z][a-z]+( [a-z]+)*$|  (ok|warn)  +PB\d{3} \S|              \S|0 failed, "
    assert all(re.match(shape, line) for line in checks)
    records = [json.loads(line) for line in succeeded(run("doctor --raw")).splitlines()]
    assert all(set(r) == {"code", "check", "level", "detail", "remedy"} for r in records)
    assert "0 errors" in succeeded(run("fsck"))
    assert succeeded(run("garbage-collect")).startswith("freed ")
    status = succeeded(run("status"))
    for label in ("Version", "Home", "Address", "Repos", "Pipelines", "Stored", "Disk"):
        assert re.search(f"^{label}: .", status, re.MULTILINE)


def test_metadata_is_kept_of_repos_branches_commits_and_projects(run: Run) -> None:
    for kind, name in (
        ("repo", "texts"),
        ("branch", "texts@master"),
        ("commit", "texts@master"),
        ("project", "default"),
    ):
        succeeded(run("edit", "metadata", kind, name, "add", "owner=me", "add", "k=1"))
        succeeded(run("edit", "metadata", kind, name, "edit", "k=2", "delete", "owner"))
        shown = json.loads(succeeded(run(f"inspect {kind} {name} --raw")))
        assert shown["metadata"] == {"k": "2"}
    assert "metadata key 'gone' not found" in refused(run("edit metadata repo texts delete gone"))
    assert "'x' is not KEY=VALUE" in refused(run("edit metadata repo texts add x"))
    assert "'=v' is not KEY=VALUE" in refused(run("edit metadata repo texts add =v"))
    assert "'bogus' is no change" in refused(run("edit metadata repo texts bogus a=b"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("http_prt = 0", "unknown setting 'http_prt'; did you mean 'http_port'"),
        ('http_port = "x"', "http_port must be int, not 'x'"),
        ("http_port = 99999", "http_port cannot be 99999"),
        ("quota_bytes = -1", "quota_bytes cannot be -1"),
        ("= x", "mend or remove the file"),
    ],
)
def test_a_box_with_wrong_settings_does_not_start_and_says_why(
    tmp_path: Path, settings: str, says: str
) -> None:
    box = RealBox(tmp_path / "home")
    (box.home / "box.toml").write_text(settings)
    done = box.run("up", "--detach")
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"{box.home}/box.toml" in done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_contexts_are_checked_before_they_are_kept(run: Run) -> None:
    new = ["config", "set", "context", "lab"]
    assert "the context is not JSON" in refused(run(*new, stdin=b"{"))
    assert "address of the context is not a string" in refused(run(*new, stdin=b'{"address": 5}'))
    assert "known fields" in refused(run(*new, stdin=b'{"adress": "x"}'))
    succeeded(run(*new, stdin=b'{"address": "http://127.0.0.1:1"}'))
    assert "context nope not found" in refused(run("config set active-context nope"))
    succeeded(run("config set active-context lab"))
    assert "context lab is in use" in refused(run("config delete context lab"))


def test_no_box_at_all_is_told_with_the_remedy(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACHYBOX_HOME", str(tmp_path / "none"))
    said = refused(run("list repo"))
    assert str(tmp_path / "none") in said
    assert "pachybox up" in said
    assert not (tmp_path / "none").exists()
