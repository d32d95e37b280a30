"""Doctor names the exact remedy for what a machine forbids."""

from __future__ import annotations

from typing import Any

import pytest

from pachybox.pps.runners import findings
from pachybox.pps.runners.base import Finding


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
        "cgroup": "v2",
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
