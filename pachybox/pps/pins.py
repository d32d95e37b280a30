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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pachybox.containers.credentials import Credential, of_secret
from pachybox.containers.images import Image, ImageMissing, Images
from pachybox.containers.names import is_id, parse
from pachybox.errors import NotFound, NotReady, PachyboxError
from pachybox.meta.tables import JOBS, PIPELINE_VERSIONS, PIPELINES
from pachybox.model.ids import Pipeline
from pachybox.model.pps import PipelineRecord, PipelineState
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pps import pipelines
from pachybox.pps.runners.base import Finding
from pachybox.pps.secrets import Secrets

log = logging.getLogger("pachybox.images")

_LOOK_S = 1.0  # between two looks whether an image has come
_CHECK_S = 30.0  # between two looks whether one has gone
_PULL_AGAIN_S = (10.0, 300.0)  # after a pull that failed; doubled each time, up to


def has_image(record: PipelineRecord) -> bool:
    """Whether a pipeline runs in a container of its image."""
    return record.runner == "podman" and bool(reference(record.spec))


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


class Pins:
    """The images of a box's pipelines. Thread-safe."""

    def __init__(
        self,
        pfs: Pfs,
        images: Images,
        secrets: Secrets,
        arrived: Callable[[Pipeline], None] = lambda _: None,
    ) -> None:
        """``arrived`` is told of a pipeline whose jobs need wait no longer; must be quick."""
        self._pfs = pfs
        self._images = images
        self._secrets = secrets
        self.arrived = arrived
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

    def pin(self, spec: Mapping[str, Any]) -> str:
        """The pin of a spec that is about to be made: of the image that its name leads to on this
        machine now, "" when it leads nowhere (it is then waited for).

        Raises InvalidArgument when it is no name, NotFound when there is no secret of a name in
        image_pull_secrets.
        """
        for name in _pull_secrets(spec):
            if not self._secrets.exists(name):
                raise NotFound(
                    f"secret {name}, named in transform.image_pull_secrets, not found",
                    "make it: create secret -f FILE",
                )
        try:
            return self._images.find(reference(spec)).pin
        except (ImageMissing, NotReady):
            return ""

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

    def findings(self) -> list[Finding]:
        """What doctor says: which pipelines lack their image, and what brings it."""
        records = [r for r in self._pfs.meta.all(PIPELINES) if has_image(r)]
        found = []
        for record in sorted(records, key=lambda r: str(r.pipeline)):
            try:
                self._images.find(reference(record.spec), record.image_pin)
            except ImageMissing as e:
                why = self.lacking(record)
                detail, remedy = (why, "") if why and not record.image_pin else (e.message, e.hint)
                found.append(Finding(f"image of {record.pipeline}", "warn", detail, remedy))
            except PachyboxError:
                return []  # podman does not answer, of which others speak
        if records and not found:
            found.append(Finding("images", "ok", f"those of {len(records)} pipelines are here"))
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
            for one in waiting:
                self._guarded(self._look, one)
            if time.monotonic() - checked > _CHECK_S:
                checked = time.monotonic()
                self._guarded(self._check)
            with self._wake:
                if self._stopping:
                    return
                seen = {id(one) for one in waiting}
                if all(id(one) in seen for one in self._awaited.values()):
                    self._wake.wait(_LOOK_S if self._awaited else _CHECK_S)

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
                except NotReady:
                    return

    # ---- pulling

    def _begin_pull(self, one: _Awaited) -> None:
        one.pulling = True
        if one.state is PipelineState.STARTING:
            one.why = f"pulling image {one.image}"
        threading.Thread(target=self._pull, args=(one,), name="pull", daemon=True).start()

    def _pull(self, one: _Awaited) -> None:
        try:
            credentials = self._credentials(one.record.spec)
            self._images.ensure(one.image, one.record.image_pin, credentials)
        except PachyboxError as e:
            one.why, one.state = str(e), PipelineState.CRASHING
            one.pull_at = time.monotonic() + one.pause_s
            one.pause_s = min(2 * one.pause_s, _PULL_AGAIN_S[1])
            log.warning("image not pulled pipeline=%s error=%s", one.record.pipeline, e)
        finally:
            one.pulling = False
            with self._wake:
                self._wake.notify_all()

    def _credentials(self, spec: Mapping[str, Any]) -> list[Credential]:
        found = []
        for name in _pull_secrets(spec):
            kind = self._secrets.inspect(name).type
            found += of_secret(name, kind, self._secrets.values(name))
        return found

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
        self.arrived(one.record.pipeline)

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
                if not job.state.computed and job.reason != why:
                    ch.tx.put(JOBS, replace(job, reason=why))
            return True

        return self._pfs.change(change)


def _pull_secrets(spec: Mapping[str, Any]) -> list[str]:
    return list((spec.get("transform") or {}).get("image_pull_secrets") or ())


def _pullable(one: _Awaited) -> bool:
    """Whether a registry may have it."""
    return not is_id(one.image) and not parse(one.image).only_here
