"""``pachybox k3s install``: all looked at first, then each piece put in place whole.

Every archive and the program are copied beside their places and hashed as they are written; only
when all are what their sums say do they get their names, the program last. Run again it changes
what differs, and ends what was cut short.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from k3s import bundle, checks, config, record, unit
from k3s.bundle import AIRGAP, Bundle, Item, Report
from k3s.checks import Finding
from k3s.config import Choices
from k3s.keys import Noted, read
from k3s.places import MANIFESTS, PROGRAM, Places
from k3s.record import Record
from pachybox.durable import replacing
from pachybox.errors import Exhausted, NotFound, Refused
from pachybox.placing import Owner, State, Step, link, put_text, remove, remove_empty

_PATH = ("usr/local/sbin", "usr/sbin", "usr/bin", "sbin", "bin")


@dataclass(frozen=True, slots=True)
class Plan:
    """One installation. ``before``: what is installed; ``files``: what comes where (none without a
    ``bundle``: what is there stays); ``sums``: of the files that are there; ``texts``: the
    settings, whole, by path; ``notes``: what of them is ours."""

    places: Places
    before: Record | None
    bundle: Bundle | None
    chosen: Choices
    files: dict[Path, Item]
    sums: dict[Path, str]
    texts: dict[Path, str]
    notes: dict[Path, Noted]

    def state(self, path: Path) -> State:
        """What would become of a file."""
        if path not in self.sums:
            return State.MADE
        same = self.sums[path] == self.files[path].sum
        if path == PROGRAM:
            same = same and os.access(self.places.on_disk(path), os.X_OK)
        return State.KEPT if same else State.REPLACED

    @property
    def copies(self) -> dict[Path, Item]:
        """The files that are not there yet as they should be."""
        return {path: it for path, it in self.files.items() if self.state(path) != State.KEPT}


def plan(root: Path, found: Bundle | None, flags: Choices) -> Plan:
    """What is to be done below ``root``. Nothing is written. Raises InvalidArgument or Refused
    for flags and settings that cannot be, NotFound without a directory to install from."""
    at = Places(root)
    before = record.load(at)
    if found is None and before is None:
        raise NotFound("k3s is not installed yet", "name the directory it comes on: --from DIR")
    earlier = before.chosen if before else {}
    there = read(at.followed(at.config))
    data = config.data(flags.data, there, before.data if before else "")
    places = replace(at, data=data)
    chosen = flags.over(earlier)
    keys = before.keys if before else {}
    texts, notes = {}, {}
    for path, merge in (
        (places.config, config.merged_config),
        (places.registries, config.merged_registries),
    ):
        noted = keys.get(str(path), {})
        texts[path], notes[path] = merge(places.followed(path), chosen, flags, noted)
    files = _files(places, found) if found else {}
    there_now = [path for path in files if places.on_disk(path).is_file()]
    sums = {path: bundle.hashed(places.on_disk(path)) for path in there_now}
    return Plan(places, before, found, chosen, files, sums, texts, notes)


def _files(places: Places, found: Bundle) -> dict[Path, Item]:
    return {PROGRAM: found.program} | {places.images / item.name: item for item in found.images}


def findings(wanted: Plan, *, start: bool) -> Iterator[Finding]:
    """What stands against it. Raises Exhausted when it does not fit on the disk."""
    places, before = wanted.places, wanted.before
    if not (MANIFESTS / "kustomization.yaml").exists():
        yield Finding(f"{MANIFESTS} is not in this installation", "install pachybox again")
    yield from checks.foreign(places, before)
    yield from checks.moved(places)
    if before:
        yield from _changed(wanted, before)
    for path in wanted.copies:
        if path != PROGRAM and path in wanted.sums and not (before and before.owns(path)):
            yield Finding(
                f"{path} was not put there by pachybox, and is another file than that on the stick",
                "move it away, or rename the one on the stick",
            )
    sizes = {path: item.size for path, item in wanted.copies.items()}
    checks.space(places, sizes, sum(sizes.values()))
    if places.live:
        running = {**read(places.on_disk(places.config)), **wanted.chosen.settings}
        found_here = list(checks.machine(before, running))
        yield from found_here if start else [replace(f, fatal=False) for f in found_here]


def _changed(wanted: Plan, before: Record) -> Iterator[Finding]:
    """Files that are to be replaced, or used, and are not what was installed."""
    for path in map(Path, before.files):
        at = wanted.places.on_disk(path)
        used = wanted.bundle is None or path in wanted.files or path == wanted.places.unit
        if used and at.is_file():
            if not before.may_be(path, wanted.sums.get(path) or bundle.hashed(at)):
                yield Finding(
                    f"{path} was changed since pachybox installed it",
                    "move it away, then install again (changes of the unit: systemctl edit k3s)",
                )
        elif wanted.bundle is None and path != wanted.places.unit:
            yield Finding(f"{path} is missing", "name the directory it comes from: --from DIR")


def install(wanted: Plan, report: Report, *, act: bool = True) -> Iterator[Step]:
    """Put everything in place, saying each step; without ``act`` only say what would change.
    Nothing is started. The record is that of an installation which has not answered yet.

    Raises Corrupt, with nothing changed, when a file is not what its sum says, and Exhausted when
    the disk is full.
    """
    places = wanted.places
    links = _links(wanted)
    if act:
        for path in places.leftovers():
            path.unlink()
        record.save(places, _intent(wanted, links))
        _copy(wanted, report)
    for path in wanted.files:
        what = "program" if path == PROGRAM else "images"
        yield Step(what, str(path), wanted.state(path))
    for path, target in places.links.items():
        if path in links:
            yield Step("command", str(path), link(places.on_disk(path), target, act=act))
        else:
            yield Step("command", f"{path.name}, which is there from elsewhere", State.KEPT)
    for path, text in wanted.texts.items():
        if text or places.on_disk(path).exists():
            what = "settings" if path == places.config else "registries"
            yield Step(what, str(path), _put(places, path, text, act=act))
    state = put_text(places.on_disk(places.unit), unit.render(places.data), 0o644, act=act)
    yield Step("unit", str(places.unit), state)
    state = link(places.on_disk(places.wanted), f"../{places.unit.name}", act=act)
    yield Step("start with the machine", str(places.wanted), state)


def _copy(wanted: Plan, report: Report) -> None:
    """Have all files that differ, or none of them. Raises Exhausted when there is no room."""
    try:
        _copy_all(wanted, report)
    except OSError as e:
        full = e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise (Exhausted if full else Refused)(
            f"cannot write the copies{f' ({e.filename})' if e.filename else ''}: {e.strerror}",
            f"{'make room' if full else 'mend that'}, then run this again",
        ) from e


def _copy_all(wanted: Plan, report: Report) -> None:
    places = wanted.places
    with ExitStack() as stack:
        try:
            done = 0
            for count, (path, item) in enumerate(wanted.copies.items()):
                at = places.on_disk(path)
                at.parent.mkdir(parents=True, exist_ok=True)
                # Closed in the other order: the program, which is the first, gets its name last.
                target = stack.enter_context(replacing(at, 0o755 if path == PROGRAM else 0o644))
                start = done
                bundle.copy(item, target, lambda n, s=start, c=count: report(s + n, c))  # type: ignore[misc]
                done += item.size
        except BaseException:
            _forget(wanted)
            raise
        program, former = places.on_disk(PROGRAM), places.on_disk(places.former)
        if PROGRAM in wanted.copies and program.exists() and not former.exists():
            os.link(program, former)


def _forget(wanted: Plan) -> None:
    """Have the record say what it said before."""
    if wanted.before is not None:
        record.save(wanted.places, wanted.before)
        return
    path = wanted.places.on_disk(wanted.places.record)
    remove(path)
    remove_empty(path.parent, path.parent.parent)


def _put(places: Places, path: Path, text: str, *, act: bool) -> State:
    """Settings, for root's eyes alone where they are new: registries may hold passwords."""
    at = places.followed(path)
    return put_text(at, text, *owned(at), act=act)


