"""The files of the workers of one job as one log: the order of their lines, and places in it.

A place is a number of bytes: how much of all files comes before. What has been told of it once
stays true, also when a worker adds a line that is older than what another one wrote and somebody
has read: whenever somebody reads, how far every file goes is noted (a *cut*, kept on disk), and
lines behind a cut come behind all that is before it. Between two cuts lines are ordered by time.

Nothing is sorted as a whole: what is between two cuts is halved at the time of the line in the
middle of its largest file, and again, down to pieces of some lines. Where that is follows from
the files alone, so that each piece of a log of any length is found in a few steps.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from pachybox.pps.log_file import LineFile

LEAF = 64 << 10
_MOST_SPLITS = 4000
_MOST_HEADINGS = 200_000

Cut = tuple[int, ...]
"""How far each file goes, in the order in which the files came about."""


class Node(NamedTuple):
    """A piece of the log: of each file the bytes from ``start`` to ``end``. ``at`` is its place."""

    at: int
    start: Cut
    end: Cut

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(self.end) - sum(self.start)

    @property
    def after(self) -> int:
        """Where the next piece begins."""
        return self.at + self.size


class Raw(NamedTuple):
    """A line as it is in its file; ``at`` is its place in the log."""

    at: int
    file: int
    offset: int
    data: bytes

    @property
    def after(self) -> int:
        """The place behind it."""
        return self.at + len(self.data)


class Order:
    """The order of one job's lines. For many threads."""

    def __init__(self, paths: Callable[[], Mapping[str, Path]], saved: Path | None) -> None:
        """``paths`` gives the files by name; ``saved`` is where cuts are kept. One file alone needs
        none: its places are its own offsets."""
        self._paths = paths
        self._saved = saved
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._cuts: list[Cut] = []
        self._sums: list[int] = []
        self._splits: dict[tuple[Cut, Cut], Cut | None] = {}
        self._headings: dict[str, tuple[int, list[tuple[int, str]]]] = {}
        self._load()

    @contextmanager
    def open(self) -> Iterator[View]:
        """The log as it is now."""
        with ExitStack() as held, self._lock:
            paths = self._paths()
            if not paths and self._names:  # it was removed
                self._names, self._cuts, self._sums = [], [], []
                if self._saved is not None:
                    self._saved.unlink(missing_ok=True)
            self._names += [name for name in sorted(paths) if name not in self._names]
            files: list[LineFile | None] = []
            for name in self._names:
                try:
                    file = LineFile(paths[name])
                except (KeyError, FileNotFoundError):
                    files.append(None)
                    continue
                held.callback(file.close)
                files.append(file)
            self._extend(files)
            view = View(self, tuple(files), list(self._cuts), list(self._sums))
            rest = held.pop_all()
        with rest:
            yield view

    def name(self, file: int) -> str:
        """What a file is called."""
        return self._names[file]

    def _extend(self, files: list[LineFile | None]) -> None:
        last = self._cuts[-1] if self._cuts else ()
        last += (0,) * (len(files) - len(last))
        ends = [file.end() if file is not None else 0 for file in files]
        cut = tuple(map(max, last, ends))
        if cut == last:
            return
        if sum(map(bool, cut)) == 1:  # one file: its places are its own offsets
            self._cuts[:], self._sums[:] = [cut], [sum(cut)]
            self._save(anew=True)
        else:
            self._cuts.append(cut)
            self._sums.append(sum(cut))
            self._save(anew=False)

    def _save(self, *, anew: bool) -> None:
        """A cut that cannot be written holds while the box runs."""
        if self._saved is None:
            return
        wanted = self._cuts if anew else self._cuts[-1:]
        text = "".join(
            json.dumps(dict(zip(self._names, cut, strict=False))) + "\n" for cut in wanted
        )
        try:
            self._saved.parent.mkdir(parents=True, exist_ok=True)
            if anew:
                beside = self._saved.with_name(f"{self._saved.name}.new")
                beside.write_text(text)
                beside.replace(self._saved)
            else:
                with open(self._saved, "a") as file:
                    file.write(text)
        except OSError:
            pass

    def _load(self) -> None:
        try:
            lines = self._saved.read_text().splitlines() if self._saved is not None else []
        except (OSError, ValueError):
            return
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                break  # torn by a crash: what was read up to there was not told
            self._names += [name for name in found if name not in self._names]
            self._cuts.append(tuple(int(found.get(name, 0)) for name in self._names))
            self._sums.append(sum(self._cuts[-1]))

    def split(self, view: View, start: Cut, end: Cut) -> Cut | None:
        """Where a piece is halved; None where it cannot be."""
        key = start, end
        if key not in self._splits:
            if len(self._splits) > _MOST_SPLITS:
                self._splits.clear()
            self._splits[key] = view.halved(start, end)
        return self._splits[key]

    def headings(self, view: View, file: int) -> list[tuple[int, str]]:
        """Where the datums of a file begin; looked for once."""
        lines = view.files[file]
        end = view.end[file]
        name = self._names[file]
        seen, found = self._headings.get(name, (0, []))
        if lines is not None and seen < end:
            found = found + lines.headings(seen, end)
            if len(found) <= _MOST_HEADINGS:
                self._headings[name] = (end, found)
        return found


