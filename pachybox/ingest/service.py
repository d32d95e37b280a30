"""Ingest sources as users see them: made, changed, paused, deleted, listed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Protocol

from pachybox.errors import AlreadyExists, NotFound, NotReady, Refused
from pachybox.ingest.advance import Step, advance
from pachybox.ingest.record_specs import from_beginning
from pachybox.ingest.spec import Spec
from pachybox.meta.tables import INGESTS, PIPELINES, REPOS
from pachybox.meta.tx import Tx
from pachybox.model.ids import Pipeline
from pachybox.model.ingest import (
    Ingest,
    IngestInfo,
    IngestKind,
    IngestRecord,
    IngestStatus,
)
from pachybox.pfs import branches, commits
from pachybox.pfs.change import Change, View
from pachybox.pfs.repos import require_project
from pachybox.pfs.service import Pfs
from pachybox.pps.sources import crons

_LONGEST_END_S = 30.0  # a source has 10 s to end by itself


class Keeper(Protocol):
    """What runs the sources that have specs of their own. From any thread, never inside a
    transaction."""

    def changed(self, ingest: Ingest) -> None:
        """The record of the source was made, changed, paused or resumed: begin, begin anew or
        end accordingly. Returns at once."""

    def status(self, ingest: Ingest) -> IngestStatus:
        """What it does now. Cheap; for any name."""

    def run(self, ingest: Ingest) -> None:
        """It is to do now what it would do later. Returns at once."""

    def advanced(self, ingest: Ingest, records: int, files: int) -> None:
        """It (or a spout) has brought so many records, or, knowing of none, files. Cheap."""

    def remove(self, ingest: Ingest) -> None:
        """Its record is gone: end its process and remove its state and logs. Returns when that is
        done."""


class Provider(Protocol):
    """What runs the sources of one kind that are parts of pipelines (crons, spouts). From any
    thread, never inside a transaction."""

    def infos(self) -> Iterable[IngestInfo]:
        """Every source of the kind that there is: its durable record, or what that would be, had
        it one (batch 0, not paused), and what it does now. Cheap."""

    def changed(self, ingest: Ingest) -> None:
        """It was paused or resumed, which stands in its record (INGESTS). Returns at once."""

    def run(self, ingest: Ingest) -> None:
        """It is to do now what it would do later. Raises what that raises."""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one spec. ``created``: it was not there before."""

    record: IngestRecord
    created: bool
    warnings: tuple[str, ...]


