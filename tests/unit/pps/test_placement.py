"""Which runner a spec gets, on a box that has no containers. (With them: tests/flow.)"""

from __future__ import annotations

import json
from typing import Any

import pytest

from pachybox.errors import InvalidArgument, PachyboxError, Refused
from pachybox.pps.placement import Placement
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
