"""What doctor says about containers, each trouble with its remedy."""

from __future__ import annotations

from pachybox.containers.engine import Engine, EngineFacts
from pachybox.errors import PachyboxError
from pachybox.pps.runners.base import Finding

_CHECK = "containers"
_REFUSED = "pipelines with an image are refused"
_LIMITED = {"cpu": "cpu", "memory": "memory", "pids": "pids"}


def of(engine: Engine, why_not: PachyboxError | None) -> list[Finding]:
    """Findings about the engine and what it can start; ``why_not`` is what keeps all containers
    from being used. None of it is a failure: only specs that name an image need podman."""
    try:
        facts = engine.facts()
    except PachyboxError as e:
        return [Finding(_CHECK, "warn", f"{e.message}: {_REFUSED}", e.hint)]
    found = [_engine(facts)]
    if why_not is not None:
        return [*found, none(why_not)]
    try:
        trouble = engine.trial()
    except PachyboxError as e:
        trouble = e.message
    if trouble:
        return [*found, Finding(_CHECK, "warn", f"none starts: {trouble}", _remedy(facts))]
    runtime = f"started by {facts.runtime} ({facts.why})"
    return [*found, Finding(_CHECK, "ok", runtime), _limits(facts)]


def none(why: PachyboxError) -> Finding:
    """There can be no containers, whatever podman is."""
    return Finding(_CHECK, "warn", f"{why.message}: {_REFUSED}", why.hint)


def _engine(facts: EngineFacts) -> Finding:
    where = "started by the box when needed" if facts.started else f"its service at {facts.socket}"
    whose = "a user's (rootless)" if facts.rootless else "root's"
    return Finding("podman", "ok", f"podman {facts.version}, {whose}, {where}; {facts.storage}")


def _limits(facts: EngineFacts) -> Finding:
    lacking = [what for what in _LIMITED if what not in facts.controllers]
    what = f"control groups {facts.cgroups}"
    if lacking:
        return Finding(
            "limits of containers",
            "warn",
            f"{what}: {', '.join(lacking)} not enforced, the controller is not there",
            "boot the kernel with its controllers on, or run the box where they are delegated",
        )
    return Finding("limits of containers", "ok", f"{what}: cpu, memory and processes")


def _remedy(facts: EngineFacts) -> str:
    if facts.started:
        return "see what podman says itself: podman run --rm IMAGE true"
    return (
        f"stop the service at {facts.socket}, so that the box starts one with the runtime that "
        "works here, or name another runtime in containers.conf"
    )