class Ingests:
    """All ingest sources of a box. Thread-safe."""

    def __init__(self, pfs: Pfs, keeper: Keeper, providers: Sequence[Provider]) -> None:
        self._pfs = pfs
        self._meta = pfs.meta
        self._keeper = keeper
        self._providers = tuple(providers)
        self._lock = threading.Condition()
        self._ending: list[Ingest] = []  # those whose programs may still be there

    # ---- making and changing

    def create(
        self, specs: Sequence[Spec], *, update: bool = False, reset: bool = False,
        trusted: bool = False,
    ) -> list[Made]:  # fmt: skip
        """Make the sources of ``specs``, all or none; with ``update`` change those that are
        there, which go on from their offset, with ``reset`` from the beginning. What an update
        does not change stays as it is. ``trusted``: whoever asks may have the box read folders
        and run commands.

        Raises AlreadyExists without ``update``, NotFound for a missing project or repo, Refused
        for a branch or a name that something else has, another kind, or a lack of trust.
        """
        for spec in specs:
            _require_trust(spec, trusted)
        self._await_end({spec.ingest for spec in specs})
        made = self._pfs.change(
            lambda ch: [self._put(ch, spec, update=update, reset=reset) for spec in specs]
        )
        for one in made:
            self._changed(one.record)
        return made

    def _await_end(self, ingests: set[Ingest]) -> None:
        with self._lock:
            self._lock.wait_for(lambda: ingests.isdisjoint(self._ending), _LONGEST_END_S)

    def _put(self, ch: Change, spec: Spec, *, update: bool, reset: bool) -> Made:
        old = ch.tx.get(INGESTS, spec.ingest)
        if old is None and spec.ingest in self._ending:  # still, or since it was looked
            raise NotReady(f"ingest {spec.ingest} is being deleted", "try again in a while")
        _require_name(ch.tx, spec.ingest)
        if old is not None and not update:
            raise AlreadyExists(
                f"ingest {spec.ingest} already exists", "change it with: update ingest"
            )
        if old is not None and old.kind is not spec.kind:
            raise Refused(
                f"ingest {spec.ingest} is a {old.kind.value}, and cannot become a "
                f"{spec.kind.value}",
                f"delete it first: delete ingest {spec.ingest}",
            )
        require_project(ch.tx, spec.ingest.project)
        _take_branch(ch, spec)
        now = ch.now
        if old is None:
            record = IngestRecord(spec.ingest, spec.kind, spec.canonical, spec.to, 1, now, now)
        elif old.spec == spec.canonical and not reset:
            return Made(old, False, spec.warnings)
        else:
            record = replace(
                old,
                spec=spec.canonical,
                to=spec.to,
                version=old.version + 1,
                updated=now,
                offset=_from_beginning(old) if reset else old.offset,
            )
        ch.tx.put(INGESTS, record)
        _event(ch.tx, "created" if old is None else "updated", record)
        return Made(record, old is None, spec.warnings)

    def delete(self, ingest: Ingest) -> None:
        """Remove a source, what it keeps on disk, and its logs; what it committed stays. Its
        program has ended when this returns. Raises NotFound, and Refused for a pipeline's."""

        def remove(tx: Tx) -> bool:
            found = tx.get(INGESTS, ingest)
            if found is None or found.kind.of_pipeline:
                return False
            tx.remove(INGESTS, ingest)
            _event(tx, "deleted", found)
            return True

        with self.ending([ingest]):
            if not self._meta.write(remove):
                raise self._missing(ingest)

    def delete_all(self) -> None:
        """Remove every source that has a spec of its own."""
        for record in self.records():
            self.delete(record.ingest)

    @contextmanager
    def ending(self, ingests: Sequence[Ingest]) -> Iterator[None]:
        """The block removes the records of sources. At its end their programs have ended and what
        they kept is gone; until then none of their names is made anew, so that nothing of the old
        one comes into the new."""
        with self._lock:
            self._ending.extend(ingests)
        try:
            yield
            for ingest in ingests:
                if self._meta.get(INGESTS, ingest) is None:
                    self._keeper.remove(ingest)
        finally:
            with self._lock:
                for ingest in ingests:
                    self._ending.remove(ingest)
                self._lock.notify_all()

    def take_up(self) -> None:
        """Begin with records that came by other ways than this: a restore."""
        for record in self.records():
            self._changed(record)

    # ---- what they bring

    def advance(self, step: Step) -> IngestRecord:
        """Make the next step of a source, once; see advance.advance."""
        record, made = advance(self._pfs, step)
        if made:
            self._keeper.advanced(step.ingest, step.records, step.files)
        return record

    # ---- pausing and running

    def pause(self, ingest: Ingest) -> None:
        """Have a source bring nothing until it is resumed, also over restarts. Idempotent.
        Raises NotFound."""
        self._set_paused(ingest, True)

    def resume(self, ingest: Ingest) -> None:
        """Have a paused source go on. Idempotent. Raises NotFound."""
        self._set_paused(ingest, False)

    def _set_paused(self, ingest: Ingest, paused: bool) -> None:
        shown = self.inspect(ingest).record

        def put(tx: Tx) -> bool:
            record = tx.get(INGESTS, ingest)
            if record is None:
                if not shown.kind.of_pipeline:
                    raise NotFound(f"ingest {ingest} was deleted just now")
                record = _blank(shown)
            if record.paused == paused:
                return False
            record = replace(record, paused=paused, updated=tx.now)
            tx.put(INGESTS, record)
            _event(tx, "paused" if paused else "resumed", record)
            return True

        if self._meta.write(put):
            self._changed(shown)

    def run(self, ingest: Ingest) -> None:
        """Have a source do now what it would do later. Raises NotFound, and Refused for a paused
        one."""
        found = self.inspect(ingest)
        if found.record.paused:
            raise Refused(f"ingest {ingest} is paused", f"resume it with: resume ingest {ingest}")
        runner = self._runner(found.record)
        if runner is not None:
            runner.run(ingest)

    def _changed(self, record: IngestRecord) -> None:
        runner = self._runner(record)
        if runner is not None:
            runner.changed(record.ingest)

    def _runner(self, record: IngestRecord) -> Keeper | Provider | None:
        if not record.kind.of_pipeline:
            return self._keeper
        for provider in self._providers:
            if any(info.record.ingest == record.ingest for info in provider.infos()):
                return provider
        return None

    # ---- looking

    def records(self) -> list[IngestRecord]:
        """What is durable of the sources that have specs of their own."""
        return [r for r in self._meta.all(INGESTS) if not r.kind.of_pipeline]

    def list(self, projects: Sequence[str] = ()) -> list[IngestInfo]:
        """Every source of the named projects (none named: all), by name."""
        found = [i for i in self._all() if not projects or i.record.ingest.project in projects]
        return sorted(found, key=lambda info: info.record.ingest)

    def inspect(self, ingest: Ingest) -> IngestInfo:
        """One source. Raises NotFound."""
        record = self._meta.get(INGESTS, ingest)
        if record is not None and not record.kind.of_pipeline:
            return self._info(record)
        for provider in self._providers:
            for info in provider.infos():
                if info.record.ingest == ingest:
                    return info
        raise self._missing(ingest)

    def _all(self) -> Iterable[IngestInfo]:
        yield from map(self._info, self.records())
        for provider in self._providers:
            yield from provider.infos()

    def _info(self, record: IngestRecord) -> IngestInfo:
        return IngestInfo(record, self._keeper.status(record.ingest))

    def _missing(self, ingest: Ingest) -> NotFound | Refused:
        for provider in self._providers:
            for info in provider.infos():
                if info.record.ingest == ingest:
                    return Refused(
                        f"ingest {ingest} belongs to pipeline {info.pipeline}",
                        f"change the pipeline, or pause it: pause ingest {ingest}",
                    )
        names = [str(i.record.ingest) for i in self._all()]
        near = get_close_matches(str(ingest), names, 3)
        hint = f"did you mean {', '.join(near)}" if near else "list ingest shows what there is"
        return NotFound(f"ingest {ingest} not found", hint)


