"""One run of a trial: the source is shown, built where the spec asks for it, and tried."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pachybox.errors import InvalidArgument, PachyboxError
from pachybox.model.ids import Branch, Hash
from pachybox.model.pps import PipelineRecord
from pachybox.pps import trial_values
from pachybox.pps.planner import inputs_of
from pachybox.pps.slots import Slots
from pachybox.pps.spec import Spec
from pachybox.pps.trial_plan import evenly, named
from pachybox.pps.trial_source import Source
from pachybox.pps.trial_stage import Kept, Stage
from pachybox.pps.trial_values import Ask, Ended, Event
from pachybox.pps.workshop import Workshop
from pachybox.store.disk import full_disk_is_exhausted
from pachybox.store.trees import EMPTY

_SOURCE = "/source"  # where the source is shown, unless a place is named


@dataclass(frozen=True, slots=True)
class Built:
    """What building made of the files that ``key`` tells."""

    key: str
    kept: Kept


class TrialRun:
    """Runs one ask. ``cancel`` for any thread; the rest for one. ``kept`` and ``built`` are the
    caller's to close."""

    def __init__(
        self,
        number: int,
        ask: Ask,
        shop: Workshop,
        slots: Slots,
        source: Source,
        emit: Callable[[Event], None],
        before: Callable[[str], Hash | None],
        built: Built | None,
    ) -> None:
        """``shop`` has a pool and directories of the session's own. ``before`` gives the last
        good output of a datum in the session, ``built`` is what was built last."""
        self.kept: Kept | None = None
        self.built = built
        self._number = number
        self._ask = ask
        self._shop = shop
        self._slots = slots
        self._source = source
        self._emit = emit
        self._before = before
        self._lock = threading.Lock()
        self._cancelled = False
        self._stage: Stage | None = None

    def cancel(self) -> None:
        """Kill what runs and run no more; its worker stays."""
        with self._lock:
            self._cancelled = True
            stage = self._stage
        if stage is not None:
            stage.cancel()

    def run(self) -> None:
        """Everything from the plan to the last event, which is Ended."""
        began = time.monotonic()
        state, message, hint = trial_values.SUCCESS, "", ""
        try:
            with full_disk_is_exhausted(self._shop.work):
                state = self._run()
        except InvalidArgument as e:
            # what the spec asks for is not there, or two datums wrote one path
            state, message, hint = trial_values.FAILURE, e.message, e.hint
        except PachyboxError as e:
            state, message, hint = trial_values.ERROR, e.message, e.hint
        if self._cancelled:
            state, message, hint = trial_values.CANCELLED, "", ""
        seconds = time.monotonic() - began
        self._emit(Ended(self._number, state, seconds, message, hint))

    def _run(self) -> str:
        ask = self._ask
        given: dict[Branch, Hash] = {}
        if ask.build is not None:
            sources = [leaf.branch for leaf in inputs_of(ask.build.canonical)]
            given = dict.fromkeys(sources, self._source.root)
            made = self._build(ask.build, given)
            if made is None:
                return trial_values.FAILURE
            repo, branch = ask.build.pipeline.repo, ask.build.canonical["output_branch"]
            given[Branch(repo, branch)] = made
        pick = named(ask.chosen) if ask.chosen else evenly(ask.sample)
        stage = self._begin(ask.spec)
        self.kept = stage.kept
        stage.sample(pick, ask.commits, given)
        place = "" if ask.build is not None else self._show_source(stage.record())
        stage.run(place)
        if stage.failed:
            return trial_values.FAILURE
        if not self._cancelled:
            stage.merge()
        return trial_values.SUCCESS

    def _begin(self, spec: Spec) -> Stage:
        stage = Stage(self._number, spec, self._shop, self._slots, self._emit, self._before)
        with self._lock:
            self._stage = stage
            cancelled = self._cancelled
        if cancelled:
            stage.cancel()
        return stage

    def _build(self, spec: Spec, given: dict[Branch, Hash]) -> Hash | None:
        """What the pipeline that builds makes of the source, unless that is known; None when its
        program failed."""
        stage = self._begin(spec)
        try:
            stage.sample(evenly(0), (), given)
            hashes = [datum.hash for datum in stage.picked.datums]
            key = json.dumps([spec.canonical, hashes], sort_keys=True)
            if self.built is not None and self.built.key == key:
                return self.built.kept.output
            stage.run("")
            if stage.failed or self._cancelled:
                return None
            stage.merge()
            if self.built is not None:
                self.built.kept.close()
            self.built = Built(key, stage.kept)
            return stage.kept.output
        finally:
            if self.built is None or self.built.kept is not stage.kept:
                stage.kept.close()

    def _show_source(self, pipeline: PipelineRecord) -> str:
        """Lay the source out and have workers show it; where."""
        pool, source = self._shop.pool, self._source
        if source.root == EMPTY:
            return ""
        source.lay_out()
        if not pool.runner_of(pipeline).presents.links:
            if self._ask.place:
                raise InvalidArgument(
                    f"the source cannot be shown at {self._ask.place}: this machine allows no "
                    "mount namespace",
                    "leave --mount out: code is started where the source is; see doctor",
                )
            return str(source.folder)
        place = self._ask.place or self._ask.spec.canonical["transform"].get("working_dir")
        if not place:
            image = pool.image_of(pipeline)
            place = image.working_dir.rstrip("/") if image is not None else ""
        place = place or _SOURCE
        mounts = {place: str(source.folder)}
        if pool.mounts != mounts:
            pool.close()
            pool.mounts = mounts
        return place


def work_folders(folder: Path) -> tuple[Path, Path, Path]:
    """Of a session's folder: that of its workers, its logs, its source."""
    return folder / "workers", folder / "logs", folder / "source"
