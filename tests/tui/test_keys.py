"""The table of keys: nothing clashes, all can be reached, users change it by name."""

from __future__ import annotations

import importlib
import io
import pkgutil
from pathlib import Path

import pytest

from tests.tui.fake import FakeBox
from tests.tui.pilot import opened
from tests.tui.plain import PlainApp
from tui import docs, screens
from tui.app import PachyApp
from tui.choices import folder
from tui.keymap import APP, KEYS, LIST, OF, TEXT, VIEW, Key, clashes
from tui.keys_file import read
from tui.places import MODES, Place
from tui.screens.view import View
from tui.shell import in_shell, program
from tui.widgets.log import LogView
from tui.widgets.table import VirtualTable


def write(text: str) -> Path:
    """The user's keys.toml."""
    path = folder() / "keys.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_no_two_verbs_claim_a_key_in_one_place() -> None:
    assert clashes() == []
    twice = (*KEYS, Key(VIEW, "again", "l", "again"))
    assert clashes(twice) == ["l: view.again, view.logs"]


def test_names_are_given_once_and_every_key_has_help() -> None:
    names = [key.name for key in KEYS]
    assert len(names) == len(set(names))
    assert all(key.help and key.keys for key in KEYS)


def test_the_app_acts_on_each_of_its_keys() -> None:
    for id in OF[APP]:
        assert callable(getattr(PachyApp, f"action_{id}")), id


def test_every_key_of_the_table_is_acted_on_somewhere() -> None:
    for module in pkgutil.iter_modules(screens.__path__):
        importlib.import_module(f"tui.screens.{module.name}")
    views = [View]
    for view in views:
        views += view.__subclasses__()
    for id in OF[VIEW]:
        assert any(hasattr(view, f"do_{id}") for view in views), id
    for id in OF[LIST]:
        assert hasattr(VirtualTable, f"action_{id}"), id
    for id in OF[TEXT]:
        assert hasattr(LogView, f"action_{id}"), id


def test_a_program_gets_the_environment_and_its_status_comes_back() -> None:
    assert program(["/bin/sh", "-c", "exit $STATUS"], {"STATUS": "7"}) == 7
    assert program(["/no/such/shell"], {}) == 127


def test_without_a_file_the_keys_are_those_of_the_table() -> None:
    keys = read(Path("/nonexistent/keys.toml"))
    assert not keys.problems
    assert list(keys.keys.values()) == list(KEYS)


def test_a_key_is_given_to_a_verb_by_its_name() -> None:
    keys = read(write('[keys]\n"view.delete" = "ctrl+x, f8"\n'))
    assert not keys.problems
    assert keys.keys["view.delete"].keys == "ctrl+x,f8"
    assert keys.keys["view.delete"].all_shown == "ctrl+x F8"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[keys]\n"view.delete" = "l"\n', "two verbs on one key: l: view.delete, view.logs"),
        ('[keys]\n"view.erase" = "f8"\n', "there is no verb 'view.erase'"),
        ('[keys]\n"view.delete" = "<"\n', "view.delete: '<' names no key"),
        ("[keys]\n'view.delete' = 7\n", "names no key"),
        ("keys = 7\n", "keys is not a table"),
        ("[key]\n", "'key' is not known: use keys, lines"),
        ("[keys\n", "cannot read"),
        ('[[lines]]\nkey = "f6"\n', "line 1: wants key and run"),
        ('[[lines]]\nkey = "l"\nrun = "true"\n', "l is taken by view.logs"),
        ('[[lines]]\nkey = "f6"\nrun = "echo {file}"\n', "{file} is not known: use repo"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_and_none_of_it_counts(text: str, said: str) -> None:
    keys = read(write(text))
    assert said in " ".join(keys.problems)
    assert not keys.changed
    assert keys.keys["view.delete"].keys == "D"


async def test_a_changed_key_acts_and_is_shown_and_the_old_one_does_nothing(fake: FakeBox) -> None:
    write('[keys]\n"app.help" = "f9"\n')
    async with opened(fake) as t:
        await t.sees("lab-01", "F9 keys")
        await t.press("question_mark")
        assert t.app.screen is t.app.view
        await t.press("f9")
        await t.sees("find a key")


async def test_the_app_opens_with_a_broken_file_and_says_what_is_wrong(fake: FakeBox) -> None:
    write('[keys]\n"view.erase" = "f8"\n')
    async with opened(fake) as t:
        await t.sees("there is no verb 'view.erase'")
        await t.press("2")
        await t.until(lambda: t.app.current_mode == "repo", "the keys act")


async def test_a_line_of_the_users_own_wants_what_it_names(fake: FakeBox) -> None:
    write('[[lines]]\nkey = "f6"\nhelp = "note it"\nrun = "echo {ingest}"\n')
    async with opened(fake, kind=PlainApp) as t:
        await t.sees("lab-01")
        await t.press("f6")
        await t.sees("note it: there is no ingest here")


def test_a_line_of_the_users_own_is_run_in_the_shell_and_waits_to_be_read(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = io.StringIO("\nmore")
    monkeypatch.setattr("sys.stdin", typed)
    assert in_shell("echo $WORD; exit 3", {"WORD": "seen"}) == 3
    said = "$ echo $WORD; exit 3\nseen\n[exit status 3; Enter goes back] "
    assert capfd.readouterr().out == said
    assert typed.read() == "more"  # one line was waited for


async def test_a_line_that_may_change_something_is_refused_in_read_only_mode(
    fake: FakeBox,
) -> None:
    write('[[lines]]\nkey = "f6"\nhelp = "erase"\nrun = "true"\n')
    async with opened(fake, read_only=True) as t:
        await t.press("f6")
        await t.sees("erase: read-only: started with --read-only")


def test_a_field_is_quoted_for_the_shell() -> None:
    line = read(write('[[lines]]\nkey = "f6"\nrun = "cat {path} ${HOME}"\n')).lines[0]
    assert line.filled({"path": "/a b; rm -rf c"}) == "cat '/a b; rm -rf c' ${HOME}"


@pytest.mark.parametrize("mode", MODES)
async def test_read_only_mode_refuses_every_verb_that_changes_something(
    fake: FakeBox, mode: str
) -> None:
    async with opened(fake, start=Place(mode), read_only=True) as t:
        view = await t.until(lambda: t.app.view, "a view")
        for key in OF[VIEW].values():
            if key.changes and view.has(key):
                assert "read-only" in view.refused(key), key.name
                view.action_verb(key.id)
        await t.pilot.pause()
        assert t.app.screen is view
        assert fake.changed() == []


def test_the_page_of_the_terminal_has_the_keys_of_the_table() -> None:
    page = docs.PAGE.read_text()
    assert docs.filled(page) == page, "run: python -m tui.docs"
    assert all(f"`{key.name}`" in page for key in KEYS)
    assert r"`\|`" in page
