"""The datum log: lines whatever the pieces, bounded whatever the flood."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pachybox.worker.log import ENDLESS, LINE, PART, PARTS, LogFile, LogParts, LogWriter, stamp


def messages(path: Path) -> list[str]:
    return [json.loads(line)["message"] for line in path.read_text().splitlines()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b"\n", b"\r\n", b"\xe2\x98"]), max_size=20)
)
def test_lines_do_not_depend_on_how_output_arrives(tmp_path: Path, pieces: list[bytes]) -> None:
    path = tmp_path / "log"
    path.unlink(missing_ok=True)
    log = LogWriter(LogFile(str(path)))
    for piece in pieces:
        log.feed(piece)
    log.close()
    lines = b"".join(pieces).split(b"\n")
    if not lines[-1]:
        lines.pop()
    with open(path, encoding="utf-8") as file:
        got = [json.loads(line)["message"] for line in file.read().split("\n") if line]
    assert got == [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines]


def test_a_full_log_says_how_much_was_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogWriter(LogFile(str(path)), cap=1000)
    for _ in range(100):
        log.feed(b"0123456789\n")
    log.feed(b"tail")
    log.close()
    *kept, last = messages(path)
    assert set(kept) == {"0123456789"}
    dropped = 100 * 11 + 4 - len(kept) * 11
    assert last == (
        f"{dropped} bytes of output were dropped: the log of one datum holds 1000 bytes, "
        f"a line {LINE}"
    )
    assert path.stat().st_size <= 1000 + 300


def test_a_line_without_end_is_cut_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogWriter(LogFile(str(path)))
    for _ in range(10):
        log.feed(b"x" * 20_000)
    log.feed(b"\nnext\n")
    log.close()
    assert messages(path)[:2] == ["x" * LINE + f" ... {200_000 - LINE} bytes more", "next"]
    assert messages(path)[2].startswith(f"{200_000 - LINE} bytes")


def test_a_disk_without_room_loses_lines_and_nothing_else() -> None:
    log = LogWriter(LogFile("/dev/full"))
    log.feed(b"lost\n")
    log.close()


def test_a_stamp_is_rfc_3339_in_utc() -> None:
    assert stamp(0) == "1970-01-01T00:00:00.000000Z"
    assert stamp(1700000000.5) == "2023-11-14T22:13:20.500000Z"


def test_a_log_without_an_end_keeps_its_newest_parts(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    line = b"x" * 60_000
    count = (PARTS + 2) * PART // len(line)
    for half in (range(count // 2), range(count // 2, count)):
        log = LogWriter(LogParts(str(path)), ENDLESS)
        for number in half:
            log.feed(b"%d %s\n" % (number, line))
        log.close()
    parts = sorted(tmp_path.iterdir(), key=lambda p: int(p.stem.partition("-")[2] or 1))
    assert len(parts) == PARTS
    assert all(part.stat().st_size < PART + 2 * len(line) for part in parts)
    kept = [
        int(json.loads(row)["message"].partition(" ")[0])
        for part in parts
        for row in part.read_text().splitlines()
    ]
    assert kept == list(range(kept[0], count))
    assert kept[0] > 0
