"""The user a system service runs as: found, made, removed; on this machine or below a root."""

from __future__ import annotations

import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pachybox.errors import Refused
from pachybox.placing import HERE, on_disk

_SYSTEM_UIDS = 1000
_SHELL = "/usr/sbin/nologin"
_PASSWD = Path("/etc/passwd")
_TABLES = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")


@dataclass(frozen=True, slots=True)
class User:
    """One line of /etc/passwd."""

    name: str
    uid: int
    gid: int
    home: str

    def made_for(self, home: Path) -> bool:
        """Whether ``make`` made it, for a box at ``home``, and for nothing else."""
        return 0 < self.uid < _SYSTEM_UIDS and self.home == str(home)


def check_tables(root: Path) -> None:
    """Raise Refused when a table of users or groups is a link out of ``root``."""
    for name in _TABLES:
        on_disk(root, _PASSWD.with_name(name))


def find(name: str, root: Path = HERE) -> User | None:
    """The user called ``name``, of this machine or of the one whose files are below ``root``."""
    if root == HERE:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return User(name, entry.pw_uid, entry.pw_gid, entry.pw_dir)
    table = on_disk(root, _PASSWD)
    for line in table.read_text(errors="replace").splitlines() if table.is_file() else ():
        fields = line.split(":")
        if fields[0] == name and len(fields) == 7 and (fields[2] + fields[3]).isdecimal():
            return User(name, int(fields[2]), int(fields[3]), fields[5])
    return None


def tool() -> str:
    """The program that makes system users here. Raises Refused when there is none."""
    for name in ("useradd", "systemd-sysusers"):
        if found := shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            return found
    raise Refused(
        "there is no useradd and no systemd-sysusers to make a user with",
        "install the package passwd (Debian) or shadow-utils (Fedora), or name a user that "
        "exists: --run-as USER",
    )


def make(name: str, home: Path, root: Path = HERE) -> User:
    """A system user and group, without password or shell. Raises Refused with the tool's words."""
    check_tables(root)
    program = tool()
    if program.endswith("useradd"):
        # A note of logins would be cleared on this machine, for whoever has the number here.
        where = [] if root == HERE else ["--prefix", str(root), "--no-log-init"]
        options = ["--system", "--user-group", "--no-create-home", "--shell", _SHELL]
        _run([program, *where, *options, "--home-dir", str(home), "--comment", "pachybox", name])
    else:
        where = [] if root == HERE else [f"--root={root}"]
        _run([program, *where, "--inline", f'u {name} - "pachybox" "{home}" {_SHELL}'])
    found = find(name, root)
    if found is None:
        raise Refused(f"{program} made no user {name}", "make it, then install again")
    return found


def remove(name: str, root: Path = HERE) -> None:
    """Remove a user that ``make`` made. Raises Refused with the tool's words."""
    check_tables(root)
    program = shutil.which("userdel", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        raise Refused(f"there is no userdel to remove the user {name} with", "remove it by hand")
    where = [] if root == HERE else ["--prefix", str(root)]
    _run([program, *where, name])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Refused(f"{command[0]}: {said[-1]}", "mend that, then run this again")
