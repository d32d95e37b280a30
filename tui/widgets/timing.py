"""Where the time of a job went, as rows of characters. Pure.

Up to ``FEW`` datums have a bar each on one axis of time; more are one line a worker. Downloading,
running and uploading have signs of their own, and so has a datum that failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tui import glyphs, shown
from tui.widgets.picture import Piece

if TYPE_CHECKING:
    from pachybox.client.page_values import DatumRow, JobTiming, Span, WorkerTime

FEW = 200
"""More datums than this and no datum has a bar of its own."""

PHASES = ("download", "process", "upload")
_WORDS = {"download": "dl", "process": "run", "upload": "up"}
_SIGNS = {"download": "░", "process": "▇", "upload": "▒"}
_PLAIN = {"download": ".", "process": "#", "upload": ":"}
_STYLES = {"download": "wait", "process": "busy", "upload": "ok"}
_NAME, _TIME = 9, 7  # columns of a datum's id and of a length of time


class Row(NamedTuple):
    """A line of a picture; ``datum`` is what Enter opens there, "" where nothing is."""

    pieces: tuple[Piece, ...]
    datum: str = ""


def waterfall(timing: JobTiming, width: int, *, ascii: bool = False) -> list[Row]:
    """The axis of time: a bar for each datum, or a line for each worker when there are many."""
    spans = [span for worker in timing.workers for span in worker.spans]
    if not spans:
        return [_said("no datum has run yet")]
    end = max(_end(span) for span in spans)
    few = len(spans) <= FEW
    rows = [_legend(end, width, ascii)]
    for worker in timing.workers:
        rows += _datums(worker, end, width, ascii) if few else [_line(worker, end, width, ascii)]
    if not few:
        rows += [_said(""), *by_phase(timing, width, ascii=ascii), _said("")]
        rows += slowest(timing, width, ascii=ascii)
    return rows


def by_phase(timing: JobTiming, width: int, *, ascii: bool = False) -> list[Row]:
    """Median, 95 of 100 and longest of each phase, with bars beside one another."""
    if not timing.phases:
        return [_said("no datum has run yet")]
    head = f"{'PHASE':10}{'P50':>8}{'P95':>8}{'MAX':>8}  "
    rows = [Row((Piece(shown.pad(head, width, ascii=ascii), "head"),))]
    top = max(longest for _, _, longest in timing.phases.values()) or 1.0
    signs = _PLAIN if ascii else _SIGNS
    for phase in sorted(timing.phases, key=_place):
        p50, p95, longest = timing.phases[phase]
        numbers = "".join(f"{shown.span(s):>8}" for s in (p50, p95, longest))
        room = max(0, width - len(head))
        bar = signs.get(phase, "#") * max(1, round(p95 / top * room)) if p95 > 0 else ""
        rows.append(
            Row(
                (
                    Piece(f"{phase:10}{numbers}  ", "text"),
                    Piece(bar[:room], _STYLES.get(phase, "text")),
                )
            )
        )
    return rows


def slowest(timing: JobTiming, width: int, *, ascii: bool = False) -> list[Row]:
    """The datums that took longest, longest first."""
    if not timing.slowest:
        return [_said("no datum has run yet")]
    head = f"  {'ID':{_NAME}}{'DL':>{_TIME}}{'RUN':>{_TIME}}{'UP':>{_TIME}}  TRIES  INPUT"
    rows = [Row((Piece(shown.pad(head, width, ascii=ascii), "head"),))]
    return rows + [_slow(datum, width, ascii) for datum in timing.slowest]


def _slow(datum: DatumRow, width: int, ascii: bool) -> Row:
    mark = glyphs.datum(datum.state)
    times = "".join(
        f"{shown.span(s):>{_TIME}}" for s in (datum.download_s, datum.process_s, datum.upload_s)
    )
    text = f"{datum.id[: _NAME - 1]:{_NAME}}{times}  {datum.tries:>5}  "
    room = max(0, width - len(text) - 2)
    given = shown.cut(shown.visible(datum.input), room, ascii=ascii)
    return Row((Piece(f"{mark.sign(ascii)} ", mark.style), Piece(text + given, "text")), datum.id)


def _datums(worker: WorkerTime, end: float, width: int, ascii: bool) -> list[Row]:
    """A worker's name and how busy it was, then a bar for each of its datums."""
    busy = f"{shown.visible(worker.name)}  busy {shown.share(worker.busy_share)}"
    rows = [Row((Piece(shown.pad(busy, width, ascii=ascii), "head"),))]
    room = max(4, width - 2 - _NAME - _TIME - 1)
    for span in worker.spans:
        mark = glyphs.datum(span.state)
        took = _end(span) - span.start_s
        rows.append(
            Row(
                (
                    Piece(f"{mark.sign(ascii)} {span.datum[: _NAME - 1]:{_NAME}}", mark.style),
                    *_axis([span], end, room, ascii),
                    Piece(f"{shown.span(took):>{_TIME}} ", "text"),
                ),
                span.datum,
            )
        )
    return rows


def _line(worker: WorkerTime, end: float, width: int, ascii: bool) -> Row:
    """All that a worker did on one line."""
    name = shown.pad(shown.visible(worker.name), _NAME, ascii=ascii)
    room = max(4, width - _NAME - 1 - 5)
    return Row(
        (
            Piece(f"{name} ", "text"),
            *_axis(worker.spans, end, room, ascii),
            Piece(f"{shown.share(worker.busy_share):>5}", "text"),
        )
    )


def _axis(spans: Iterable[Span], end: float, room: int, ascii: bool) -> list[Piece]:
    """Spans on ``room`` columns from the start of the job to ``end``. What is shorter than a
    column has one; a failed datum ends in its sign."""
    cells: list[tuple[str, str]] = [(" ", "text")] * room
    signs = _PLAIN if ascii else _SIGNS
    for span in spans:
        at = span.start_s
        for phase, took in zip(
            PHASES, (span.download_s, span.process_s, span.upload_s), strict=True
        ):
            if took > 0:
                first = min(room - 1, int(at / end * room)) if end else 0
                last = min(room, max(first + 1, int((at + took) / end * room))) if end else 1
                cells[first:last] = [(signs[phase], _STYLES[phase])] * (last - first)
                at += took
        mark = glyphs.datum(span.state)
        if mark.style == "bad":
            cells[min(room - 1, int(at / end * room)) if end else 0] = (mark.sign(ascii), "bad")
    return _joined(cells)


def _joined(cells: Sequence[tuple[str, str]]) -> list[Piece]:
    pieces: list[Piece] = []
    for sign, style in cells:
        if pieces and pieces[-1].style == style:
            pieces[-1] = Piece(pieces[-1].text + sign, style)
        else:
            pieces.append(Piece(sign, style))
    return pieces


def _legend(end: float, width: int, ascii: bool) -> Row:
    signs = _PLAIN if ascii else _SIGNS
    pieces = []
    for phase in PHASES:
        pieces += [Piece(signs[phase], _STYLES[phase]), Piece(f" {_WORDS[phase]}  ", "quiet")]
    used = sum(shown.columns(piece.text) for piece in pieces)
    until = f"0s to {shown.span(end)}"
    pieces.append(Piece(shown.pad(until, max(0, width - used), right=True, ascii=ascii), "quiet"))
    return Row(tuple(pieces))


def _said(text: str) -> Row:
    return Row((Piece(text, "quiet"),))


def _end(span: Span) -> float:
    return span.start_s + span.download_s + span.process_s + span.upload_s


def _place(phase: str) -> int:
    return PHASES.index(phase) if phase in PHASES else len(PHASES)
