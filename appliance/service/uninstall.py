"""``pachybox uninstall``: what install put there goes; the data stays, unless it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from appliance.service import plan, unit, users
from appliance.service.plan import Plan
from pachybox.config import Config
from pachybox.errors import Refused
from pachybox.lock import is_free
from pachybox.placing import State, Step, check_unmounted, remove, remove_folder


def installed(wanted: Plan) -> Plan | None:
    """``wanted`` with what the unit that is there says of itself; None when there is none.

    Raises Refused when the unit was not written by ``install``.
    """
    path = wanted.on_disk(wanted.unit)
    if not path.exists():
        return None
    facts = unit.facts(path.read_text(errors="replace"))
    if not facts:
        raise Refused(
            f"{wanted.unit} was not written by pachybox install",
            "remove it by hand, or choose another --name",
        )
    program = Path(facts["Program"]) if facts.get("Program") else None
    return replace(
        wanted,
        home=Path(facts["Home"]),
        bin=program.parent if program else wanted.bin,
        command=() if program else ("elsewhere",),
        share=Path(facts["Share"]),
        user=facts.get("User", ""),
        memory=int(facts.get("Memory") or 0),
        writable=tuple(Path(path) for path in json.loads(facts.get("Writable") or "[]")),
    )


def check(there: Plan) -> None:
    """Raise Refused, before anything is stopped or removed, when a purge would remove a directory
    that is none of a box, or not of this box alone."""
    there.check_links()
    if there.system:
        users.check_tables(there.root)
    home = there.on_disk(there.home)
    if home.is_symlink():
        raise Refused(
            f"{there.home} is a link to {home.readlink()}",
            "uninstall without --purge, and remove the data by hand",
        )
    if home.is_dir() and any(home.iterdir()) and not any((home / m).exists() for m in plan.MARKS):
        raise Refused(f"{home} has nothing of a box in it", "remove it by hand, if you want")
    for name, other in _others(there).items():
        if other.is_relative_to(there.home):
            raise Refused(
                f"{there.home} has the data of {name} in it too",
                f"uninstall that first: --name {name.removesuffix('.service')}",
            )


def uninstall(there: Plan, *, purge: bool, act: bool = True) -> Iterator[Step]:
    """Take everything away, saying each step; the data and its user only with ``purge``. Without
    ``act`` only say what would go. The service must have been stopped.

    The unit, which says what is installed, goes last: what was cut short is ended by the next.
    Raises Refused before anything is removed; see ``check``; also when a box still works there.
    """
    there.check_links()
    home = there.on_disk(there.home)
    if purge:
        check(there)
        if act and not is_free(there.on_disk(Config(home=there.home).pid_file)):
            raise Refused(f"the box at {there.home} is running", "stop it first: pachybox down")
        if act:
            check_unmounted(home)
            check_unmounted(there.on_disk(there.drop_ins))
    state = remove(there.on_disk(there.wanted, link=True), act=act)
    yield Step(there.occasion, str(there.wanted), state)
    if not (others := _others(there)):
        for shell, path in there.completions.items():
            state = remove(there.on_disk(path), act=act)
            yield Step(f"completion of {shell}", str(path), state)
        if not there.command:
            path = there.installed_program
            yield Step("program", str(path), remove(there.on_disk(path), act=act))
            for old in there.earlier_programs:
                if there.on_disk(old).exists():
                    yield Step("earlier program", str(old), remove(there.on_disk(old), act=act))
    else:
        yield Step("program", f"{there.installed_program}, for {', '.join(others)}", State.KEPT)
    if purge:
        yield from _purge(there, home, act=act)
    else:
        yield Step("data", str(there.home), State.KEPT if home.exists() else State.ABSENT)
    yield Step("unit", str(there.unit), remove(there.on_disk(there.unit), act=act))
    if purge and there.system and not others:  # it may be what runs now
        state = remove_folder(there.on_disk(plan.CACHE), act=act)
        yield Step("unpacked program", str(plan.CACHE), state)


def _purge(there: Plan, home: Path, *, act: bool) -> Iterator[Step]:
    state = remove_folder(there.on_disk(there.drop_ins), act=act)
    yield Step("changes of the unit", str(there.drop_ins), state)
    yield Step("data", str(there.home), remove_folder(home, last=plan.MARKS, act=act))
    if there.system:
        user = users.find(there.user, there.root)
        mine = user is not None and user.made_for(there.home)
        if mine and act:
            users.remove(there.user, there.root)
        yield Step("user", there.user, State.REMOVED if mine else State.KEPT)


def _others(there: Plan) -> dict[str, Path]:
    """The other services that were installed here, and their data: they share program and
    completion."""
    found = {}
    for path in sorted(there.on_disk(there.units).glob("*.service")):
        if path.name == there.unit.name or not path.is_file():
            continue
        if path.resolve().is_relative_to(there.root):  # else another machine's
            facts = unit.facts(path.read_text(errors="replace"))
            if facts:
                found[path.name] = Path(facts["Home"])
    return found
