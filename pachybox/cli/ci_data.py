"""Data for ``ci``: what goes into the box before, and what is compared with what came out."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pachybox.cli.ci_specs import Reads, Wanted
from pachybox.cli.output import size
from pachybox.errors import InvalidArgument, NotFound, PachyboxError

if TYPE_CHECKING:
    from pachybox.client.sync import Client

_TEXT = 1 << 20  # the largest file of which a difference is shown
_SHOWN = 20  # lines of it
_CONVENTION = "testdata"
EXPECTED = "expected"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A real box to take data from: of ``branch`` ("": the one a spec reads), and at most
    ``sample`` (0: all) of the files and directories that match a glob."""

    box: Client
    branch: str
    sample: int


@dataclass(frozen=True, slots=True)
class Data:
    """Where the data of repos comes from: directories by repo (``repo`` or ``repo@branch``, with
    its project unless that is ``default``), the folders with a ``testdata``, another box."""

    given: dict[str, Path]
    folders: Sequence[Path]
    elsewhere: Elsewhere | None

    def put(self, box: Client, read: Reads) -> str:
        """Fill the branch of an input; says what with. Raises NotFound when there is no data."""
        branch = f"{read.repo}@{read.branch}"
        if (folder := self._folder(read)) is not None:
            done = box.put_files(f"{branch}:/", folder)
            return _amount(done.files, done.bytes)
        if self.elsewhere is not None:
            return _copy(self.elsewhere, box, read)
        short = read.repo.removeprefix("default/")
        raise NotFound(
            f"no data for repo {short}",
            f"put some into {_CONVENTION}/{short}, or add --data {short}=DIR or --from ADDRESS",
        )

    def _folder(self, read: Reads) -> Path | None:
        short = read.repo.removeprefix("default/")
        names = (f"{short}@{read.branch}", short)
        for name in names:
            if name in self.given:
                return self.given[name]
        for name in names:
            for folder in self.folders:
                if (here := folder / _CONVENTION / name).is_dir():
                    return here
        return None


def directories(pairs: Sequence[str]) -> dict[str, Path]:
    """--data REPO=DIR. Raises InvalidArgument for what is no such pair, or no directory."""
    found = {}
    for pair in pairs:
        repo, equals, folder = pair.partition("=")
        if not equals or not repo:
            raise InvalidArgument(f"--data {pair!r} is not understood", "write --data REPO=DIR")
        if not Path(folder).is_dir():
            raise InvalidArgument(f"--data {pair}: {folder} is not a directory")
        found[repo.removeprefix("default/")] = Path(folder)
    return found


def _copy(source: Elsewhere, box: Client, read: Reads) -> str:
    """Copy what matches the glob of an input; a directory that matches comes whole."""
    branch = f"{read.repo}@{source.branch or read.branch}"
    files = total = 0
    matching = source.box.glob_file(f"{branch}:{read.glob}")
    with box.put(f"{read.repo}@{read.branch}") as put:
        for match in islice(matching, source.sample or None):
            below = source.box.walk_file(f"{branch}:{match.path}") if match.is_dir else (match,)
            for info in below:
                if info.is_dir:
                    continue
                with source.box.open(f"{branch}:{info.path}", "rb") as content:
                    put.stream(info.path, content)
                files, total = files + 1, total + info.size_bytes
    if not files:
        raise NotFound(f"nothing in {branch} of {source.box.address} matches {read.glob}")
    return f"{_amount(files, total)} of {source.box.address}"


def _amount(files: int, total: int) -> str:
    return f"{files} file{'s' * (files != 1)}, {size(total)}"


# ---- what came out


@dataclass(frozen=True, slots=True)
class Expected:
    """The directory with what pipelines are to make: the one given, else ``expected`` in one of
    the folders, where there is one yet."""

    given: Path | None
    folders: Sequence[Path]

    def of(self, one: Wanted) -> Path | None:
        """What one pipeline is to make; None when nothing is said of it."""
        here = self._top() / one.shown
        return here if here.is_dir() else None

    def to_write(self, one: Wanted) -> Path | None:
        """Where to write what it made: of all pipelines at first, then of those that are there."""
        top = self._top()
        return top / one.shown if not top.is_dir() else self.of(one)

    def _top(self) -> Path:
        if self.given is not None:
            return self.given
        for name in (EXPECTED, _CONVENTION):  # beside the data, when it is new
            for folder in self.folders:
                if (folder / name).is_dir():
                    return folder / EXPECTED
        return self.folders[0] / EXPECTED


def differences(box: Client, commit: str, expected: Path) -> list[str]:
    """How the files of a commit differ from those of a directory, as lines to read."""
    made = {
        info.path.lstrip("/"): info.size_bytes
        for info in box.walk_file(f"{commit}:/")
        if not info.is_dir
    }
    wanted = {
        os.path.relpath(os.path.join(where, name), expected): Path(where, name)  # noqa: PTH118
        for where, _, names in os.walk(expected)
        for name in names
    }
    found = [f"missing: {name}" for name in sorted(set(wanted) - set(made))]
    found += [f"not expected: {name}" for name in sorted(set(made) - set(wanted))]
    for name in sorted(set(made) & set(wanted)):
        found += _compared(box, f"{commit}:/{name}", made[name], wanted[name], name)
    return found


def _compared(box: Client, file: str, made: int, wanted: Path, name: str) -> Iterator[str]:
    there = wanted.stat().st_size
    if made > _TEXT or there > _TEXT:
        same = made == there and _same(box, file, wanted)
        if not same:
            yield f"differs: {name}: {size(made)}, expected {size(there)}"
        return
    new, old = box.get_file(file), wanted.read_bytes()
    if new == old:
        return
    yield f"differs: {name}"
    try:
        texts = [data.decode().splitlines() for data in (old, new)]
    except UnicodeDecodeError:
        yield f"  {size(made)}, expected {size(there)}; no text"
        return
    before, after = texts
    if before == after:
        yield "  the ends of lines differ"
    lines = difflib.unified_diff(before, after, f"{EXPECTED}/{name}", name, lineterm="", n=1)
    yield from islice(lines, _SHOWN)


def _same(box: Client, file: str, wanted: Path) -> bool:
    with box.open(file, "rb") as one, open(wanted, "rb") as other:
        while True:
            a, b = one.read(1 << 20), other.read(1 << 20)
            if a != b:
                return False
            if not a:
                return True


def accept(box: Client, commit: str, expected: Path) -> int:
    """Make a directory hold what a commit holds; the number of files."""
    shutil.rmtree(expected, ignore_errors=True)
    expected.mkdir(parents=True)
    files, _ = box.get_files(f"{commit}:/", expected)
    return files


def failures(box: Client, job: str, most: int = 10) -> list[str]:
    """What the failed datums of a job are, and what their programs said last."""
    lines: list[str] = []
    try:
        for datum in islice(box.list_datum(job, states=["FAILED"]), most):
            paths = ", ".join(
                f"{info.raw['file']['commit']['repo']['name']}:{info.path}" for info in datum.inputs
            )
            lines.append(f"datum {datum.id[:16]} ({paths}):")
            said = [log.message for log in box.logs(job=job, datum=datum.id, tail=20)]
            lines += [f"  {line}" for line in said] or ["  it printed nothing"]
    except PachyboxError as e:  # the reason of the job is told anyway
        lines.append(f"its logs cannot be read: {e}")
    return lines