def owned(at: Path) -> tuple[int, Owner]:
    """The mode and owner that a file of settings has, or is to have."""
    if not at.exists():
        return 0o600, (0, 0)
    there = at.stat()
    return stat.S_IMODE(there.st_mode), (there.st_uid, there.st_gid)


def _links(wanted: Plan) -> dict[Path, str]:
    """The links to have: none where a command of that name is there already."""
    places = wanted.places
    found = {}
    for path, target in places.links.items():
        at = places.on_disk(path)
        mine = at.is_symlink() and str(at.readlink()) == target
        there = at.is_symlink() or at.exists()
        if mine or not (there or any((places.root / d / path.name).exists() for d in _PATH)):
            found[path] = target
    return found


def _intent(wanted: Plan, links: dict[Path, str]) -> Record:
    """The record with what is about to be there."""
    places, before, found = wanted.places, wanted.before, wanted.bundle
    files = dict(before.files) if before else {}
    for path, item in wanted.files.items():
        adopted = path in wanted.sums and str(path) not in files  # another's, with the same bytes
        if not adopted:
            files[str(path)] = list(dict.fromkeys([*files.get(str(path), ()), item.sum]))
    text = unit.render(places.data)
    files[str(places.unit)] = list(
        dict.fromkeys([*files.get(str(places.unit), ()), bundle.hashed_text(text)])
    )
    return Record(
        version=before.version if before else "",
        source=str(found.folder.absolute()) if found else before.source if before else "",
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        data=str(places.data),
        files=files,
        links={str(path): target for path, target in links.items()},
        keys={str(path): noted for path, noted in wanted.notes.items()},
        chosen=wanted.chosen.noted(),
        home=before.home if before else "",
        box=before.box if before else {},
    )


def finish(wanted: Plan, version: str) -> Record:
    """The record of an installation that has answered as ``version``; what only the former needed
    is removed. It still has to be saved."""
    places = wanted.places
    remove(places.on_disk(places.former))
    found = record.load(places)
    assert found is not None
    for path, item in wanted.files.items():
        if str(path) in found.files:
            found.files[str(path)] = [item.sum]
    found.files[str(places.unit)] = [bundle.hashed_text(unit.render(places.data))]
    for name in list(found.files):
        path = Path(name)
        if wanted.files and path.name.startswith(AIRGAP) and path not in wanted.files:
            at = places.on_disk(path)
            if at.is_file() and found.may_be(path, bundle.hashed(at)):
                remove(at)
            del found.files[name]
    found.version, found.done = version, True
    return found
