"""What is to be installed where: the paths of a system service and of a user's own."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from appliance.upgrade import aside, previous
from pachybox.errors import InvalidArgument, Refused
from pachybox.placing import HERE, on_disk

DEFAULT_NAME = "pachybox"
ROOT_USER = "root"
CACHE = Path("/var/cache/pachybox")
"""Where the one file looks first for what root unpacked of it: its user cannot change it."""
MARKS = ("box.toml", "meta.duckdb")
"""What a directory of a box has in it, one at least."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_ODD = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Plan:
    """One installation. Paths are as the service sees them; ``on_disk`` puts them below ``root``,
    a path without links.

    ``program``: the one file to copy, None where the service starts what is installed already;
    ``command``: what the unit starts before ``up``. ``user``: whose process it is, "" for a
    service of the caller's own. ``memory``: bytes it may take, 0 = a share of the machine.
    ``writable``: directories beside its own that it may change.
    """

    name: str
    home: Path
    bin: Path
    units: Path
    share: Path
    user: str = ""
    root: Path = HERE
    program: Path | None = None
    command: tuple[str, ...] = ()
    memory: int = 0
    writable: tuple[Path, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def system(self) -> bool:
        """Whether the machine starts it, not a user's session."""
        return bool(self.user)

    @property
    def live(self) -> bool:
        """Whether it is for the machine that this process runs on."""
        return self.root == HERE

    @property
    def unit(self) -> Path:
        """The unit's file."""
        return self.units / f"{self.name}.service"

    @property
    def drop_ins(self) -> Path:
        """Where a person's changes of the unit are."""
        return self.units / f"{self.name}.service.d"

    @property
    def state_directory(self) -> bool:
        """Whether the data lie where systemd keeps those of services."""
        return self.home == Path("/var/lib") / self.name

    @property
    def target(self) -> str:
        """What it is started as a part of."""
        return f"{'multi-user' if self.system else 'default'}.target"

    @property
    def wanted(self) -> Path:
        """The link that starts it with the machine, or with the user's session."""
        return self.units / f"{self.target}.wants" / f"{self.name}.service"

    @property
    def occasion(self) -> str:
        """When it starts."""
        return f"start with the {'machine' if self.system else 'session'}"

    @property
    def installed_program(self) -> Path:
        """Where the one file is copied to."""
        return self.bin / "pachybox"

    @property
    def earlier_programs(self) -> tuple[Path, ...]:
        """Where an upgrade leaves the one from before: one that is over, and one that was cut
        short."""
        return previous(self.installed_program), aside(self.installed_program)

    @property
    def completions(self) -> Mapping[str, Path]:
        """Where each shell looks for completion."""
        return {
            "bash": self.share / "bash-completion/completions/pachybox",
            "zsh": self.share / "zsh/site-functions/_pachybox",
            "fish": self.share / "fish/vendor_completions.d/pachybox.fish",
        }

    def on_disk(self, path: Path, *, link: bool = False) -> Path:
        """Where ``path`` of the service is for this process. Raises Refused when a link leads out
        of the root; see ``pachybox.placing.on_disk``."""
        return on_disk(self.root, path, link=link)

    def check_links(self) -> None:
        """Raise Refused when what is put in place or removed is behind a link out of the root."""
        self.on_disk(self.wanted, link=True)
        programs = (self.installed_program, *self.earlier_programs)
        files = (self.unit, self.home, *programs, *self.completions.values())
        for path in (*files, self.drop_ins, CACHE):
            self.on_disk(path)


def system(
    name: str = DEFAULT_NAME,
    *,
    root: Path = HERE,
    home: Path | None = None,
    bin_: Path | None = None,
    user: str = "",
) -> Plan:
    """The paths of a service of the machine. Raises InvalidArgument for a name that cannot be."""
    return Plan(
        name=checked_name(name),
        home=_absolute(home or Path("/var/lib") / name, "--home"),
        bin=_absolute(bin_ or Path("/usr/local/bin"), "--bin"),
        units=Path("/etc/systemd/system"),
        share=Path("/usr/local/share"),
        user=user or name,
        root=root.resolve(),
    )


def own(name: str = DEFAULT_NAME, *, home: Path | None = None, bin_: Path | None = None) -> Plan:
    """The paths of a service of the caller's own. Raises InvalidArgument as ``system``."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return Plan(
        name=checked_name(name),
        home=_absolute(home or data / name, "--home"),
        bin=_absolute(bin_ or Path.home() / ".local/bin", "--bin"),
        units=_absolute(config / "systemd/user", "$XDG_CONFIG_HOME"),
        share=_absolute(data, "$XDG_DATA_HOME"),
    )


def checked_name(name: str) -> str:
    """``name`` where a unit, a user and a directory may have it. Raises InvalidArgument."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} is no name for a service",
            "give a lower-case letter, then at most 30 letters, digits, - and _",
        )
    return name


def _absolute(path: Path, what: str) -> Path:
    whole = Path(os.path.normpath(path.expanduser().absolute()))
    if _ODD.search(str(whole)):
        raise InvalidArgument(f"{what} {str(path)!r} has a control character in it")
    if whole in (Path("/"), Path("/usr"), Path("/etc"), Path("/var"), Path("/home")):
        raise InvalidArgument(f"{what} cannot be {whole}", "give a directory of the box's own")
    return whole


def installed_command() -> tuple[str, ...]:
    """How the program that runs now is started when it is no one file: the script of its
    environment, else its interpreter."""
    script = Path(sys.executable).parent / "pachybox"
    return (str(script),) if script.exists() else (sys.executable, "-m", "pachybox.cli")


def check_reachable(wanted: Plan, command: tuple[str, ...]) -> None:
    """Raise Refused when the service could not start ``command``: it is not there, or a directory
    on its way is closed to the service's user, or hidden by the unit."""
    path = Path(command[0])
    remedy = "install from the one file, which is copied: pachybox install --program FILE"
    if not wanted.live and not wanted.on_disk(path).exists():
        raise Refused(f"{path} is not in {wanted.root}", remedy)
    if wanted.user == ROOT_USER:
        return
    for part in (path, *path.parents):
        closed = not wanted.on_disk(part).stat().st_mode & 0o001
        if part in (Path("/home"), Path("/root")) or closed:
            raise Refused(
                f"the user {wanted.user} could not start {shlex.join(command)}: "
                f"{part} is closed to it",
                remedy,
            )