class View:
    """A log as it was when it was opened."""

    def __init__(
        self, order: Order, files: tuple[LineFile | None, ...], cuts: list[Cut], sums: list[int]
    ) -> None:
        self._order = order
        self.files = files
        width = len(files)
        self._cuts, self._sums = cuts, sums
        last = cuts[-1] if cuts else ()
        self.end: Cut = last + (0,) * (width - len(last))
        self.size = sum(self.end)

    def name(self, file: int) -> str:
        """What a file is called."""
        return self._order.name(file)

    def headings(self, file: int) -> list[tuple[int, str]]:
        """See Order.headings."""
        return self._order.headings(self, file)

    def node_at(self, at: int, most: int = LEAF) -> Node | None:
        """The piece of at most ``most`` bytes (or one that cannot be halved) that holds a place."""
        if not 0 <= at < self.size:
            return None
        root = self._root(bisect_right(self._sums, at))
        return self._down(root, most, lambda left: at < left.after)

    def node_of(self, file: int, offset: int, most: int = LEAF) -> Node | None:
        """The piece that holds a byte of a file."""
        if not 0 <= offset < self.end[file]:
            return None
        low, high = 0, len(self._cuts) - 1
        while low < high:
            middle = (low + high) // 2
            cut = self._cuts[middle]
            if file < len(cut) and offset < cut[file]:
                high = middle
            else:
                low = middle + 1
        return self._down(self._root(low), most, lambda left: offset < left.end[file])

    def lines(self, node: Node) -> list[Raw]:
        """The lines of a piece in order."""
        found: list[tuple[bytes, int, int, bytes]] = []
        many = sum(a != b for a, b in zip(node.start, node.end, strict=True)) > 1
        for number, file in enumerate(self.files):
            start, end = node.start[number], node.end[number]
            if start == end:
                continue
            data = file.read(start, end) if file is not None else b""
            data += bytes(end - start - len(data))  # it was removed: its places stay
            newest = b""
            for line in data.splitlines(keepends=True) if b"\r" not in data else _lines(data):
                if many:
                    stamp = line[8:].partition(b'Z"')[0] if line.startswith(b'{"ts": "') else b""
                    newest = max(newest, stamp)
                found.append((newest, number, start, line))
                start += len(line)
        if many:
            found.sort(key=lambda one: one[:3])
        made, at = [], node.at
        for _, number, offset, line in found:
            made.append(Raw(at, number, offset, line))
            at += len(line)
        return made

    def vector(self, at: int) -> Cut:
        """Of each file, where the first line begins that is at a place of the log or behind it."""
        node = self.node_at(at)
        if node is None:
            return (0,) * len(self.files) if at < 0 else self.end
        found = list(node.start)
        for line in self.lines(node):
            if line.at < at:
                found[line.file] = line.offset + len(line.data)
        return tuple(found)

    def place(self, file: int, offset: int) -> Raw | None:
        """The line of a file that has a byte in it."""
        node = self.node_of(file, offset)
        for line in self.lines(node) if node is not None else ():
            if line.file == file and line.offset <= offset < line.offset + len(line.data):
                return line
        return None

    def halved(self, start: Cut, end: Cut) -> Cut | None:
        """Where a piece is halved, found in the files."""
        sizes = [b - a for a, b in zip(start, end, strict=True)]
        largest = sizes.index(max(sizes))
        lines = self.files[largest]
        if lines is None:
            return self._by_file(start, end, largest, end[largest])
        low, high = start[largest], end[largest]
        line = lines.line_start(low + (high - low) // 2, high)
        if line >= high:  # the last line is the longer half
            line = self._last_line(lines, low, high)
        stamp = lines.stamp(line)
        made = tuple(
            file.first_since(stamp, a, b) if file is not None else b
            for file, a, b in zip(self.files, start, end, strict=True)
        )
        if made not in (start, end):
            return made
        return self._by_file(start, end, largest, line)

    def _by_file(self, start: Cut, end: Cut, largest: int, line: int) -> Cut | None:
        """The same where times do not tell: files one after the other."""
        made = (*end[:largest], line, *start[largest + 1 :])
        return made if made not in (start, end) else None

    @staticmethod
    def _last_line(lines: LineFile, low: int, high: int) -> int:
        found = lines.read(low, high - 1).rfind(b"\n")
        return low + found + 1

    def _root(self, number: int) -> Node:
        width = len(self.files)
        start = self._cuts[number - 1] if number else ()
        end = self._cuts[number]
        at = self._sums[number - 1] if number else 0
        return Node(at, start + (0,) * (width - len(start)), end + (0,) * (width - len(end)))

    def _down(self, node: Node, most: int, is_left: Callable[[Node], bool]) -> Node:
        while node.size > most:
            middle = self._order.split(self, node.start, node.end)
            if middle is None:
                break
            left = Node(node.at, node.start, middle)
            node = left if is_left(left) else Node(left.after, middle, node.end)
        return node


def _lines(data: bytes) -> list[bytes]:
    """``data`` at its line feeds alone."""
    found = [line + b"\n" for line in data.split(b"\n")]
    last = found.pop()[:-1]
    return [*found, last] if last else found
