"""Which runner a spec gets, on a box that has no containers. (With them: tests/flow.)"""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from pachybox.errors import InvalidArgument, NotReady, PachyboxError, Refused
from pachybox.pps.placement import Placement, Pods
from pachybox.pps.spec import Spec, load


def spec(**transform: Any) -> Spec:
    text = {
        "pipeline": {"name": "edges"},
        "transform": transform,
        "input": {"pfs": {"repo": "in", "glob": "/*"}},
    }
    return load(json.dumps(text), "x", default_project="default")[0]


@pytest.mark.parametrize("box", ["auto", "process"])
def test_without_an_image_it_is_a_process(box: str) -> None:
    assert Placement(box, None).place(spec(cmd=["true"])).runner == "process"


@pytest.mark.parametrize(
    ("box", "asked"), [("auto", "process"), ("process", ""), ("podman", "process")]
)
def test_an_image_is_ignored_where_that_was_said(box: str, asked: str) -> None:
    placed = Placement(box, None).place(spec(cmd=["true"], image="busybox"), asked)
    assert (placed.runner, placed.image_pin) == ("process", "")


@pytest.mark.parametrize(
    ("asked", "transform", "error", "words"),
    [
        ("", {"cmd": ["true"], "image": "busybox"}, Refused, "wants the image 'busybox'"),
        ("podman", {"cmd": ["true"], "image": "busybox"}, Refused, "no podman runner"),
        ("podman", {"cmd": ["true"]}, Refused, "names no image"),
        ("process", {"image": "busybox"}, Refused, "transform.cmd is missing"),
        ("docker", {"cmd": ["true"]}, InvalidArgument, "runner 'docker' is not available"),
    ],
)
def test_what_cannot_be_is_refused_with_the_choices(
    asked: str, transform: dict[str, Any], error: type[PachyboxError], words: str
) -> None:
    with pytest.raises(error, match=words) as e:
        Placement("auto", None).place(spec(**transform), asked)
    assert "--runner" in e.value.hint or "cmd" in e.value.message


def test_a_source_without_an_image_is_refused_before_it_is_sent() -> None:
    """What builds it would be refused, with its repo made already."""
    built = spec(build={"language": "python"})
    with pytest.raises(Refused, match="names no image") as e:
        Placement("kubernetes", None).place(built)
    assert "--runner process or, in its builder's image, kubernetes" in e.value.hint
    Placement("kubernetes", None).place(built, "kubernetes")
    Placement("kubernetes", None).place(built, "process")
    Placement("kubernetes", None).place(spec(build={"image": "go-build:1"}))


class Silent:
    """Stands for the runner of Pods of a cluster that does not answer."""

    asked = 0

    def why_not(self) -> PachyboxError:
        self.asked += 1
        return NotReady("the cluster does not answer")


def test_a_silent_cluster_is_asked_once_for_many_specs() -> None:
    """Each answer that does not come takes seconds, and validate looks at every spec."""
    runner = Silent()
    placement = Placement("kubernetes", None, Pods(cast(Any, runner))).once()
    for _ in range(3):
        with pytest.raises(Refused, match="the cluster does not answer") as e:
            placement.place(spec(cmd=["true"], image="busybox"))
        assert "--runner podman" in e.value.hint
    assert runner.asked == 1
