"""Where a pipeline runs: as processes of this machine, or in its image, in containers of podman or
in Pods of a cluster.

Decided when a version is made, and kept with it (``PipelineRecord.runner``, ``image_pin``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pachybox.containers.credentials import Credential
from pachybox.containers.images import Image, ImageMissing, Images
from pachybox.errors import InvalidArgument, NotReady, PachyboxError, Refused
from pachybox.model.pps import KUBERNETES as KUBERNETES
from pachybox.model.pps import PODMAN as PODMAN
from pachybox.model.pps import PROCESS as PROCESS
from pachybox.model.pps import PipelineRecord
from pachybox.model.units import parse_quantity
from pachybox.pps import pod
from pachybox.pps.runners.base import Runner, WorkerLost, WorkerSpec
from pachybox.pps.runners.podman import PodmanRunner
from pachybox.pps.runners.pods import placing
from pachybox.pps.spec import Spec

RUNNERS = ("auto", PROCESS, PODMAN, KUBERNETES)
_LEAST_MEMORY = 8_000_000  # bytes; what a runtime and a worker take to start in a group
_IMAGE = "transform.image"
_WITHOUT = (
    "add --runner process to run its cmd on this machine without the image, or leave "
    "transform.image out"
)
_ELSEWHERE = "run it without the cluster: --runner podman, or process, which leaves the image out"


class PodRunner(Runner, Protocol):
    """The runner of Pods."""

    def why_not(self) -> PachyboxError | None:
        """Why no Pod can be made here, whatever its image; None when nothing is known to be in
        the way."""

    def check(self, spec: WorkerSpec) -> None:
        """Raise InvalidArgument or Refused when there can be no Pod for such a worker: its patches
        do not fit, or the cluster says so. One that says nothing just now is no reason."""

    def forget(self, pipeline: str) -> None:
        """Have what a pipeline has in the cluster removed: it is deleted, or stopped."""


@dataclass(frozen=True, slots=True)
class Pods:
    """What runs pipelines in Pods of a cluster, which has images of its own and pulls them."""

    runner: PodRunner

    def image(self, pipeline: PipelineRecord, logins: Callable[[], Sequence[Credential]]) -> Image:
        """The image of a pipeline version, of which nothing but its name is known here."""
        name = str(pipeline.spec["transform"]["image"])
        return Image(reference=name, id=name)


@dataclass(frozen=True, slots=True)
class Containers:
    """What runs pipelines in images of their own."""

    runner: PodmanRunner
    images: Images

    def image(self, pipeline: PipelineRecord, logins: Callable[[], Sequence[Credential]]) -> Image:
        """The image of a pipeline version. One that is pinned is not pulled here: its jobs wait
        for it (pachybox.pps.pins). ``logins`` gives those that its spec names.

        Raises ImageMissing, WorkerLost when podman went away just now (a next try starts it again
        where that can be), or Refused naming what else is in the way.
        """
        wanted = pipeline.spec["transform"]["image"]
        try:
            if pipeline.image_pin:
                return self.images.find(wanted, pipeline.image_pin)
            return self.images.ensure(wanted, logins=logins)
        except ImageMissing:
            raise
        except PachyboxError as e:
            what = f"no container for {pipeline.pipeline}: {e.message}"
            raise (WorkerLost if isinstance(e, NotReady) else Refused)(what, e.hint) from e


class Placement:
    """Chooses for one box, whose own default is ``default`` (one of RUNNERS)."""

    def __init__(
        self,
        default: str,
        containers: Containers | None,
        pods: Pods | None = None,
        known: dict[str, Image | ImageMissing] | None = None,
    ) -> None:
        self._default = default
        self._containers = containers
        self._pods = pods
        self._known = known
        self._no_pods: list[PachyboxError | None] = []  # once it is known, where that is kept

    def once(self) -> Placement:
        """One that looks for each image and for the cluster a single time, for a moment's use."""
        return Placement(self._default, self._containers, self._pods, {})

    def _find(self, containers: Containers, image: str) -> Image:
        """The image of a name. Raises ImageMissing."""
        known = {} if self._known is None else self._known
        if image not in known:
            try:
                known[image] = containers.images.find(image)
            except ImageMissing as e:
                known[image] = e
        found = known[image]
        if isinstance(found, ImageMissing):
            raise found
        return found

    def _why_no_pods(self, pods: Pods) -> PachyboxError | None:
        """What is in the way of all Pods."""
        if self._no_pods:
            return self._no_pods[0]
        why = pods.runner.why_not()
        if self._known is not None:
            self._no_pods.append(why)
        return why

    def in_cluster(self, runner: str = "") -> bool:
        """Whether pipelines with an image go to a cluster, by the same choice as ``place``."""
        return (runner or self._default) == KUBERNETES

    def place(self, spec: Spec, runner: str = "") -> Spec:
        """``spec`` with its runner and, where it is on this machine, the image it names. With
        ``runner`` that one, else the box's default; ``auto`` is podman for a spec with an image.

        Raises InvalidArgument when there is no such runner, Refused when it cannot run this spec,
        naming the choices.
        """
        if runner not in ("", *RUNNERS):
            raise InvalidArgument(
                f"runner {runner!r} is not available in this version of pachybox",
                f"use --runner {', '.join(RUNNERS[:-1])} or {RUNNERS[-1]}",
            )
        wanted = runner or self._default
        if not spec.image and wanted in (PODMAN, KUBERNETES) and not _gets_image(spec, runner):
            built = f" or, in its builder's image, {wanted}" if _has_source(spec) else ""
            raise Refused(
                f"pipeline {spec.pipeline} names no image to make a container of",
                f"name one in transform.image, or run it with --runner process{built}",
            ).about(_IMAGE)
        if not spec.image or wanted == PROCESS:
            _require_cmd(spec, f"pipeline {spec.pipeline} runs without an image")
            return spec.placed(PROCESS)
        return self._in_pod(spec) if wanted == KUBERNETES else self._in_container(spec)

    def _in_pod(self, spec: Spec) -> Spec:
        what = f"pipeline {spec.pipeline} is to run in a Pod"
        if self._pods is None:
            raise Refused(f"{what}, and this box has no runner of Pods", _ELSEWHERE).about(_IMAGE)
        _require_limits(spec, what)
        placing.check(spec.canonical)
        if why := self._why_no_pods(self._pods):
            hint = f"{why.hint}, or {_ELSEWHERE}" if why.hint else _ELSEWHERE
            raise Refused(f"{what}, and {why.message}", hint).about(_IMAGE)
        _require_cmd(spec, f"{what}, and a cluster does not tell what its image's entrypoint is")
        if not _has_source(spec):
            try:
                self._pods.runner.check(pod.draft(spec))
            except PachyboxError as e:
                e.about(e.field or pod.said_by(spec.canonical) or _IMAGE)
                raise
        return spec.placed(KUBERNETES, cluster=True)

    def _in_container(self, spec: Spec) -> Spec:
        what = f"pipeline {spec.pipeline} wants the image {spec.image!r}"
        if self._containers is None:
            raise Refused(f"{what}, and this box has no podman runner", _WITHOUT).about(_IMAGE)
        _require_limits(spec, what)
        _require_no_cards(spec, what)
        if why := self._containers.runner.why_not():
            hint = f"{why.hint}, or {_WITHOUT}"
            raise Refused(f"{what}, and {why.message}", hint).about(_IMAGE)
        try:
            image = self._find(self._containers, spec.image)
        except ImageMissing:
            return spec.placed(PODMAN)  # it is waited for
        if not image.entrypoint:
            _require_cmd(spec, f"{what}, which has no entrypoint")
        return spec.placed(PODMAN, image.pin)


