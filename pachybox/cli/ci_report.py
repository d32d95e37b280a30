"""What ``ci`` found: lines for people as it goes, JSON lines for programs, JUnit for CI servers."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from pachybox.cli.output import Output, Painted, colour, span, visible, wants_colour
from pachybox.errors import CHECK_FILE, InvalidArgument

OK, FAILED, SKIPPED = "ok", "failed", "skipped"
_COLOURS = {OK: "green", FAILED: "red", SKIPPED: "yellow"}
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME, _SHOWN = 28, 60  # columns of a name; lines of text shown below a case


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was looked at. ``kind`` is specs, build, data, job or output; ``detail`` is
    one line, ``text`` what is to be read when it failed."""

    kind: str
    name: str
    state: str
    detail: str = ""
    seconds: float = 0.0
    text: tuple[str, ...] = ()


@dataclass
class Report:
    """All cases, in order. Each is shown as it is added."""

    output: Output
    cases: list[Case] = field(default_factory=list)
    began: float = field(default_factory=time.time)

    def add(
        self,
        kind: str,
        name: str,
        state: str,
        detail: str = "",
        *,
        since: float = 0.0,
        text: Sequence[str] = (),
    ) -> None:
        """Note a case; ``since`` is a moment of time.monotonic."""
        took = time.monotonic() - since if since else 0.0
        case = Case(kind, name, state, " ".join(detail.split()), round(took, 3), tuple(text))
        self.cases.append(case)
        self.live("")
        if self.output.form:
            self.output.raw(asdict(case))
        else:
            for line in _lines(case, self.output):
                self.output.line(line)
        self.output.out.flush()

    def live(self, text: str) -> None:
        """What happens now, on one line of a terminal that the next one takes the place of."""
        if self.output.form or not wants_colour(sys.stderr):
            return
        sys.stderr.write(f"\r\033[K{visible(text)[:100]}")
        sys.stderr.flush()

    def count(self, state: str) -> int:
        """How many cases have a state."""
        return sum(case.state == state for case in self.cases)

    def summary(self) -> None:
        """The last line."""
        if self.output.form:
            return
        parts = [f"{self.count(OK)} ok"]
        for state in (FAILED, SKIPPED):
            if n := self.count(state):
                parts.append(self.output.paint(Painted.of("", _COLOURS[state]), f"{n} {state}"))
        self.output.line(f"{', '.join(parts)} in {span(time.time() - self.began)}")

    def junit(self, path: str) -> None:
        """Write the cases as JUnit XML. Raises InvalidArgument when the file cannot be written."""
        from xml.etree import ElementTree as Xml

        def clean(text: str) -> str:
            return _NO_XML.sub(lambda found: repr(found[0])[1:-1], text)

        took = f"{time.time() - self.began:.3f}"
        counts = {
            "tests": str(len(self.cases)),
            "failures": str(self.count(FAILED)),
            "errors": "0",
            "time": took,
        }
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.began))
        top = Xml.Element("testsuites", {"name": "pachybox ci", **counts})
        skipped = str(self.count(SKIPPED))
        suite = Xml.SubElement(
            top, "testsuite", {**top.attrib, "timestamp": stamp, "skipped": skipped}
        )
        for case in self.cases:
            about = {"classname": f"pachybox.{case.kind}", "name": clean(case.name)}
            one = Xml.SubElement(suite, "testcase", about | {"time": f"{case.seconds:.3f}"})
            text = clean("\n".join(case.text))
            if case.state == FAILED:
                why = {"message": clean(case.detail), "type": case.kind}
                Xml.SubElement(one, "failure", why).text = text
            elif case.state == SKIPPED:
                Xml.SubElement(one, "skipped", {"message": clean(case.detail)})
            elif case.detail or text:
                Xml.SubElement(one, "system-out").text = clean(f"{case.detail}\n{text}".strip())
        Xml.indent(top)
        try:
            Xml.ElementTree(top).write(path, encoding="utf-8", xml_declaration=True)
        except OSError as e:
            raise InvalidArgument(f"cannot write {path}: {e.strerror}", CHECK_FILE) from e


def _lines(case: Case, output: Output) -> Iterator[str]:
    took = f"  {span(case.seconds)}" if case.seconds >= 0.1 else ""
    mark = Painted.of(case.state, _COLOURS[case.state])
    state = output.paint(mark, case.state.ljust(7))
    detail = visible(case.detail)
    yield f"{case.kind.ljust(6)} {visible(case.name).ljust(_NAME)} {state} {detail}{took}".rstrip()
    for line in case.text[:_SHOWN]:
        shown = visible(line.rstrip("\n"))
        yield f"       | {colour(_sign(line), shown) if output.colour else shown}"
    if len(case.text) > _SHOWN:
        yield f"       | and {len(case.text) - _SHOWN} lines more"


def _sign(line: str) -> Painted:
    """The colour of a line of a difference."""
    return Painted.of(line, {"+": "green", "-": "red"}.get(line[:1], ""))


@contextmanager
def quiet_line(report: Report, text: str) -> Iterator[None]:
    """Show ``text`` as what happens now while the block runs."""
    report.live(text)
    try:
        yield
    finally:
        report.live("")
