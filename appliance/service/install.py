"""``pachybox install``: everything looked at first, then each piece put in place whole.

Running it again changes what differs and nothing else, so an installation that was cut short is
ended by the next, and a newer program is installed by its own ``install``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from appliance.service import plan, settings, unit, users
from appliance.service.plan import ROOT_USER, Plan
from pachybox.config import SETTINGS, written
from pachybox.errors import InvalidArgument, Refused
from pachybox.placing import Owner, State, Step, link, make_folder, put_copy, put_text
from pachybox.systemd import Systemd

_VERSION = re.compile(r"\d+\.\d+\S*")
_GIVEN = frozenset({"lost+found", "secret.key", "tls"})
"""What a directory may have in it before there is a box."""
_NO_SERVICE = (
    "start the box with: pachybox up --detach (or have pachybox up started by what runs here)"
)
_TRY_S = 120.0  # a one file unpacks itself first


def own_program() -> Path | None:
    """The one file that runs now; None when the program was installed by other means."""
    path = os.environ.get("PACHYBOX_FILE", "")
    return Path(path) if path else None


def with_program(wanted: Plan, given: Path | None, *, act: bool = True) -> Plan:
    """``wanted`` with the program to install: the file ``given``, else the one that runs now.

    Raises Refused when it does not run here, which is not tried without ``act``, since it may
    unpack itself; or when the service's user could not start it.
    """
    program = given or own_program()
    if program is None:
        command = plan.installed_command()
        if wanted.system:
            plan.check_reachable(wanted, command)
        return replace(wanted, command=command)
    if not program.is_file():
        raise InvalidArgument(f"{program} is no file", "give the one file: --program dist/pachybox")
    if act:
        _try(program, wanted)
    return replace(wanted, program=program)


def _try(program: Path, wanted: Plan) -> None:
    """Raise Refused when the program does not run here. By that it also unpacks itself where the
    service finds it, and cannot change it."""
    env = {key: value for key, value in os.environ.items() if key != "PACHYBOX_CACHE"}
    if wanted.system:
        env["PACHYBOX_CACHE"] = str(wanted.on_disk(plan.CACHE))
    try:
        done = subprocess.run(
            [program.absolute(), "version", "--client-only"],
            env=env, capture_output=True, text=True, timeout=_TRY_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as e:
        why = e.strerror if isinstance(e, OSError) and e.strerror else e
        raise Refused(f"{program} does not run here: {why}", "chmod +x it, or get it anew") from e
    if done.returncode or not _VERSION.fullmatch(done.stdout.strip()):
        said = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        raise Refused(f"{program} is no pachybox that runs here: {said[-1]}", "get it anew")


def check(wanted: Plan, manager: Systemd, *, start: bool) -> None:
    """Raise Refused, before anything is changed, when it could not be done whole."""
    if start:
        manager.needed(_NO_SERVICE)
    if wanted.system:
        _check_system(wanted)
    else:
        _check_free(wanted.home, wanted.home)
    _check_ports(wanted)


def _check_system(wanted: Plan) -> None:
    as_root("installed")
    wanted.check_links()
    users.check_tables(wanted.root)
    if not wanted.on_disk(Path("/etc/passwd")).is_file():
        raise Refused(
            f"{wanted.root} is no system: it has no etc/passwd",
            "name the directory where one is installed, or mounted",
        )
    _check_free(wanted.on_disk(wanted.home), wanted.home)
    if wanted.user != ROOT_USER and users.find(wanted.user, wanted.root) is None:
        if wanted.user != wanted.name:
            raise Refused(f"there is no user {wanted.user}", "make it, or leave --run-as out")
        users.tool()


def _check_free(home: Path, shown: Path) -> None:
    """Raise Refused for a directory with other things in it than a box: it becomes the box's own,
    and a purge removes it whole."""
    if not home.is_dir() or any((home / mark).exists() for mark in plan.MARKS):
        return
    others = sorted(path.name for path in home.iterdir() if path.name not in _GIVEN)
    if others:
        raise Refused(
            f"{shown} has other things in it: {', '.join(others[:3])}",
            "name a directory of the box's own: --home DIR",
        )


def _check_ports(wanted: Plan) -> None:
    """Raise Refused when ports were asked for and the box's settings, which stay, say others."""
    path = wanted.on_disk(wanted.home / "box.toml")
    if not wanted.ports or not path.exists():
        return
    values = written(path, path.read_text(errors="replace")).values
    for key, port in wanted.ports.items():
        there = values.get(key, SETTINGS[key].default)
        if there != port:
            raise Refused(
                f"{wanted.home}/box.toml says {key} = {there}, and settings that are there stay",
                f"PACHYBOX_HOME={shlex.quote(str(wanted.home))} pachybox config set {key} {port}, "
                "then install without the flag",
            )


