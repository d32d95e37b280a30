"""How the command line opens the terminal, and what it costs those who do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pachybox.errors import InvalidArgument
from tests.boxes import RealBox
from tests.tui.terminals import Pty
from tui.commands import Names
from tui.core import Core
from tui.places import JOB, PIPELINE, REPO, Place
from tui.run import log_path, place_of, told

HEAVY = (
    "duckdb",
    "PIL",
    "pyarrow",
    "numpy",
    "tree_sitter",
    "yaml",
    "pygments.lexers",
    "textual.demo",
)


@pytest.fixture
def pty(tmp_path: Path) -> Iterator[Callable[..., Pty]]:
    """``pty("tui", home=...)`` runs the command line in a terminal."""
    made: list[Pty] = []

    def run(*argv: str, home: Path, **more: str) -> Pty:
        env = {k: v for k, v in os.environ.items() if not k.startswith("PACHYBOX")}
        env |= {"XDG_DATA_HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8", **more}
        made.append(Pty(*argv, env=env))
        return made[-1]

    yield run
    for one in made:
        one.close()


def test_without_a_terminal_the_help_is_printed_and_tui_is_refused(tmp_path: Path) -> None:
    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pachybox.cli", *argv],
            capture_output=True, stdin=subprocess.DEVNULL, text=True, check=False,
        )  # fmt: skip

    assert run().stdout == run("--help").stdout
    refused = run("tui")
    assert refused.returncode == 1
    assert refused.stderr == "pachybox: the terminal needs a terminal; see: pachybox --help\n"


def test_alone_in_a_terminal_it_opens_on_the_box_and_leaves_all_as_it_was(
    shared_box: RealBox, pty: Callable[..., Pty]
) -> None:
    shared_box.client.create_repo("here")
    home = shared_box.home.parent / "xdg"
    home.mkdir(exist_ok=True)
    (home / "pachybox").symlink_to(shared_box.home)
    t = pty(home=home)
    t.sees("live")
    t.type("q")
    assert t.ends() == 0
    assert t.restored
    assert "\x1b[?1049l" in t.said  # back from the alternate screen
    assert "No box runs" not in t.words


def test_a_place_a_box_and_read_only_are_taken(
    shared_box: RealBox, pty: Callable[..., Pty], tmp_path: Path
) -> None:
    config = tmp_path / "settings"
    add = subprocess.run(
        [sys.executable, "-m", "pachybox.cli", "connect", str(shared_box.socket), "--alias", "lab"],
        env={**os.environ, "XDG_CONFIG_HOME": str(config)}, check=True, capture_output=True,
    )  # fmt: skip
    assert add.returncode == 0
    t = pty("tui", "jobs", "--box", "lab", "--read-only", "--ascii",
            home=tmp_path, XDG_CONFIG_HOME=str(config))  # fmt: skip
    t.sees("live")
    t.sees("read-only")
    assert t.words.isascii()
    t.type("\x11")
    assert t.ends() == 0
    wrong = pty("tui", "--box", "nowhere", home=tmp_path, XDG_CONFIG_HOME=str(config))
    assert wrong.ends() == 1
    assert "context nowhere not found" in wrong.words


def test_where_no_box_runs_it_asks_and_starts_one(pty: Callable[..., Pty], tmp_path: Path) -> None:
    home = tmp_path / "pachybox"
    home.mkdir()
    (home / "box.toml").write_text("http_port = 0\ngrpc_port = 0\n")
    (home / "box.toml").chmod(0o600)
    t = pty(home=tmp_path)
    t.sees("No box runs at")
    t.type("y\n")
    try:
        t.sees("it runs:")
        t.sees("live")
        t.type("q")
        assert t.ends() == 0
    finally:
        subprocess.run(
            [sys.executable, "-m", "pachybox.cli", "down"],
            env={**os.environ, "XDG_DATA_HOME": str(tmp_path)}, check=True, timeout=60,
        )  # fmt: skip


def test_who_wants_none_sees_what_can_be_done_and_a_hang_up_ends_it(
    pty: Callable[..., Pty], tmp_path: Path
) -> None:
    t = pty("tui", home=tmp_path)
    t.sees("Start one?")
    t.type("n\n")
    t.sees("No box answers.")
    t.type("\x03")
    t.sees("goes back")
    t.process.send_signal(signal.SIGHUP)
    assert t.ends() == -signal.SIGHUP


def test_a_box_that_was_named_is_not_started(pty: Callable[..., Pty], tmp_path: Path) -> None:
    t = pty("tui", home=tmp_path, PACHYBOX_ADDRESS=str(tmp_path / "other.sock"))
    t.sees("No box answers.")
    assert "Start one?" not in t.words
    t.type("q")
    assert t.ends() == 0


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("repo", Place(REPO)),
        ("raw@master:/a", Place(REPO, "raw", "master", "/a")),
        ("edges", Place(PIPELINE, "edges")),
        ("job edges@4f2a", Place(JOB, "edges", "4f2a")),
    ],
)
def test_a_place_is_understood_also_when_the_box_is_away(text: str, place: Place) -> None:
    assert place_of(text, Names()) == place


def test_a_place_that_the_box_does_not_have_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidArgument, match="did you mean edges"):
        place_of("edgse", Names(pipelines=("edges",)))
    with pytest.raises(InvalidArgument, match="'quit' is no place"):
        place_of("quit", Names())


def test_a_crash_is_told_in_short_and_written_down_whole(tmp_path: Path) -> None:
    app = Core(lambda: None)  # type: ignore[arg-type,return-value]
    app.crash = "Traceback ...\nLookupError: no such shelf\n"
    said: list[str] = []
    told(app, said.append)
    assert said == [
        "pachybox: the terminal ended by a defect: LookupError: no such shelf; "
        f"the whole story is in {log_path()}\n"
    ]
    assert "Traceback ..." in log_path().read_text()


def test_opening_loads_nothing_that_is_not_needed_yet() -> None:
    code = (
        "import sys, tui.app, tui.run, tui.screens.home; "
        "print(*[m for m in sys.argv[1:] if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_the_command_line_knows_of_the_terminal_only_when_it_opens() -> None:
    code = (
        "import sys; from pachybox.cli import main; main(['--help']); main(['version', "
        "'--client-only']); import pachybox.cli.tui; "
        "print(*[m for m in ('textual', 'tui', 'rich') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