def _blank(shown: IngestRecord) -> IngestRecord:
    """The record of a part of a pipeline that had none: what is shown of it was counted where it
    is, and is not durable here."""
    return replace(
        shown, batch=0, offset="", records=0, bytes=0, files=0, commits=0, dead=0,
        last_commit=None, last_time=None,
    )  # fmt: skip


def _from_beginning(record: IngestRecord) -> str:
    if record.kind in (IngestKind.PUSH, IngestKind.COMMAND):
        return from_beginning(record.offset)
    return ""


def _require_trust(spec: Spec, trusted: bool) -> None:
    if spec.kind is not IngestKind.PUSH and not trusted:
        raise Refused(
            f"ingest {spec.ingest} is a {spec.kind.value}, which works with the rights of the box",
            "make it over the box's own socket, or set a token in box.toml",
        )


def _require_name(view: View, ingest: Ingest) -> None:
    """Refuse a name by which ``list ingest`` shows a part of a pipeline."""
    pipeline = view.get(PIPELINES, Pipeline(ingest.project, ingest.name))
    if pipeline is not None and pipeline.spec.get("spout") is not None:
        raise Refused(
            f"{ingest} is the name of a spout, {pipeline.pipeline}",
            f"take another name, or change that: edit pipeline {pipeline.pipeline}",
        )
    for record in view.all(PIPELINES):
        for cron in crons(record.spec):
            if (cron.branch.repo.project, cron.branch.repo.name) == (ingest.project, ingest.name):
                raise Refused(
                    f"{ingest} is the name of a cron input of pipeline {record.pipeline}",
                    f"take another name, or change that: edit pipeline {record.pipeline}",
                )


def _take_branch(ch: Change, spec: Spec) -> None:
    """Make the branch that the source writes to, unless it is there already and fit for it."""
    to = spec.to
    if ch.tx.get(REPOS, to.repo) is None:
        raise NotFound(
            f"repo {to.repo.full} not found (ingest {spec.ingest} is to write to it)",
            f"make it with: create repo {to.repo}",
        )
    try:
        commits.require_input(ch.tx, branches.ensure_branch(ch, to))
    except Refused as e:
        raise Refused(
            f"branch {to} is written by a pipeline, or follows other branches: ingest "
            f"{spec.ingest} cannot write to it",
            "name a branch of your own",
        ) from e


def _event(tx: Tx, what: str, record: IngestRecord) -> None:
    ingest = record.ingest
    tx.event(
        f"ingest.{what}", project=ingest.project, ingest=ingest.name, ingest_kind=record.kind.value
    )