def _require_limits(spec: Spec, what: str) -> None:
    """Raise Refused for limits that no container can have."""
    limits = spec.canonical.get("resource_limits") or {}
    memory = parse_quantity(limits.get("memory") or "0")
    if 0 < memory < _LEAST_MEMORY:
        raise Refused(
            f"{what}, and no container starts with so little memory "
            f"(resource_limits.memory {limits['memory']})",
            f'write "{_LEAST_MEMORY // 10**6}M" or more, or {_WITHOUT}',
        ).about("resource_limits.memory")


def _require_no_cards(spec: Spec, what: str) -> None:
    """Raise Refused for graphics cards, which podman is not asked for."""
    if ((spec.canonical.get("resource_limits") or {}).get("gpu") or {}).get("number"):
        raise Refused(
            f"{what}, and containers are given no graphics cards (resource_limits.gpu)",
            f"remove resource_limits.gpu, or {_WITHOUT}",
        ).about("resource_limits.gpu")


def _has_source(spec: Spec) -> bool:
    """Whether the client still has to build its source, and to name what runs it."""
    return "build" in spec.canonical.get("transform", {})


def _gets_image(spec: Spec, runner: str) -> bool:
    """Whether the client names an image when it builds the source: that of the build, or its
    builder's where a runner is asked for, since it does not know what the box would choose."""
    build = spec.canonical.get("transform", {}).get("build") or {}
    return bool(build.get("image") or (build and runner))


def _require_cmd(spec: Spec, why: str) -> None:
    if not spec.canonical.get("transform", {}).get("cmd") and not _has_source(spec):
        hint = 'say what to run, like ["sh"]'
        raise Refused(f"{why}, and transform.cmd is missing", hint).about("transform.cmd")


def in_container(pipeline: PipelineRecord) -> bool:
    """Whether a pipeline version runs in containers of podman."""
    return pipeline.runner == PODMAN


def in_pod(pipeline: PipelineRecord) -> bool:
    """Whether a pipeline version runs in Pods."""
    return pipeline.runner == KUBERNETES


def with_image(transform: Mapping[str, Any], image: Image | None) -> dict[str, Any]:
    """``transform`` with what it leaves to the image: its entrypoint and working directory."""
    made = dict(transform)
    if image is not None:
        made["cmd"] = made.get("cmd") or image.entrypoint
        made["working_dir"] = made.get("working_dir") or image.working_dir
    return made
