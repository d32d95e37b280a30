"""How full the disk may become: marks, the point between up and down, words, settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from pachybox.config import load
from pachybox.errors import InvalidArgument
from pachybox.watermarks import Disk, Level, Marks

MARKS = Marks(85, 92, 95)


def full(percent: float) -> Disk:
    used = round(percent * 1000)
    return Disk(used, 100_000 - used)


def walk(marks: Marks, *percents: float) -> list[Level]:
    found = [Level.FREE]
    for percent in percents:
        found.append(marks.level(full(percent), found[-1]))
    return found[1:]


def test_levels_begin_at_their_marks_and_end_a_point_below() -> None:
    free, warn, pause, refuse = Level
    assert walk(MARKS, 84.9, 85, 84, 83.9) == [free, warn, warn, free]
    assert walk(MARKS, 91.9, 92, 91.5, 90.9, 92) == [warn, pause, pause, warn, pause]
    assert walk(MARKS, 95, 94, 93.9, 91, 90.9, 10) == [refuse, refuse, pause, pause, warn, free]
    assert walk(MARKS, 99, 10) == [refuse, free]


def test_a_mark_of_zero_is_none_and_the_reserve_counts_whatever_the_share() -> None:
    assert walk(Marks(0, 0, 0), 100) == [Level.FREE]
    assert walk(Marks(85, 0, 95), 93, 95) == [Level.WARN, Level.REFUSE]
    marks = Marks(0, 0, 0, reserve=20_000)
    assert walk(marks, 80, 80.1, 79.9) == [Level.FREE, Level.REFUSE, Level.FREE]
    assert marks.kept(full(50)) == 20_000
    assert MARKS.kept(full(50)) == 5_000
    assert Marks(0, 0, 95, reserve=20_000).kept(full(10)) == 20_000
    assert MARKS.level(Disk(0, 0)) == Level.FREE  # a file system without a size
    assert "kept in reserve" in marks.held(full(90), Level.REFUSE)


def test_words_say_how_full_what_happens_when_and_the_remedy() -> None:
    said = MARKS.warning(full(86.25), Level.WARN)
    assert said.startswith(
        "the disk is 86.2 % full (13.43KiB left): ingest and crons are held at 92 %"
    )
    assert "writes are refused at 95 %; free some space" in said
    assert "held until it is below 91 %" in MARKS.warning(full(93), Level.PAUSE)
    assert "nearly full (95 %," in MARKS.warning(full(95), Level.REFUSE)
    assert "until it is below 94 %" in MARKS.warning(full(95), Level.REFUSE)
    assert MARKS.held(full(93), Level.PAUSE) == "disk 93 % full: ingest goes on below 91 %"
    assert MARKS.held(full(91.99), Level.WARN) == ""
    assert full(94.99).shown == "94.9 %"
    assert (
        Marks(85, 0, 0)
        .warning(full(90), Level.WARN)
        .startswith("the disk is 90 % full (9.766KiB left); ")
    )


def test_the_disk_is_looked_at_before_it_can_have_filled_up_to_a_mark() -> None:
    tb = 1 << 40
    assert MARKS.pause_s(Disk(0, tb), Level.FREE) == 15
    assert 1 < MARKS.pause_s(Disk(83 * tb // 100, 17 * tb // 100), Level.FREE) < 6
    assert MARKS.pause_s(full(10), Level.FREE) == 1
    assert MARKS.pause_s(Disk(90 * tb, 10 * tb), Level.WARN) == 1


def settings(folder: Path, text: str) -> Marks:
    (folder / "box.toml").write_text(text)
    return Marks.of(load(folder))


def test_settings_are_percentages_in_order(tmp_path: Path) -> None:
    assert settings(tmp_path, "") == MARKS
    assert settings(tmp_path, "disk_refuse_percent = 0\nreserve_bytes = 7") == Marks(85, 92, 0, 7)
    assert settings(tmp_path, "disk_pause_percent = 0\ndisk_warn_percent = 95") == Marks(95, 0, 95)
    with pytest.raises(InvalidArgument, match=r"disk_pause_percent \(92\) is below disk_warn_perc"):
        settings(tmp_path, "disk_warn_percent = 93")
    with pytest.raises(InvalidArgument, match=r"disk_refuse_percent \(80\) is below disk_warn"):
        settings(tmp_path, "disk_pause_percent = 0\ndisk_refuse_percent = 80")
    with pytest.raises(InvalidArgument, match="disk_refuse_percent cannot be 101") as refused:
        settings(tmp_path, "disk_refuse_percent = 101")
    assert "percentage" in refused.value.hint
    with pytest.raises(InvalidArgument, match="must be int"):
        settings(tmp_path, "disk_warn_percent = 85.5")
