"""The log of records: what was made durable is there after any crash, whole and in order."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.errors import Corrupt, Exhausted, Refused
from pachybox.spool import Frame, Keys, Log, Reader, Seen
from pachybox.spool import keys as spool_keys
from pachybox.spool.reader import segment_name, segments
from tests.examples import many

LIMIT = 8 << 20

frames = st.builds(
    Frame,
    time=st.integers(0, 2**53),
    records=st.lists(st.binary(max_size=300), max_size=6),
    note=st.binary(max_size=20),
    digest=st.binary(min_size=16, max_size=16),
)


def read(folder: Path, position: int = 0) -> list[Frame]:
    with Reader(folder, position) as reader:
        found: list[Frame] = []
        while more := [frame for *_, frame in reader.frames()]:
            found += more
        return found


def fill(log: Log, count: int, size: int = 100_000) -> list[int]:
    return [log.append([Frame(n, [bytes([n % 250]) * size])])[0] for n in range(count)]


@settings(max_examples=many(60), deadline=None)
@given(batches=st.lists(st.lists(frames, min_size=1, max_size=4), max_size=6), data=st.data())
def test_a_log_torn_at_any_byte_keeps_what_was_whole(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Frame]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = Log(folder, LIMIT)
    written = [frame for batch in batches for frame in batch]
    ends = [end for batch in batches for end in log.append(batch)]
    log.sync(log.end)
    log.close()
    torn = data.draw(st.integers(0, ends[-1] if ends else 0))
    os.truncate(folder / segment_name(0), torn)
    if data.draw(st.booleans()):
        with open(folder / segment_name(0), "ab") as file:
            file.write(data.draw(st.sampled_from((b"\0" * 40, b"x" * 40, b"\x22\0\0\0abc"))))
    whole = sum(end <= torn for end in ends)
    found = read(folder)
    # one more when what was written over the end is what was there
    assert found in (written[:whole], written[: whole + 1])
    log = Log(folder, LIMIT)
    more = Frame(7, [b"after"])
    log.append([more])
    log.close()
    assert read(folder) == [*found, more]


def test_positions_go_on_over_segments_and_cuts(tmp_path: Path) -> None:
    log = Log(tmp_path, LIMIT)
    ends = fill(log, 60)
    assert len(segments(tmp_path)) == 6
    assert [f.time for f in read(tmp_path, ends[29])] == list(range(30, 60))
    log.cut(ends[29])
    assert log.start <= ends[29]
    assert len(segments(tmp_path)) == 4
    assert [f.time for f in read(tmp_path, ends[29])] == list(range(30, 60))
    log.close()
    log = Log(tmp_path, LIMIT)
    assert log.end == ends[-1]
    log.cut(log.end)
    assert len(segments(tmp_path)) == 1
    log.close()


def test_zeros_are_written_ahead_and_are_no_unfinished_writing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Most writes leave the file's length, which is what a sync is slow for; a segment that is
    done has nothing behind its frames."""
    log = Log(tmp_path, LIMIT)
    lengths: set[int] = set()
    for n in range(400):
        log.append([Frame(n, [b"x" * 2_000])])
        lengths.add((tmp_path / segment_name(0)).stat().st_size)
    assert len(lengths) < 12
    assert max(lengths) > log.end
    log.close()
    log = Log(tmp_path, LIMIT)
    assert "unfinished" not in caplog.text
    assert (tmp_path / segment_name(0)).stat().st_size == log.end
    fill(log, 30)
    for begin, after in pairwise(segments(tmp_path)):
        assert begin + (tmp_path / segment_name(begin)).stat().st_size == after
    end = log.end
    log.close()
    last = tmp_path / segment_name(segments(tmp_path)[-1])
    with open(last, "r+b") as file:
        file.seek(end - segments(tmp_path)[-1] + 9)
        file.write(b"torn")
    log = Log(tmp_path, LIMIT)
    assert "13 bytes of unfinished writing are cut off" in caplog.text
    assert log.end == end
    assert len(read(tmp_path)) == 430
    log.close()


