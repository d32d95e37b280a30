"""``make binary``: builds ``dist/pachybox``, the one file.

The file is a static stub (stub/), a payload (the tree of tree.py, packed) and a trailer that says
where the payload is. The payload is zstd frames: the manifest, then a frame for each group of
files, their contents one after the other. The manifest has a line for each group
(``= OFFSET LENGTH``, of its frame, from the end of the manifest's) and, below that, one for each of
its files: mode, size, BLAKE3 hash, path. Groups are what processes of the stub share out.
"""

from __future__ import annotations

import argparse
import os
import platform
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blake3
import zstandard

from appliance.binary import tree
from appliance.binary.elf import Elf
from pachybox.errors import PachyboxError, Refused

FLOOR = "2.35"
"""The oldest glibc that the program runs with: Ubuntu 22.04's. A build that needs more fails,
unless it was told a newer one."""
TARGET = tree.ROOT / "dist" / "pachybox"
STUB = Path(__file__).with_name("stub")
LEVEL = 19

_TRAILER = struct.Struct("<16s5Q32s32s8x")
_MAGIC = b"pachybox-payload"
_WINDOW_LOG = 23  # what Zig's decompressor has room for
_GROUP = 12 << 20
_COMPILE_S = 600  # a first build makes the C library too


def build(target: Path = TARGET, level: int = LEVEL, floor: str = FLOOR) -> None:
    """Write the one file to ``target``, atomically; ``floor`` is the glibc that machines will have.
    Raises Refused, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="binary-", dir=target.parent) as made:
        root = Path(made)
        tree.make(root)
        _launcher(root, floor)
        check(root, floor)
        assemble(root, target, level, _stub(floor))


def assemble(root: Path, target: Path, level: int, stub: bytes) -> None:
    """Put the stub in front of a tree, whose ``bin/pachybox`` it will run; into ``target``."""
    manifest, frames, length = _pack(root, level)
    listed = _compressed([manifest], level)
    payload = b"".join([listed, *frames])
    sizes = (len(stub), len(payload), length, len(manifest), len(listed))
    hashes = (blake3.blake3(data).digest() for data in (payload, manifest))
    whole = target.with_name(f"{target.name}.new")
    whole.write_bytes(stub + payload + _TRAILER.pack(_MAGIC, *sizes, *hashes))
    whole.chmod(0o755)
    whole.replace(target)


def architecture() -> str:
    """What the compiler calls this machine."""
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


def _zig(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ziglang", *arguments],
        capture_output=True,
        text=True,
        timeout=_COMPILE_S,
        check=False,
    )
    if done.returncode:
        raise Refused(f"zig {arguments[0]} failed: {done.stderr.strip()}", "look at the source")


def _launcher(root: Path, floor: str) -> None:
    """The interpreter, for glibc, in ``bin``; it finds libraries in ``lib`` for all it loads."""
    (root / "bin").mkdir()
    made = root / "bin" / "pachybox"
    library = f'-DLIBPYTHON="{tree.libpython().name}"'
    _zig(
        *("cc", "-target", f"{architecture()}-linux-gnu.2.28", "-O2", "-s", "-Wall", "-Wextra"),
        *("-Werror", "-Wl,-rpath,$ORIGIN/../lib", library, f'-DGLIBC="{floor}"'),
        *("-o", str(made), str(STUB / "launcher.c"), "-ldl"),
    )
    elf = Elf(made)
    elf.inherit_runpath()
    made.write_bytes(elf.loaded())
    made.chmod(0o755)


def stub_of(file: Path) -> bytes:
    """The stub of a finished one file."""
    data = file.read_bytes()
    return data[: _TRAILER.unpack(data[-_TRAILER.size :])[1]]


def _stub(floor: str) -> bytes:
    """The static program in front."""
    target = f"{architecture()}-linux-musl"
    with tempfile.TemporaryDirectory() as folder:
        made, codec = Path(folder) / "stub", Path(folder) / "codec.o"
        _zig(
            *("build-obj", "-target", target, "-O", "ReleaseFast", "-fstrip", "-fsingle-threaded"),
            *("-lc", f"-femit-bin={codec}", str(STUB / "codec.zig")),
        )
        _zig(
            *("cc", "-target", target, "-static", "-O2", "-s", "-Wall", "-Wextra", "-Werror"),
            *(f'-DGLIBC="{floor}"', "-o", str(made), str(codec)),
            *(str(path) for path in sorted(STUB.glob("*.c")) if path.name != "launcher.c"),
        )
        return made.read_bytes()


def check(root: Path, floor: str = FLOOR) -> None:
    """Raise Refused when something in the tree needs a newer glibc than ``floor``, or a library
    that is neither in the tree nor on every Debian and Ubuntu."""
    most = _numbers(floor)
    for path in tree.elves(root):
        elf = Elf(path)
        for library, version in elf.versions():
            needed = version.partition("GLIBC_")[2]
            if _numbers(needed) > most:
                raise Refused(
                    f"{path.relative_to(root)} needs {version} of {library}",
                    f"build where Python and its libraries need glibc {floor} at most, or for "
                    f"newer machines only: make binary ARGS=--glibc={needed}",
                )
        beside = {one.name for one in path.parent.iterdir()}
        for name in elf.needed():
            if name not in tree.SYSTEM and name not in beside and not list(root.rglob(name)):
                raise Refused(f"{path.relative_to(root)} needs {name}", "carry it in the tree")


def _numbers(version: str) -> tuple[int, ...]:
    """``2.35`` as numbers; of what is no version none."""
    words = version.split(".")
    return tuple(map(int, words)) if all(map(str.isdecimal, words)) else ()


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def _groups(root: Path) -> list[list[Path]]:
    """The files in groups of about _GROUP bytes, of neighbours, the largest group first."""
    groups: list[list[Path]] = []
    room = 0
    for path in _files(root):
        size = path.stat().st_size
        if size > room:
            groups.append([])
            room = _GROUP
        groups[-1].append(path)
        room -= size
    return sorted(groups, key=lambda group: -sum(path.stat().st_size for path in group))


def _pack(root: Path, level: int) -> tuple[bytes, list[bytes], int]:
    """The manifest, the frame of each group, and the bytes that all files have together."""
    groups = _groups(root)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        packed = pool.map(lambda group: _compressed(map(Path.read_bytes, group), level), groups)
        frames = list(packed)
    lines = []
    offset = total = 0
    for group, frame in zip(groups, frames, strict=True):
        lines.append(f"= {offset} {len(frame)}\n")
        offset += len(frame)
        for path in group:
            about = path.stat()
            size, mode = about.st_size, 0o755 if about.st_mode & 0o100 else 0o644
            digest = blake3.blake3(path.read_bytes()).hexdigest()
            lines.append(f"{mode:o} {size} {digest} {path.relative_to(root)}\n")
            total += size
    return "".join(lines).encode(), frames, total


def _compressed(pieces: Iterable[bytes], level: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(level, window_log=_WINDOW_LOG)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(b"".join(pieces))


def _version(text: str) -> str:
    if not _numbers(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a version, like {FLOOR}")
    return text


def main() -> int:
    """``python -m appliance.binary.build [--level N] [--glibc VERSION] [TARGET]``."""
    parser = argparse.ArgumentParser(description="build the one file")
    parser.add_argument("target", nargs="?", type=Path, default=TARGET)
    parser.add_argument("--level", type=int, default=LEVEL, help="of zstd: -1 quick, 19 small")
    parser.add_argument(
        "--glibc", type=_version, default=FLOOR, help=f"what machines will have ({FLOOR})"
    )
    args = parser.parse_args()
    began = time.monotonic()
    try:
        build(args.target.absolute(), args.level, args.glibc)
    except PachyboxError as error:
        sys.stderr.write(f"make binary: {error}\n")
        return 1
    size = args.target.stat().st_size / (1 << 20)
    sys.stdout.write(f"{args.target}: {size:.1f} MiB in {time.monotonic() - began:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
