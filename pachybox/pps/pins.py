"""Which image a pipeline runs: found or pulled when a version is made, waited for when it is gone.

A version is pinned to the very image that its name led to (PipelineRecord.image_pin): what its tag
comes to mean later is for the next version. What is to be pinned follows from the records alone,
so a restart goes on where the box was. While a pipeline's image is missing its jobs wait, the
pipeline's state and theirs say why, and one thread looks every second whether it has come; what a
registry may have is pulled, again and again at longer and longer intervals.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pachybox.containers.images import Image, ImageMissing, Images
from pachybox.containers.names import is_id, parse
from pachybox.errors import PachyboxError
from pachybox.meta.tables import JOBS, PIPELINE_VERSIONS, PIPELINES
from pachybox.model.ids import Pipeline
from pachybox.model.pps import PipelineRecord, PipelineState
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pps import jobs, pipelines
from pachybox.pps.placement import in_container
from pachybox.pps.runners.base import Finding
from pachybox.pps.secrets import Secrets

log = logging.getLogger("pachybox.images")

_LOOK_S = 1.0  # between two looks whether an image has come
_SHARE = 10  # looking takes a tenth of the time at most
_CHECK_S = 30.0  # between two looks whether one has gone
_PULL_AGAIN_S = (10.0, 300.0)  # after a pull that failed; doubled each time, up to


def has_image(record: PipelineRecord) -> bool:
    """Whether a pipeline runs in a container of its image."""
    return in_container(record) and bool(reference(record.spec))


def reference(spec: Mapping[str, Any]) -> str:
    """The name of a spec's image; "" without one."""
    return str((spec.get("transform") or {}).get("image") or "")


@dataclass
class _Awaited:
    """An image that a pipeline version lacks."""

    record: PipelineRecord
    why: str
    state: PipelineState
    pulling: bool = False
    pull_at: float = 0.0
    pause_s: float = _PULL_AGAIN_S[0]

    @property
    def image(self) -> str:
        return reference(self.record.spec)


@dataclass(frozen=True, slots=True)
class Pinned:
    """The image of a pipeline version. ``id`` and ``digests`` are what it is pinned to, "" and ()
    before it is; ``size`` is in bytes. ``missing`` says why it is not here, and what brings it."""

    record: PipelineRecord
    image: str
    id: str
    digests: tuple[str, ...]
    size: int = 0
    missing: str = ""


