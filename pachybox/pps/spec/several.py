"""Specs of several texts taken together: read one after the other, put in an order that works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from pachybox.errors import InvalidArgument
from pachybox.model.ids import Pipeline
from pachybox.pps.spec.check import Examined, Spec, examine, load, told
from pachybox.pps.spec.documents import Problem
from pachybox.pps.spec.inputs import leaves
from pachybox.pps.spec.overlay import DefaultsOf, no_defaults


class Text(NamedTuple):
    """Specs as a user gave them, and how messages call the text."""

    text: str
    source: str


def load_all(
    texts: Sequence[Text], *, default_project: str, defaults: DefaultsOf = no_defaults
) -> list[Spec]:
    """The specs of all texts, those that others read before those that read them.

    Raises InvalidArgument as ``load`` does, and when two texts have a spec of one name.
    """
    found: list[Spec] = []
    places: dict[Pipeline, str] = {}
    for text, source in texts:
        specs = load(text, source, default_project=default_project, defaults=defaults)
        for problem in _twice(specs, source, places):
            raise InvalidArgument(problem, "rename one of them, or leave it out")
        found += specs
    return in_order(found)


class Told(NamedTuple):
    """Something about one of several texts."""

    source: str
    problem: Problem

    def __str__(self) -> str:
        return told(self.problem, self.source)


class Given(NamedTuple):
    """A spec of one of several texts."""

    source: str
    one: Examined

    def told(self, path: str, message: str, hint: str = "", level: str = "error") -> Told:
        """Something about one of its fields."""
        return Told(self.source, self.one.located(path, message, hint, level))


def examine_all(
    texts: Sequence[Text], *, default_project: str, defaults: DefaultsOf = no_defaults
) -> tuple[list[Given], list[Told]]:
    """As ``load_all``, but with every problem and warning of every text instead of the first. The
    specs that are right, in an order that works, then the others."""
    right: list[Given] = []
    others: list[Given] = []
    found: list[Told] = []
    places: dict[Pipeline, str] = {}
    for text, source in texts:
        read, wrong = examine(text, source, default_project=default_project, defaults=defaults)
        found += [Told(source, one) for one in wrong]
        mine = [Given(source, one) for one in read if one.right]
        others += [Given(source, one) for one in read if not one.right]
        for given in mine:
            if (first := places.get(given.one.spec.pipeline)) is not None:
                twice = f"{given.one.spec.pipeline} is in {first} already"
                found.append(given.told("pipeline.name", twice, "rename one of them"))
        places.update((given.one.spec.pipeline, source) for given in mine)
        right += mine
    by_name = {given.one.spec.pipeline: given for given in right}
    ordered = in_order([given.one.spec for given in right])
    return [*(by_name[spec.pipeline] for spec in ordered), *others], found


def _twice(specs: Sequence[Spec], source: str, places: dict[Pipeline, str]) -> Iterator[str]:
    """What to say of pipelines that an earlier text has too; ``places`` learns those of this."""
    for spec in specs:
        if (first := places.get(spec.pipeline)) is not None:
            yield f"{source}: {spec.pipeline} is in {first} already"
    places.update((spec.pipeline, source) for spec in specs)


def in_order(specs: Sequence[Spec]) -> list[Spec]:
    """``specs`` with those first whose outputs others of them read, otherwise as given.

    When some read each other in a ring all stay as given: making them is refused by name.
    """
    made_by = {spec.pipeline: spec for spec in specs}
    sorter = TopologicalSorter(
        {
            spec.pipeline: [
                above
                for _, leaf in leaves(spec.canonical.get("input") or {})
                if (above := Pipeline(leaf["project"], leaf["repo"])) in made_by
            ]
            for spec in specs
        }
    )
    place = {spec.pipeline: number for number, spec in enumerate(specs)}
    ordered: list[Spec] = []
    try:
        sorter.prepare()
    except CycleError:
        return list(specs)
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        ordered += [made_by[name] for name in ready]
        sorter.done(*ready)
    return ordered
