"""The terminal in a real one, under tmux: as it is seen, and how it is left."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boxes import RealBox, eventually
from tests.tui.tmux import PROMPT, Tmux

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")

Opens = Callable[..., Tmux]
_CODES = re.compile(r"\x1b\[([0-9;:]*)m")


@pytest.fixture
def opens(tmp_path: Path) -> Iterator[Opens]:
    """A shell in which ``pachybox`` is the command line of this checkout."""
    made: list[Tmux] = []

    def run(home: Path, size: tuple[int, int] = (120, 40), **env: str) -> Tmux:
        binary = tmp_path / "bin"
        binary.mkdir(exist_ok=True)
        program = binary / "pachybox"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pachybox.cli "$@"\n')
        program.chmod(0o755)
        here = {
            "PATH": f"{binary}:/usr/bin:/bin",
            "PYTHONPATH": str(Path.cwd()),
            "PACHYBOX_HOME": str(home),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        made.append(Tmux(here | env, size))
        return made[-1]

    yield run
    for one in made:
        one.close()


def restored(t: Tmux) -> None:
    """The shell has its screen back, and what is typed is seen."""
    t.sees(PROMPT)
    assert not t.alternate
    t.run("stty -a | tr ' ' '\\n' | grep -cx -e echo -e icanon -e isig")
    t.sees("\n3\n")


def test_a_first_session_from_nothing_to_a_living_graph(opens: Opens, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "box.toml").write_text("http_port = 0\ngrpc_port = 0\n")
    (home / "box.toml").chmod(0o600)
    t = opens(home)
    t.run("pachybox")
    t.sees("No box runs at", "Start")  # the path may break the line
    t.press("Enter")
    try:
        t.sees("live", "create a repo", "load the demo", "read the keys")
        assert t.alternate
        t.press("j", "Enter")
        t.sees("readings", "stats", "alerts", "report", "tick")
        t.sees("✓ readings", "success")
        for key, words in (("2", "Repos"), ("3", "Pipelines"), ("4", "Jobs"),
                           ("5", "Ingest"), ("6", "Runs"), ("1", "Pipelines 4")):  # fmt: skip
            t.press(key)
            t.sees(words)
        t.press("2", "j", "k", "Enter")
        t.sees("Branches", "master")
        t.press("Escape")
        t.press("?")
        t.sees("find a key")
        t.press("Escape")
        eventually(lambda: "find a key" not in t.screen(), "the keys are gone")
        t.press(":")
        t.sees(": ─")
        t.type("stats")
        t.press("Enter")
        t.sees("Pipelines > stats")
        t.press("1")
        t.sees("Pipelines 4")
        t.press("q")
        restored(t)
    finally:
        t.run("clear; pachybox down; echo stopped $?")
        t.sees("stopped 0")


def test_what_is_copied_reaches_the_terminal(shared_box: RealBox, opens: Opens) -> None:
    """By the terminal's own way, which ssh passes on as it is."""
    shared_box.client.create_repo("copied")
    shared_box.client.put_file("copied@master:/a.txt", b"a")
    t = opens(shared_box.home)
    t.take_copies()
    t.run("pachybox tui copied@master")
    t.sees("live", "Repos > copied", "a.txt")  # there is something to copy
    t.press("y")
    t.sees("Copy what?", "copied")

    def chosen() -> bool:
        t.press("Enter")  # one that comes too soon after the question is not taken
        return "Copy what?" not in t.screen()

    eventually(chosen, "one of them is chosen")
    eventually(lambda: "copied" in t.clipboard(), "the terminal has it")
    t.press("q")
    t.sees("Repos 1")
    t.press("q")
    restored(t)


def test_it_takes_any_size_and_goes_on(shared_box: RealBox, opens: Opens) -> None:
    shared_box.client.create_repo("sizes")
    t = opens(shared_box.home)
    t.run("pachybox tui")
    t.sees("live", "sizes")
    t.resize(40, 10)
    t.sees("live")
    assert max(map(len, t.screen().splitlines())) <= 40
    t.resize(120, 40)
    t.sees("live", "sizes")
    for number in range(20):
        t.resize(60 + 5 * number, 12 + number)
    t.resize(120, 40)
    t.press("2")
    t.sees("Repos", "sizes")
    t.press("q")
    restored(t)


def test_a_killed_box_is_told_and_found_again(box: RealBox, opens: Opens) -> None:
    box.client.create_repo("kept")
    t = opens(box.home)
    t.run("pachybox tui")
    t.sees("live", "kept")
    box.kill()
    t.sees("box lost:", "again in", "kept")
    box.start()
    eventually(lambda: "box lost" not in t.screen() and "live" in t.screen(), "live again")
    box.client.create_repo("newer")
    t.sees("newer")
    t.press("q")
    restored(t)


def test_it_is_suspended_and_comes_back(shared_box: RealBox, opens: Opens) -> None:
    t = opens(shared_box.home)
    t.run("pachybox tui")
    t.sees("live")
    t.press("C-z")
    t.sees("Stopped")
    assert not t.alternate
    t.run("clear; fg")
    t.sees("live")
    t.press("4")
    t.sees("Jobs")
    t.press("q")
    restored(t)


def test_a_terminal_that_hangs_up_takes_it_along(shared_box: RealBox, opens: Opens) -> None:
    t = opens(shared_box.home)
    t.run("pachybox tui")
    t.sees("live")
    (program,) = t.programs()
    t.hang_up()
    eventually(lambda: not Path(f"/proc/{program}").exists(), "it has ended")


def grey(code: str) -> bool:
    """Whether a code sets no colour but shades of grey."""
    parts = code.replace(":", ";").split(";")
    for at, part in enumerate(parts):
        if part in ("38", "48") and parts[at + 1 : at + 2] == ["5"]:
            number = int(parts[at + 2])
            return number in (0, 7, 8, 15, 16, 231, 59, 102, 145, 188) or number >= 232
        if part in ("38", "48"):
            return len(set(parts[at + 2 : at + 5])) == 1
    return not any(part in parts for part in ("31", "32", "33", "34", "35", "36"))


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "linux", "COLORTERM": ""}])
def test_it_keeps_to_the_colours_there_are(
    shared_box: RealBox, opens: Opens, env: dict[str, str]
) -> None:
    t = opens(shared_box.home, **env)
    t.run("pachybox tui")
    t.sees("live")
    if "NO_COLOR" in env:
        assert all(grey(code) for code in _CODES.findall(t.screen("-e")))
    else:
        assert not [code for code in _CODES.findall(t.screen("-e")) if "8;" in code]
    t.press("4")
    t.sees("Jobs")
    t.press("q")
    restored(t)


def test_where_the_locale_has_no_signs_there_are_none(shared_box: RealBox, opens: Opens) -> None:
    t = opens(shared_box.home, LANG="C", LC_ALL="C")
    t.run("pachybox tui")
    t.sees("* live")
    for key, words in (("2", "Repos"), ("3", "Pipelines"), ("4", "Jobs"), ("5", "Ingest"),
                       ("6", "Runs"), ("1", "Disk"), ("?", "find a key")):  # fmt: skip
        t.press(key)
        t.sees(words)
        assert t.screen().isascii(), [c for c in t.screen() if not c.isascii()]
