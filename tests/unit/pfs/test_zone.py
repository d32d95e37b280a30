"""The zone in which schedules are read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from pachybox.pfs.zone import local_zone


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    local_zone.cache_clear()
    yield
    local_zone.cache_clear()


@pytest.mark.parametrize("name", ["Asia/Tokyo", ":Asia/Tokyo"])
def test_the_environment_names_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TZ", name)
    assert datetime(2026, 1, 1, tzinfo=local_zone()).utcoffset() == timedelta(hours=9)


@pytest.mark.parametrize("name", ["", "Nowhere/Land", "../etc/passwd", "/etc/localtime", "XYZ-3"])
def test_there_always_is_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TZ", name)
    assert datetime(2026, 1, 1, tzinfo=local_zone()).utcoffset() is not None
