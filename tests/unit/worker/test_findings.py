"""Doctor names the exact remedy for what a machine forbids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pachybox.pps.runners import findings
from pachybox.pps.runners.base import Finding
from pachybox.pps.runners.cgroups import Groups


def facts(settings: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    names = (
        "kernel/unprivileged_userns_clone",
        "kernel/apparmor_restrict_unprivileged_userns",
        "user/max_user_namespaces",
        "user/max_mnt_namespaces",
        "user/max_pid_namespaces",
    )
    return {
        "steps": {"mounts": "", "readonly": "", "pids": "", "proc": ""},
        "rootless": True,
        "settings": dict.fromkeys(names, "") | (settings or {}),
        "uid": 1000,
        "level": "full",
        "shim": "",
        "image": "",
    } | changes


def by_check(given: dict[str, Any], level: str, wanted: str = "auto") -> dict[str, Finding]:
    return {finding.check: finding for finding in findings.of(given, level, wanted)}


def test_a_machine_that_allows_all_needs_nothing() -> None:
    found = by_check(facts(), "full")
    assert all(f.level == "ok" and not f.remedy for f in found.values())
    assert found["mount namespace"].detail == "works through a user namespace"


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"),
        (
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ({"user/max_user_namespaces": "0"}, "user.max_user_namespaces=15000"),
        ({"user/max_mnt_namespaces": "0"}, "user.max_mnt_namespaces=15000"),
        ({}, "--privileged"),
    ],
)
def test_the_setting_that_forbids_namespaces_is_named(
    settings: dict[str, str], remedy: str
) -> None:
    steps = dict.fromkeys(("mounts", "readonly", "pids", "proc"), "unshare: not permitted")
    found = by_check(facts(settings, steps=steps), "none")
    assert found["mount namespace"].level == "fail"
    assert "unshare" in found["mount namespace"].detail
    assert remedy in found["mount namespace"].remedy
    assert remedy in found["isolation"].remedy
    assert "inputs are copies" in found["isolation"].detail
    assert "PID namespace" not in found


def test_missing_parts_are_warnings_of_their_own() -> None:
    steps = {"mounts": "", "readonly": "", "pids": "no", "proc": "no"}
    found = by_check(facts(steps=steps), "mount")
    assert found["PID namespace"].level == "warn"
    assert "by descent" in found["isolation"].detail
    steps = {"mounts": "", "readonly": "", "pids": "", "proc": "not permitted"}
    assert by_check(facts(steps=steps), "full")["/proc of a datum"].level == "warn"


def test_root_is_told_that_user_code_is_root() -> None:
    found = by_check(facts(uid=0, rootless=False), "full")
    assert found["user of datums"].level == "warn"
    assert "transform.user" in found["user of datums"].remedy


@pytest.mark.parametrize(
    ("changes", "wanted", "detail", "remedy"),
    [
        ({}, False, "PACHYBOX_SHIM=off", "unset PACHYBOX_SHIM"),
        ({"shim": "it is not in this installation"}, True, "not in this installation", "ziglang"),
        ({"level": "mount"}, True, "isolation mount is served by Python", "none is needed"),
        ({"shim": "open_tree: no"}, True, "open_tree: no", "none is needed"),
    ],
)
def test_it_is_said_why_python_serves_datums(
    changes: dict[str, Any], wanted: bool, detail: str, remedy: str
) -> None:
    found = findings.shim(facts(**changes), wanted)
    assert found.level == "warn"
    assert detail in found.detail
    assert remedy in found.remedy


def test_the_shim_says_whether_it_mounts_images() -> None:
    assert "EROFS" in findings.shim(facts(), True).detail
    without = findings.shim(facts(image="mounting an image takes root"), True)
    assert without.level == "ok"
    assert "mounting an image takes root" in without.detail


def test_limits_are_said_to_hold_or_not_with_the_remedy() -> None:
    missing = {"memory": "/sys/fs/cgroup: not delegated", "pids": "the same"}
    found = findings.limits(Groups({"cpu": Path("/sys/fs/cgroup/a")}, "v2", missing))
    assert [(f.check, f.level) for f in found] == [
        ("limit of processors", "ok"),
        ("limit of memory", "warn"),
        ("limit of processes", "warn"),
    ]
    assert "not delegated" in found[1].detail
    assert "Delegate=yes" in found[1].remedy
    of_root = findings.limits(Groups({}, "v1", {**missing, "cpu": "Permission denied"}))
    assert all("as root" in f.remedy and "Delegate" not in f.remedy for f in of_root)
