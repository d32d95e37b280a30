"""Filters of lists: a client that went away is noticed, also when it would get nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from pachybox.api.definitions import pfs
from pachybox.api.handlers.kept import kept
from pachybox.api.table import Call


def test_a_filter_that_keeps_nothing_ends_with_its_caller() -> None:
    call = Call("pps_v2.API/ListJob")

    def found() -> Iterator[Any]:
        for number in count():
            if number == 3:
                call.cancel.set()
            assert number < 5
            yield pfs.RepoInfo(description=str(number))

    assert not list(kept(found(), "false", call))
