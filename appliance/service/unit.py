"""The text of the unit: what is closed to the box, and beside each thing that is not, why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from appliance.service.plan import ROOT_USER, Plan
from pachybox.systemd import quoted

_SECTION = "X-Pachybox"  # systemd passes over sections and keys that begin with X-
_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))

_CLOSED = """\
# What a process of this service cannot do, those of pipelines and sources included.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
PrivateTmp=yes
PrivateMounts=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelModules=yes
ProtectProc=invisible
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
# Beside what services need: the mounts of a datum's own namespace.
SystemCallFilter=@system-service @mount
SystemCallErrorNumber=EPERM
# A datum gets a mount and a PID namespace, within a user namespace.
RestrictNamespaces=user mnt pid
# Sources read sensors: the CAN bus too.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_CAN
# GPUs; no disks, no memory of the machine.
DevicePolicy=closed
DeviceAllow=char-drm rw
DeviceAllow=char-kfd rw
DeviceAllow=char-nvidia* rw
UMask=0077

# Left open, and why:
# ProtectKernelTunables, ProtectKernelLogs, ProcSubset: they cover parts of /proc, after which Linux
#   may refuse a datum a /proc of its own, without which it would see the box's processes.
#   The files are root's, which this service is not.
# ProtectControlGroups: the limits of pipelines are control groups below the service's own.
# PrivateDevices: would take the GPUs away.
# PrivateNetwork, IPAddressDeny: pipelines and sources fetch, clients connect.
# PrivateUsers: callers would have no user id in the audit log.
# MemoryDenyWriteExecute: Node.js, Java and numba write the code that they run.
"""

_AS_ROOT = """\
# Runs as root: containers of images need that, and inputs are shown as EROFS images. So what is
# closed is less: user code without an image is root as well, unless its spec names a user.
ProtectSystem=full
# podman keeps a lock among its settings.
ReadWritePaths=-/etc/containers
# Not ProtectClock, which would close the devices too: GPUs, and what containers ask for.
CapabilityBoundingSet=~CAP_SYS_TIME CAP_WAKE_ALARM CAP_SYS_BOOT
ProtectHostname=yes
LockPersonality=yes
RestrictRealtime=yes
KeyringMode=private
UMask=0077
"""


def render(plan: Plan) -> str:
    """The whole unit."""
    return "\n".join((*_unit(plan), "", *_service(plan), "", *_rest(plan), ""))


def facts(text: str) -> dict[str, str]:
    """What ``render`` noted at the end of a unit's text, by key; {} when it is not ours."""
    found: dict[str, str] = {}
    section = ""
    for line in text.split("\n"):
        if line.startswith("["):
            section = line.strip("[]")
        elif section == _SECTION and "=" in line:
            key, _, value = line.partition("=")
            found[key] = value
    return found


def _unit(plan: Plan) -> Iterator[str]:
    yield "[Unit]"
    yield f"Description=pachybox, versioned data and pipelines ({plan.home})".replace("%", "%%")
    if plan.system:
        yield "After=network.target time-sync.target"
        yield f"RequiresMountsFor={quoted(plan.home)}"
    yield "# A box that cannot start is tried for ever: its disk may come later."
    yield "StartLimitIntervalSec=0"


def _service(plan: Plan) -> Iterator[str]:
    program = plan.command or (str(plan.installed_program),)
    yield "[Service]"
    yield "# READY=1 once the box serves. What it repairs or migrates before is never cut short."
    yield "Type=notify"
    yield "NotifyAccess=main"
    yield "TimeoutStartSec=infinity"
    yield f"ExecStart={' '.join(_argument(word) for word in program)} up"
    yield f"Environment={quoted(f'PACHYBOX_HOME={plan.home}')}"
    if plan.system:
        yield f"User={plan.user}"
    yield "# The box says four times in this period that doors and metadata answer. Killed when it"
    yield "# does not, it tells in the journal what each thread was at, and is started again."
    yield "WatchdogSec=60"
    yield "Restart=on-failure"
    yield "RestartSec=5"
    yield "RestartPreventExitStatus=2"
    yield "KillMode=mixed"
    yield "TimeoutStopSec=90"
    yield "# Its own control groups, for the limits of pipelines; user code that takes too much"
    yield "# memory dies alone."
    yield "Delegate=yes"
    yield "OOMPolicy=continue"
    yield from _memory(plan)
    yield "TasksMax=32768"
    if plan.system:
        yield "LimitNOFILE=524288"


def _memory(plan: Plan) -> Iterator[str]:
    if plan.memory:
        yield f"MemoryHigh={plan.memory * 9 // 10}"
        yield f"MemoryMax={plan.memory}"
    else:
        yield "MemoryHigh=80%"
        yield "MemoryMax=90%"
    yield "MemorySwapMax=0"


def _rest(plan: Plan) -> Iterator[str]:
    if plan.user == ROOT_USER:
        yield _AS_ROOT
    elif plan.system:
        yield _CLOSED
        yield from _paths(plan)
    yield "[Install]"
    yield f"WantedBy={plan.target}"
    yield ""
    yield f"[{_SECTION}]"
    yield f"Home={plan.home}"
    yield f"Program={'' if plan.command else plan.installed_program}"
    yield f"Share={plan.share}"
    yield f"User={plan.user}"
    yield f"Memory={plan.memory}"
    yield f"Writable={json.dumps([str(path) for path in plan.writable])}"


def _paths(plan: Plan) -> Iterator[str]:
    if plan.state_directory:
        yield f"StateDirectory={plan.name}"
        yield "StateDirectoryMode=0700"
    shown = (plan.home, *plan.writable)
    if any(path.is_relative_to(hidden) for path in shown for hidden in _HIDDEN):
        yield "# Homes of users are empty but for what is named here."
        yield "ProtectHome=tmpfs"
        yield from (f"BindPaths={quoted(path)}" for path in shown)
    else:
        yield "ProtectHome=yes"
    yield "# The only places it may write to."
    yield f"ReadWritePaths={quoted(plan.home)}"
    yield from (f"ReadWritePaths=-{quoted(path)}" for path in plan.writable)
    yield ""


def _argument(value: str) -> str:
    """One word of a command."""
    return quoted(value).replace("$", "$$")