def as_root(done: str) -> None:
    """Raise Refused when the caller is not root."""
    if os.geteuid() != 0:
        raise Refused(
            f"a service of the machine is {done} by root",
            "run it with sudo, or have one of your own: --user",
        )


def install(wanted: Plan, *, act: bool = True) -> Iterator[Step]:
    """Put everything in place, saying each step; without ``act`` only say what would change.

    Nothing is started. Raises Refused (a tool failed) or OSError; what was done before stays and
    is whole.
    """
    owner: Owner | None = None
    if wanted.system:
        user = users.find(wanted.user, wanted.root)
        state = State.KEPT if user else State.MADE
        if act:
            user = user or users.make(wanted.user, wanted.home, wanted.root)
            owner = (user.uid, user.gid)
        yield Step("user", wanted.user, state)
    home = wanted.on_disk(wanted.home)
    _check_owner(wanted, home, owner)
    yield Step("data", str(wanted.home), make_folder(home, 0o700, owner, act=act))
    yield _settings(wanted, owner, act=act)
    if wanted.program is not None:
        path = wanted.installed_program
        state = put_copy(wanted.on_disk(path), wanted.program, act=act)
        yield Step("program", str(path), state)
    yield from _completions(wanted, act=act)
    state = put_text(wanted.on_disk(wanted.unit), unit.render(wanted), 0o644, act=act)
    yield Step("unit", str(wanted.unit), state)
    there = wanted.on_disk(wanted.wanted, link=True)
    state = link(there, f"../{wanted.name}.service", act=act)
    yield Step(wanted.occasion, str(wanted.wanted), state)


def _check_owner(wanted: Plan, home: Path, owner: Owner | None) -> None:
    """Raise Refused when the data directory is another user's. The usual one is given to the user
    by systemd itself, with all that is in it."""
    if owner is None or wanted.state_directory or not home.is_dir():
        return
    there = home.stat().st_uid
    if there != owner[0]:
        raise Refused(
            f"{wanted.home} belongs to user {there}, not to {wanted.user}",
            f"give it to it, chown -R {wanted.user}: {wanted.home}, and install again",
        )


def _settings(wanted: Plan, owner: Owner | None, *, act: bool) -> Step:
    """The settings of a box that has none; those of another are its owner's."""
    state = State.KEPT
    path = wanted.on_disk(wanted.home / "box.toml")
    if not path.exists():
        text = settings.commented(wanted.ports)
        state = put_text(path, text, 0o600, owner, act=act)
    return Step("settings", str(wanted.home / "box.toml"), state)


def _completions(wanted: Plan, *, act: bool) -> Iterator[Step]:
    from pachybox.cli.completion import SCRIPTS

    for shell, path in wanted.completions.items():
        state = put_text(wanted.on_disk(path), SCRIPTS[shell], 0o644, act=act)
        yield Step(f"completion of {shell}", str(path), state)


def lingers() -> bool:
    """Whether services of this user run while nobody is logged in as it."""
    import pwd

    name = pwd.getpwuid(os.getuid()).pw_name
    return (Path("/var/lib/systemd/linger") / name).exists()
