"""Directories that k3s is installed from, with a stand-in for it: see standin.c and standin.sh."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import random
import struct
import tarfile
from pathlib import Path

from tests.images import static

HERE = Path(__file__).parent
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64")
OTHER = {"amd64": "arm64", "arm64": "amd64"}[ARCH]
PROGRAM = {"amd64": "k3s", "arm64": "k3s-arm64"}
ARCHIVE = f"k3s-airgap-images-{ARCH}.tar.zst"
SUMS = f"sha256sum-{ARCH}.txt"
IMAGES_SIZE = 3_000_000
_MACHINES = {"amd64": 62, "arm64": 183}


def program(version: str, *, good: bool = True, arch: str = ARCH) -> bytes:
    """The stand-in: a program of this machine, or one that says it is of another."""
    head = f"version={version}\ngood={'yes' if good else 'no'}\n"
    script = (head + (HERE / "standin.sh").read_text()).encode()
    elf = bytearray(static(HERE / "standin.c").read_bytes())
    struct.pack_into("<H", elf, 18, _MACHINES[arch])
    return bytes(elf) + script + struct.pack("<Q", len(script))


def images(seed: str) -> bytes:
    """Something as large as makes a copy that can be cut short."""
    return random.Random(seed).randbytes(IMAGES_SIZE)


def archive(name: str) -> bytes:
    """An archive of one image without content, as podman save writes them."""
    text = json.dumps([{"Config": "c.json", "RepoTags": [name], "Layers": []}]).encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return made.getvalue()


def stick(folder: Path, version: str = "v1.31.4+k3s1", *, good: bool = True) -> Path:
    """A release, with the checksums as k3s's releases have them."""
    folder.mkdir(parents=True)
    (folder / PROGRAM[ARCH]).write_bytes(program(version, good=good))
    (folder / ARCHIVE).write_bytes(images(version))
    signed(folder, SUMS, PROGRAM[ARCH], ARCHIVE)
    return folder


def signed(folder: Path, sums: str, *names: str) -> None:
    """Have a checksum file of ``names``."""
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / sums).write_text("".join(f"{value}  {name}\n" for name, value in found.items()))
