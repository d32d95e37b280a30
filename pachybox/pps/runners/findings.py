"""Turns a worker's probe of the machine into doctor's findings, each with its exact remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pachybox.pps.runners.base import Finding
from pachybox.pps.runners.cgroups import Groups

REINSTALL = "install pachybox again: its own Python must be able to run pachybox.worker"
_CONTAINER = (
    "run the box outside the container, or give the container --privileged "
    "(or --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined)"
)
_LIMITED = {"cpu": "processors", "memory": "memory", "pids": "processes"}
_DELEGATE = (
    "run the box as root, or as a systemd service with Delegate=yes "
    "(as a user: systemd-run --user -p Delegate=yes --scope pachybox up)"
)

_ROOTS_ALONE = (
    "run the box as root: control groups of version 1 are nobody else's; or boot the machine with "
    "version 2 (systemd.unified_cgroup_hierarchy=1 on the kernel's command line)"
)


def of(facts: Mapping[str, Any], level: str, wanted: str) -> list[Finding]:
    """Findings for the facts of pachybox.worker.probe; ``level`` is the isolation in force."""
    steps: Mapping[str, str] = facts["steps"]
    remedy = _remedy(facts)
    who = "root" if facts["uid"] == 0 else f"user {facts['uid']}"
    way = "through a user namespace" if facts["rootless"] else f"as {who}"
    found = [_in_force(level, wanted, remedy)]
    found.append(
        Finding("mount namespace", "fail", steps["mounts"], remedy)
        if steps["mounts"]
        else Finding("mount namespace", "ok", f"works {way}")
    )
    if not steps["mounts"]:
        found.append(
            Finding("read-only inputs", "fail", steps["readonly"], remedy)
            if steps["readonly"]
            else Finding("read-only inputs", "ok", "bind mounts are read-only, mounts below too")
        )
        found.append(
            Finding("PID namespace", "warn", steps["pids"], remedy)
            if steps["pids"]
            else Finding("PID namespace", "ok", "the kernel ends every process of a datum")
        )
        if not steps["pids"]:
            found.append(
                Finding(
                    "/proc of a datum",
                    "warn",
                    f"{steps['proc']}: user code sees the process numbers of the machine",
                    _CONTAINER,
                )
                if steps["proc"]
                else Finding("/proc of a datum", "ok", "shows the datum's processes alone")
            )
    if facts["uid"] == 0 and not facts["rootless"]:
        found.append(
            Finding(
                "user of datums",
                "warn",
                "user code runs as root unless transform.user is set",
                "run the box as an ordinary user, or set transform.user in each pipeline",
            )
        )
    return found


def shim(facts: Mapping[str, Any], wanted: bool) -> Finding:
    """Whether the static shim serves datums, or Python in its place."""
    why = "" if wanted else "PACHYBOX_SHIM=off"
    why = why or str(facts["shim"])
    if not why and facts["level"] != "full":
        why = f"isolation {facts['level']} is served by Python"
    if not why:
        if facts["image"]:
            return Finding("shim", "ok", f"serves datums; no EROFS images: {facts['image']}")
        return Finding("shim", "ok", "serves datums, large inputs as EROFS images")
    remedy = {
        "PACHYBOX_SHIM=off": "unset PACHYBOX_SHIM",
        "it is not in this installation": "install pachybox again, with the ziglang package",
    }.get(why, "none is needed: Python does the same, slower")
    return Finding("shim", "warn", f"Python serves datums, at a third of the speed: {why}", remedy)


def limits(groups: Groups) -> list[Finding]:
    """Which limits of user code this machine enforces."""
    found = []
    for controller, what in _LIMITED.items():
        name = f"limit of {what}"
        if controller in groups.parents:
            detail = f"cgroup {groups.version}, {groups.parents[controller]}"
            found.append(Finding(name, "ok", detail))
            continue
        why = groups.missing[controller]
        effect = "a datum may start as many as the user" if controller == "pids" else "not enforced"
        remedy = _ROOTS_ALONE if groups.version == "v1" else _DELEGATE
        found.append(Finding(name, "warn", f"{effect}: {why}", remedy))
    return found


def _in_force(level: str, wanted: str, remedy: str) -> Finding:
    forced = "" if wanted == "auto" else f" (PACHYBOX_ISOLATION={wanted})"
    if wanted != "auto":
        remedy = "unset PACHYBOX_ISOLATION"
    if level == "full":
        return Finding("isolation", "ok", f"full: mount and PID namespace for each datum{forced}")
    if level == "mount":
        detail = f"mount: no PID namespace; leftover processes are found by descent{forced}"
        return Finding("isolation", "warn", detail, remedy)
    detail = (
        f"none: no /pfs; inputs are copies, $PFS names their directory and /pfs in commands is "
        f"rewritten; user code can reach the box's own files{forced}"
    )
    return Finding("isolation", "warn", detail, remedy)


def _remedy(facts: Mapping[str, Any]) -> str:
    """What to do so that namespaces work, from the settings that forbid them."""
    settings: Mapping[str, str] = facts["settings"]
    if facts["uid"] != 0:
        if settings["kernel/unprivileged_userns_clone"] == "0":
            return _sysctl("kernel.unprivileged_userns_clone=1")
        if settings["kernel/apparmor_restrict_unprivileged_userns"] == "1":
            return _sysctl("kernel.apparmor_restrict_unprivileged_userns=0")
    if settings["user/max_user_namespaces"] == "0" and facts["uid"] != 0:
        return _sysctl("user.max_user_namespaces=15000")
    for name in ("mnt", "pid"):
        if settings[f"user/max_{name}_namespaces"] == "0":
            return _sysctl(f"user.max_{name}_namespaces=15000")
    return _CONTAINER


def _sysctl(setting: str) -> str:
    return (
        f"as root: sysctl -w {setting} "
        f"(to keep it: echo '{setting}' > /etc/sysctl.d/60-pachybox.conf)"
    )
