"""k3s started, waited for, and given what a box needs in it; or the former version put back."""

from __future__ import annotations

import socket
import time
from typing import Any

from k3s import account
from k3s.places import MANIFESTS, PROGRAM, UNIT, Places
from k3s.program import Program, Say, ready
from pachybox.durable import sync_path
from pachybox.errors import NotReady, PachyboxError, Refused
from pachybox.systemd import Systemd

_LOOK_S = 0.5
_TRIES = 3
"""Ends of k3s after which it is not waited for any more: the first may be a port not free yet."""


def start(places: Places, node: str, *, anew: bool, wait_s: float, say: Say) -> str:
    """Start k3s unless it runs (``anew``: also then), wait at most ``wait_s`` seconds until the
    node is ready, and apply the manifests: its version.

    Raises Refused with the reason. A former program that is there is put back then, and started.
    """
    manager, program = Systemd(), Program()
    manager.reload()
    try:
        version = program.version()
        old = ""
        if anew or manager.shown(UNIT, "ActiveState") != "active":
            old = manager.shown(UNIT, "MainPID")
            manager.start_soon(UNIT)
        until = time.monotonic() + wait_s
        _await_started(manager, old, until, say)
        _await_ready(program, node, version, until, say)
        _give(places, program, until, say)
    except PachyboxError as e:
        if places.on_disk(places.former).exists():
            _put_back(places, manager)
            raise Refused(
                f"{e.message}; the former version was put back and started", e.hint
            ) from e
        raise
    return version


def _await_started(manager: Systemd, old: str, until: float, say: Say) -> None:
    """Return once k3s says that it serves, in another process than ``old``. Raises Refused with
    its last words when it ends again and again."""
    restarts = _number(manager.shown(UNIT, "NRestarts"))
    while True:
        state = manager.shown(UNIT, "ActiveState")
        if state == "active" and manager.shown(UNIT, "MainPID") != old:
            return
        ends = _number(manager.shown(UNIT, "NRestarts")) - restarts
        if ends >= _TRIES or state == "failed":
            raise Refused(
                f"k3s does not start: {manager.last_words(UNIT, '')}",
                "all it said: journalctl -u k3s; mend that, then install again",
            )
        _wait("k3s is starting", until, say)


def _await_ready(program: Program, node: str, version: str, until: float, say: Say) -> None:
    """Return once the node is ready, and is of ``version``. Raises Refused with the reason when
    it is not at ``until``."""
    while why := _why_not(program, node, version):
        _wait(why, until, say)


def _wait(why: str, until: float, say: Say) -> None:
    say(why)
    if time.monotonic() > until:
        raise Refused(
            f"k3s is not ready in time: {why}",
            "see journalctl -u k3s; then install again, which goes on waiting, for longer with "
            "--timeout 15m",
        )
    time.sleep(_LOOK_S)


def this_node(nodes: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """The node that is this machine, of those of the cluster."""
    names = (name, socket.gethostname().lower())
    found = [one for one in nodes if one.get("metadata", {}).get("name") in names]
    return (found or nodes or [None])[0]  # type: ignore[list-item]


def _why_not(program: Program, name: str, version: str) -> str:
    try:
        node = this_node(program.get("nodes"), name)
    except NotReady as e:
        return f"the API does not answer yet ({e.message})"
    if node is None:
        return "the API answers, and has no node yet"
    runs = node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", version)
    if runs != version:
        return f"the node still says that it is {runs}"
    why = ready(node)
    return f"the node is not ready: {why}" if why else ""


def _give(places: Places, program: Program, until: float, say: Say) -> None:
    """Have what a box needs in the cluster, and its account's kubeconfig here: the API may refuse
    while the cluster fills itself."""
    while True:
        try:
            program.apply(MANIFESTS)
            return account.put(places, program)
        except NotReady as e:
            if time.monotonic() > until:
                raise Refused(
                    f"the cluster does not take what a box needs: {e.message}",
                    f"see: k3s kubectl apply -k {MANIFESTS}",
                ) from e
            say(e.message)
        time.sleep(_LOOK_S)


def _put_back(places: Places, manager: Systemd) -> None:
    program = places.on_disk(PROGRAM)
    places.on_disk(places.former).replace(program)
    sync_path(program.parent)
    manager.start_soon(UNIT)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
