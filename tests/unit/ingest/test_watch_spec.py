"""What may stand under ``watch`` in an ingest spec."""

from __future__ import annotations

from typing import Any

import pytest

from pachybox.errors import InvalidArgument
from pachybox.ingest.watch_spec import check


def test_the_canonical_form_is_whole_and_gives_itself() -> None:
    made, warnings = check({"path": "/data//in/", "prefix": "x/", "pattern": None})
    assert made == {
        "path": "/data/in", "pattern": "**", "settle": "2s", "batch": "5s", "prefix": "/x",
        "done": "", "all_names": False, "delete_after": False, "move_to": "", "mirror": False,
        "poll": "auto", "poll_interval": "1s",
    }  # fmt: skip
    assert warnings == []
    assert check(made) == (made, [])
    assert "settle is 10ms" in check({"path": "/in", "settle": "10ms"})[1][0]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({}, "path: missing"),
        ({"path": "in"}, "path: 'in' is not absolute"),
        ({"path": "/a/../b"}, "path: "),
        ({"path": "/in", "pattern": "["}, "pattern: "),
        ({"path": "/in", "prefix": "/../x"}, "prefix: "),
        ({"path": "/in", "settle": "soon"}, "settle: "),
        ({"path": "/in", "settle": "-1s"}, "settle: "),
        ({"path": "/in", "poll_interval": "1ms"}, "poll_interval: "),
        ({"path": "/in", "poll": "often"}, "poll: "),
        ({"path": "/in", "done": "/x"}, "done: "),
        ({"path": "/in", "move_to": "/in/x"}, "move_to: /in/x is in /in"),
        ({"path": "/in", "move_to": "/in"}, "move_to: "),
        ({"path": "/in", "move_to": "/x", "delete_after": True}, "move_to: delete_after"),
        ({"path": "/in", "mirror": True, "delete_after": True}, "mirror: delete_after"),
        ({"path": "/in", "setle": "1s"}, "setle"),
    ],
)
def test_what_is_wrong_is_named(part: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as e:
        check(part)
    assert e.value.message.startswith(message)
