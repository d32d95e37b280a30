"""The user's editor: the terminal is its alone, and it may fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pachybox.errors import InvalidArgument
from tui.external import edited


class Suspended(SimpleNamespace):
    """An app whose terminal can be given away."""

    @contextmanager
    def suspend(self) -> Iterator[None]:
        yield

    def refresh(self) -> None:
        pass


def _editor(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


async def test_nothing_else_is_done_while_the_editor_has_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", _editor(tmp_path / "editor", 'sleep 0.3; echo more >>"$1"'))
    app: Any = Suspended()
    painted = 0

    async def paint() -> None:
        nonlocal painted
        while True:
            painted += 1
            await asyncio.sleep(0.01)

    painter = asyncio.create_task(paint())
    await asyncio.sleep(0)
    assert await edited(app, "a: 1\n", ".yaml") == "a: 1\nmore\n"
    painter.cancel()
    assert painted == 1


@pytest.mark.parametrize(
    ("editor", "said"),
    [
        ("/nowhere/editor", "cannot start '/nowhere/editor'"),
        ("vim '", "VISUAL cannot be read as a command"),
        ("false", "'false' ended with status 1; nothing was changed"),
    ],
)
async def test_an_editor_that_fails_changes_nothing_and_says_why(
    editor: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", editor)
    app: Any = Suspended()
    with pytest.raises(InvalidArgument) as refused:
        await edited(app, "a: 1\n", ".yaml")
    assert said in str(refused.value)