class Pins:
    """The images of a box's pipelines. Thread-safe."""

    def __init__(
        self,
        pfs: Pfs,
        images: Images,
        secrets: Secrets,
        arrived: Callable[[Pipeline], None],
    ) -> None:
        """``arrived`` is told of a pipeline whose jobs need wait no longer; must be quick."""
        self._pfs = pfs
        self._images = images
        self._secrets = secrets
        self._arrived = arrived
        self._wake = threading.Condition()
        self._awaited: dict[Pipeline, _Awaited] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="images", daemon=True)

    def start(self) -> None:
        """Take up the pipelines that waited for their images when the box stopped, and begin."""
        for record in self._pfs.meta.all(PIPELINES):
            waited = record.state in (PipelineState.STARTING, PipelineState.CRASHING)
            if waited and record.image_pin and has_image(record) and not record.stopped:
                self._await(record, f"image {reference(record.spec)} is looked for")
            else:
                self.changed(record)
        self._thread.start()

    def stop(self) -> None:
        """End; a pull under way goes on without anybody waiting for it. Idempotent."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    # ---- what others ask

    def lacking(self, record: PipelineRecord) -> str | None:
        """Why a pipeline version cannot run for want of its image; None when it can, as far as
        is known."""
        if not has_image(record):
            return None
        with self._wake:
            found = self._awaited.get(record.pipeline)
            if found is not None and found.record.spec_commit == record.spec_commit:
                return found.why
        return None if record.image_pin else f"image {reference(record.spec)} is looked for"

    def changed(self, record: PipelineRecord) -> None:
        """A pipeline was created, updated, stopped or started. Quick."""
        if has_image(record) and not record.image_pin and not record.stopped:
            self._await(record, f"image {reference(record.spec)} is looked for")

    def lost(self, record: PipelineRecord, error: ImageMissing) -> None:
        """A worker could not start because the image is gone."""
        log.warning("image missing pipeline=%s error=%s", record.pipeline, error)
        self._await(record, str(error), PipelineState.CRASHING)

    def all(self, projects: Sequence[str] = ()) -> Iterator[Pinned]:
        """The images of all pipelines that have one (of the projects named; none: all), by the
        pipelines' names. Raises what Engine.client raises."""
        records = [r for r in self._pfs.meta.all(PIPELINES) if has_image(r)]
        for record in sorted(records, key=lambda r: r.pipeline):
            if projects and record.pipeline.project not in projects:
                continue
            image = reference(record.spec)
            id_, *digests = record.image_pin.split() or ("",)
            pinned = Pinned(record, image, id_, tuple(digests))
            try:
                yield replace(pinned, size=self._images.find(image, record.image_pin).size)
            except ImageMissing as e:
                yield replace(pinned, missing=self.lacking(record) or str(e))

    def findings(self) -> Sequence[Finding]:
        """What doctor says: which pipelines lack their image, and what brings it."""
        try:
            images = tuple(self.all())
        except PachyboxError:
            return ()  # podman does not answer, of which others speak
        found = []
        for one in images:
            if one.missing:
                detail, _, remedy = one.missing.partition("; ")
                where = f"image of {one.record.pipeline}"
                found.append(Finding(where, "warn", detail, remedy))
        if images and not found:
            found.append(Finding("images", "ok", f"those of {len(images)} pipelines are here"))
        return found

    # ---- waiting

    def _await(
        self, record: PipelineRecord, why: str, state: PipelineState = PipelineState.STARTING
    ) -> None:
        with self._wake:
            now = self._awaited.get(record.pipeline)
            if now is None or now.record.spec_commit != record.spec_commit:
                self._awaited[record.pipeline] = _Awaited(record, why, state)
                self._wake.notify_all()

    def _loop(self) -> None:
        checked = time.monotonic()
        while True:
            with self._wake:
                waiting = list(self._awaited.values())
                if self._stopping:
                    return
            began = time.monotonic()
            for one in waiting:
                self._guarded(self._look, one)
            pause = max(_LOOK_S, _SHARE * (time.monotonic() - began))
            if time.monotonic() - checked > _CHECK_S:
                checked = time.monotonic()
                self._guarded(self._check)
            with self._wake:
                if self._stopping:
                    return
                seen = {id(one) for one in waiting}
                if all(id(one) in seen for one in self._awaited.values()):
                    self._wake.wait(pause if self._awaited else _CHECK_S)

    @staticmethod
    def _guarded(work: Callable[..., None], *args: object) -> None:
        try:
            work(*args)
        except PachyboxError as e:
            log.warning("images: %s", e)
        except Exception:  # the thread must be there for the next look
            log.exception("images")

    def _look(self, one: _Awaited) -> None:
        """Whether what is awaited has come; if not, see to it that it is pulled."""
        now = self._pfs.meta.get(PIPELINES, one.record.pipeline)
        if now is None or now.stopped or now.spec_commit != one.record.spec_commit:
            self._forget(one)
            return
        one.record = now
        try:
            image = self._images.find(one.image, now.image_pin)
        except ImageMissing as e:
            if _pullable(one) and not one.pulling:
                if time.monotonic() >= one.pull_at:
                    self._begin_pull(one)
            elif not _pullable(one):
                one.why, one.state = str(e), PipelineState.CRASHING
        except PachyboxError as e:  # podman does not answer
            one.why, one.state = str(e), PipelineState.CRASHING
        else:
            self._found(one, image)
            return
        self._say(one)

    def _check(self) -> None:
        """Look whether the images of pipelines that wait for none are still there."""
        for record in self._pfs.meta.all(PIPELINES):
            if has_image(record) and record.image_pin and not record.stopped:
                try:
                    self._images.find(reference(record.spec), record.image_pin)
                except ImageMissing as e:
                    self.lost(record, e)
                except PachyboxError:
                    return  # podman does not answer

    # ---- pulling

    def _begin_pull(self, one: _Awaited) -> None:
        one.pulling = True
        if one.state is PipelineState.STARTING:
            one.why = f"pulling image {one.image}"
        threading.Thread(target=self._pull, args=(one,), name="pull", daemon=True).start()

    def _pull(self, one: _Awaited) -> None:
        try:
            spec = one.record.spec
            logins = partial(self._secrets.logins, spec)
            self._images.ensure(reference(spec), one.record.image_pin, logins)
        except PachyboxError as e:
            one.why, one.state = str(e), PipelineState.CRASHING
            one.pull_at = time.monotonic() + one.pause_s
            one.pause_s = min(2 * one.pause_s, _PULL_AGAIN_S[1])
            log.warning("image not pulled pipeline=%s error=%s", one.record.pipeline, e)
        finally:
            one.pulling = False
            with self._wake:
                self._wake.notify_all()

    # ---- what the records say

    def _forget(self, one: _Awaited) -> None:
        with self._wake:
            if self._awaited.get(one.record.pipeline) is one:
                del self._awaited[one.record.pipeline]

    def _say(self, one: _Awaited) -> None:
        """Why the pipeline and its jobs wait, where their records do not say so yet."""
        if (one.record.state, one.record.reason) != (one.state, one.why):
            self._record(one, one.state, one.why, "")

    def _found(self, one: _Awaited, image: Image) -> None:
        state = pipelines.ready(one.record.spec)
        if self._record(one, state, "", one.record.image_pin or image.pin):
            log.info("image found pipeline=%s id=%s", one.record.pipeline, image.id)
        self._forget(one)
        self._arrived(one.record.pipeline)

    def _record(self, one: _Awaited, state: PipelineState, why: str, pin: str) -> bool:
        def change(ch: Change) -> bool:
            now = ch.tx.get(PIPELINES, one.record.pipeline)
            if now is None or now.spec_commit != one.record.spec_commit or now.stopped:
                return False
            if pin and not now.image_pin:
                ch.tx.put(PIPELINES, replace(now, image_pin=pin))
                version = ch.tx.get(PIPELINE_VERSIONS, (now.pipeline, now.version))
                if version is not None:
                    ch.tx.put(PIPELINE_VERSIONS, replace(version, image_pin=pin))
            pipelines.set_state(ch, now.pipeline, state, why)
            for job in ch.tx.select(
                JOBS,
                "WHERE project = ? AND pipeline = ? AND finished_us IS NULL",
                (now.pipeline.project, now.pipeline.name),
                also=lambda j: j.job.pipeline == now.pipeline and not j.state.terminal,
            ):
                jobs.wait(ch, job.job, why)
            return True

        return self._pfs.change(change)


def _pullable(one: _Awaited) -> bool:
    """Whether a registry may have it."""
    return not is_id(one.image) and not parse(one.image).only_here