def test_a_reader_in_step_with_the_writer_sees_each_frame_once(tmp_path: Path) -> None:
    seen: list[int] = []
    with Reader(tmp_path) as reader:
        assert list(reader.frames()) == []
        log = Log(tmp_path, LIMIT)
        for n in range(100):
            log.append([Frame(n, [b"r" * 50_000])])
            if n % 7 == 0:
                seen += [frame.time for *_, frame in reader.frames(1 << 30)]
                reader.sync()
        seen += [frame.time for *_, frame in reader.frames(1 << 30)]
    assert seen == list(range(100))
    log.close()


def test_a_full_log_takes_nothing_until_it_is_cut(tmp_path: Path) -> None:
    log = Log(tmp_path, LIMIT)
    with pytest.raises(Exhausted, match="wait to be taken"):
        fill(log, 200)
    assert log.full
    assert LIMIT <= log.end < LIMIT + 200_000
    log.cut(log.end)
    assert not log.full
    log.append([Frame(1, [b"x"])])
    log.close()


def test_what_was_lost_with_the_folder_leaves_no_position_to_be_used_again(tmp_path: Path) -> None:
    log = Log(tmp_path / "a", LIMIT, floor=5_000)
    assert log.append([Frame(1, [b"x"])])[0] > 5_000
    log.close()
    log = Log(tmp_path / "a", LIMIT, floor=9_000)
    (end,) = log.append([Frame(2, [b"y"])])
    assert end > 9_000
    assert [f.time for f in read(tmp_path / "a", 9_000)] == [2]
    log.close()


def test_one_process_writes(tmp_path: Path) -> None:
    log = Log(tmp_path, LIMIT)
    with pytest.raises(Refused, match="another process"):
        Log(tmp_path, LIMIT)
    log.close()
    with pytest.raises(Refused):
        log.append([Frame(1, [b""])])


def test_damage_before_the_last_segment_is_told_not_passed_over(tmp_path: Path) -> None:
    log = Log(tmp_path, LIMIT)
    fill(log, 30)
    log.close()
    with open(tmp_path / segment_name(0), "r+b") as file:
        file.seek(150_000)
        file.write(b"damage")
    with pytest.raises(Corrupt, match="damaged at byte 100"):
        read(tmp_path)


@settings(max_examples=many(40), deadline=None)
@given(
    adds=st.lists(st.integers(0, 30), max_size=60),
    kept=st.integers(0, 60),
    most=st.integers(1, 25),
)
def test_the_last_keys_are_found_also_after_a_start(
    tmp_path_factory: pytest.TempPathFactory, adds: list[int], kept: int, most: int
) -> None:
    """Keys up to a position are read back; what came after is added again as the log has it."""
    file = tmp_path_factory.mktemp("keys") / "keys"
    keys = Keys(file, 0, most)
    for position, name in enumerate(adds, 1):
        keys.add(b"%d" % name, _seen(position))
    keys.sync()
    keys.close()
    keys = Keys(file, kept, most)
    for position, name in enumerate(adds, 1):
        if position > kept:
            keys.add(b"%d" % name, _seen(position))
    for name in range(31):
        last = max((i for i, one in enumerate(adds, 1) if one == name), default=0)
        found = keys.find(b"%d" % name)
        if last > len(adds) - most and last:
            assert found == _seen(last)
        else:
            # of those that were overwritten before the start nothing is left
            assert found is None
    assert file.stat().st_size <= 48 * most
    keys.close()


def test_keys_are_found_after_more_of_them_than_memory_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_keys, "_MASK", (1 << 8) - 1)  # in place of 2**32 - 1
    monkeypatch.setattr(spool_keys, "_BUCKETS", 8)
    most = 50
    keys = Keys(tmp_path / "keys", 0, most)
    for position in range(1, 1500):
        keys.add(b"%d" % position, _seen(position))
        if position % 37 == 0:
            for back in range(position):
                found = keys.find(b"%d" % (position - back))
                assert found == (_seen(position - back) if back < most else None)
    keys.close()


def _seen(position: int) -> Seen:
    return Seen(b"%12d" % position, position, 1_700_000_000 + position, position % 7)
