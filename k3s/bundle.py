"""The directory or USB stick that k3s comes on: which files are taken, and that they are whole."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from pachybox.errors import CHECK_FILE, Corrupt, InvalidArgument, NotFound, Refused

Report = Callable[[int, int], None]
"""Is told (bytes, files) so far."""

_MACHINES = {62: "amd64", 183: "arm64", 40: "arm"}  # e_machine of ELF
_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv8l": "arm"}
_OWN = {"amd64": "k3s", "arm64": "k3s-arm64", "arm": "k3s-armhf"}
"""What releases of k3s call the program."""
_SYSTEM = ("usr/bin/env", "usr/bin/dash", "usr/bin/bash", "bin/busybox", "usr/lib/systemd/systemd")
_ENDS = (".tar.zst", ".tar.gz", ".tar")
AIRGAP = "k3s-airgap-images-"
"""How the archives of k3s's own images begin."""
_SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](?:\./)?(\S.*)")
_MOST_SUMS = 1 << 20
_STEP = 1 << 20
_CHECK_STICK = "the stick may fail, or was pulled out: try it again, or another one"


@dataclass(frozen=True, slots=True)
class Item:
    """One file that is taken. ``sum``: what its SHA-256 has to be, "" = no checksum file says."""

    path: Path
    size: int
    sum: str

    @property
    def name(self) -> str:
        """Its name there."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is taken from ``folder``: the program and archives of images."""

    folder: Path
    architecture: str
    program: Item
    images: tuple[Item, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """All files."""
        return (self.program, *self.images)

    def verify(self, report: Report) -> Bundle:
        """Read everything once; the bundle with every sum known. Raises Corrupt for what is not as
        its sum says."""
        done, items = 0, []
        for count, item in enumerate(self.items):
            with _opened(item.path) as file:
                start = done
                found = _sum(file, None, lambda n, s=start, c=count: report(s + n, c))  # type: ignore[misc]
            _check(item, found)
            items.append(replace(item, sum=found))
            done += item.size
        return replace(self, program=items[0], images=tuple(items[1:]))


def architecture(root: Path = Path("/")) -> str:
    """The machine's, as k3s calls it: amd64, arm64, arm; below another root that of its programs.
    Raises Refused for others."""
    if root != Path("/"):
        for name in _SYSTEM:
            path = root / name
            if path.is_file() and not path.is_symlink() and (found := machine(path)):
                return found
    found = _NAMES.get(platform.machine(), "")
    if not found:
        raise Refused(f"k3s is not made for {platform.machine()}", "it runs on amd64, arm64, arm")
    return found


def machine(path: Path) -> str:
    """Which machine a program is for, as k3s calls it; "" for a file that is no program, or for
    another one."""
    with _opened(path) as file:
        head = file.read(20)
    if len(head) < 20 or not head.startswith(b"\x7fELF"):
        return ""
    return _MACHINES.get(int.from_bytes(head[18:20], "little"), "another machine")


def look(folder: Path, arch: str, *, unverified: bool = False) -> Bundle:
    """What of ``folder`` is for a machine of ``arch``. Only names, sizes, sums and the first bytes
    of the program are read.

    Raises NotFound naming what is missing, Refused for a file that no checksum file lists (unless
    ``unverified``), a program of another machine, or sums that contradict each other.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder} is no directory", "name the one with k3s and its images: --from")
    sums = _sums(folder, arch)
    if not sums and not unverified:
        raise Refused(
            f"{folder} has no sha256sum-{arch}.txt and no {_SUMS}",
            f"put the checksum file of k3s's release beside it, or where you have checked the "
            f"files yourself: (cd {folder} && sha256sum k3s* *.tar* > {_SUMS}), or --unverified",
        )
    names = [_program(folder, arch), *_images(folder, arch)]
    items = tuple(_item(folder, name, sums, unverified=unverified) for name in names)
    return Bundle(folder, arch, items[0], items[1:])


def copy(item: Item, target: IO[bytes], report: Callable[[int], None]) -> str:
    """Write the file to ``target``: the sum of what was written. Raises Corrupt when it is not
    what it has to be, so that the caller drops the copy."""
    with _opened(item.path) as source:
        found = _sum(source, target, report)
    _check(item, found)
    return found


def hashed(path: Path) -> str:
    """The SHA-256 of a file of the machine."""
    with _opened(path, links=True) as file:
        return _sum(file, None, lambda _: None)


def hashed_text(text: str) -> str:
    """The SHA-256 of a file with ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()


def _program(folder: Path, arch: str) -> str:
    """The name of the program for ``arch``."""
    own = _OWN[arch]
    name = own if (folder / own).exists() else "k3s"
    path = folder / name
    if not path.exists():
        raise NotFound(f"{folder} has no {own}", f"put the file {own} of k3s's release there")
    found = machine(path)
    if not found:
        raise Refused(
            f"{path} is no program of Linux (no ELF file)",
            f"put the file {own} of k3s's release there as it is, not unpacked or renamed",
        )
    if found != arch:
        raise Refused(
            f"{path} is for {found}, and this machine is {arch}",
            f"put {own} of the same release there, with {AIRGAP}{arch}.tar.zst",
        )
    return name


def _images(folder: Path, arch: str) -> list[str]:
    """The archives for ``arch``: k3s's own in its smallest form, then all others."""
    found = sorted(p.name for p in folder.iterdir() if p.name.endswith(_ENDS) and p.name[0] != ".")
    system = [f"{AIRGAP}{arch}{end}" for end in _ENDS if f"{AIRGAP}{arch}{end}" in found][:1]
    if not system:
        raise NotFound(
            f"{folder} has no {AIRGAP}{arch}.tar.zst, .tar.gz or .tar",
            "without the images of k3s itself no Pod starts on a machine without a network: put "
            "that file of the same release there",
        )
    return system + [name for name in found if not name.startswith(AIRGAP)]


def _item(folder: Path, name: str, sums: dict[str, str], *, unverified: bool) -> Item:
    path = folder / name
    if name not in sums and not unverified:
        raise Refused(
            f"no checksum file in {folder} lists {name}",
            f"where you have checked it yourself: (cd {folder} && sha256sum {name} >> {_SUMS}); "
            "to take it as it is: --unverified",
        )
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
    return Item(path, size, sums.get(name, ""))


def _sums(folder: Path, arch: str) -> dict[str, str]:
    """By name, from the checksum files that are there."""
    found: dict[str, str] = {}
    for name in (f"sha256sum-{arch}.txt", _SUMS):
        path = folder / name
        if not path.exists():
            continue
        with _opened(path) as file:
            text = file.read(_MOST_SUMS).decode("utf-8-sig", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise InvalidArgument(
                    f"{path}, line {number}: no checksum and name", "make it by sha256sum"
                )
            value, of = match[1].lower(), match[2]
            if found.setdefault(of, value) != value:
                raise Refused(
                    f"{path}, line {number}: another checksum of {of} stands before",
                    "remove the line that is out of date",
                )
    return found


def _opened(path: Path, *, links: bool = False) -> IO[bytes]:
    """A regular file for reading. A stick may hold pipes and devices too; and links, which would
    have root copy any file of this machine to where others may read it."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    try:
        fd = os.open(path, flags)
    except OSError as e:
        if e.errno == errno.ELOOP:
            raise Refused(f"{path} is a link", "put the file itself there") from e
        raise Refused(f"cannot read {path}: {e.strerror}", CHECK_FILE) from e
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Refused(f"{path} is no file", "put the file itself there")
    return open(path, "rb", opener=lambda *_: fd)


def _sum(source: IO[bytes], target: IO[bytes] | None, report: Callable[[int], None]) -> str:
    of, done = hashlib.sha256(), 0
    while data := _read(source):
        of.update(data)
        if target is not None:
            target.write(data)
        done += len(data)
        report(done)
    return of.hexdigest()


def _read(source: IO[bytes]) -> bytes:
    try:
        return source.read(_STEP)
    except OSError as e:  # a stick that fails, or was pulled out
        raise Refused(f"cannot read {source.name} to its end: {e.strerror}", _CHECK_STICK) from e


def _check(item: Item, found: str) -> None:
    if item.sum and found != item.sum:
        raise Corrupt(
            f"{item.path} is not what its checksum says: it has {found[:16]}..., "
            f"not {item.sum[:16]}...",
            "copy it anew; nothing of it was installed",
        )
