"""``make binary``: builds ``dist/pachybox``, the one file.

The file is a static stub (stub/), a payload (the tree of tree.py, packed) and a trailer that says
where the payload is. The payload is one zstd frame: the manifest (a line a file: mode, size, BLAKE3
hash, path), then the content of each file in that order.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import blake3
import zstandard

from appliance.binary import tree
from appliance.binary.elf import Elf
from pachybox.errors import PachyboxError, Refused

FLOOR = (2, 35)
"""The oldest glibc that the program runs with: Ubuntu 22.04's. A build that needs more fails."""
TARGET = tree.ROOT / "dist" / "pachybox"
STUB = Path(__file__).with_name("stub")
LEVEL = 19

_TRAILER = struct.Struct("<16s4Q32s32s16x")
_MAGIC = b"pachybox-payload"
_WINDOW_LOG = 23  # what Zig's decompressor has room for
_COMPILE_S = 600  # a first build makes the C library too


def build(target: Path = TARGET, level: int = LEVEL) -> None:
    """Write the one file to ``target``, atomically. Raises Refused, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="binary-", dir=target.parent) as made:
        folder = Path(made)
        root = folder / "tree"
        root.mkdir()
        tree.make(root)
        _launcher(root)
        check(root)
        manifest, length = _manifest(root)
        payload = folder / "payload"
        name = _pack(root, manifest, payload, level)
        stub = _stub(folder)
        whole = folder / "whole"
        with open(whole, "wb") as out:
            for part in (stub, payload):
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, out, 1 << 20)
            proof = blake3.blake3(manifest).digest()
            sizes = (stub.stat().st_size, payload.stat().st_size, length, len(manifest))
            out.write(_TRAILER.pack(_MAGIC, *sizes, name, proof))
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


def _glibc() -> str:
    return ".".join(map(str, FLOOR))


def _launcher(root: Path) -> None:
    """The interpreter, for glibc, in ``bin``; it finds libraries in ``lib`` for all it loads."""
    (root / "bin").mkdir()
    made = root / "bin" / "pachybox"
    library = f'-DLIBPYTHON="{tree.libpython().name}"'
    _zig(
        *("cc", "-target", f"{architecture()}-linux-gnu.2.28", "-O2", "-s", "-Wall", "-Wextra"),
        *("-Werror", "-Wl,-rpath,$ORIGIN/../lib", library, f'-DGLIBC="{_glibc()}"'),
        *("-o", str(made), str(STUB / "launcher.c"), "-ldl"),
    )
    elf = Elf(made)
    elf.inherit_runpath()
    made.write_bytes(elf.loaded())
    made.chmod(0o755)


def _stub(folder: Path) -> Path:
    """The static program in front."""
    made, codec = folder / "stub", folder / "codec.o"
    target = f"{architecture()}-linux-musl"
    _zig(
        *("build-obj", "-target", target, "-O", "ReleaseFast", "-fstrip", "-fsingle-threaded"),
        *("-lc", f"-femit-bin={codec}", str(STUB / "codec.zig")),
    )
    _zig(
        *("cc", "-target", target, "-static", "-O2", "-s", "-Wall", "-Wextra", "-Werror"),
        *(f'-DGLIBC="{_glibc()}"', "-o", str(made), str(codec)),
        *(str(STUB / "main.c"), str(STUB / "cache.c")),
    )
    return made


def check(root: Path) -> None:
    """Raise Refused when something in the tree needs a newer glibc than FLOOR, or a library that
    is neither in the tree nor on every Debian and Ubuntu."""
    for path in tree.elves(root):
        elf = Elf(path)
        for library, version in elf.versions():
            words = version.partition("GLIBC_")[2].split(".")
            if words[0].isdigit() and tuple(map(int, words)) > FLOOR:
                raise Refused(
                    f"{path.relative_to(root)} needs {version} of {library}",
                    f"build where Python and its libraries need glibc {_glibc()} at most",
                )
        beside = {one.name for one in path.parent.iterdir()}
        for name in elf.needed():
            if name not in tree.SYSTEM and name not in beside and not list(root.rglob(name)):
                raise Refused(f"{path.relative_to(root)} needs {name}", "carry it in the tree")


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def _manifest(root: Path) -> tuple[bytes, int]:
    """The list of files, and the bytes they have together."""
    lines = []
    total = 0
    for path in _files(root):
        size = path.stat().st_size
        program = path.parent.name == "bin" and os.access(path, os.X_OK)
        digest = blake3.blake3(path.read_bytes()).hexdigest()
        lines.append(f"{0o755 if program else 0o644:o} {size} {digest} {path.relative_to(root)}\n")
        total += size
    return "".join(lines).encode(), total


def _pack(root: Path, manifest: bytes, target: Path, level: int) -> bytes:
    """Write the payload; its hash."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, window_log=_WINDOW_LOG, threads=os.cpu_count() or 1
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    with open(target, "wb") as out, compressor.stream_writer(out, closefd=False) as packed:
        packed.write(manifest)
        for path in _files(root):
            packed.write(path.read_bytes())
    return blake3.blake3(target.read_bytes()).digest()


def main() -> int:
    """``python -m appliance.binary.build [--level N] [TARGET]``."""
    parser = argparse.ArgumentParser(description="build the one file")
    parser.add_argument("target", nargs="?", type=Path, default=TARGET)
    parser.add_argument("--level", type=int, default=LEVEL, help="of zstd: 1 quick, 19 small")
    args = parser.parse_args()
    began = time.monotonic()
    try:
        build(args.target.absolute(), args.level)
    except PachyboxError as error:
        sys.stderr.write(f"make binary: {error}\n")
        return 1
    size = args.target.stat().st_size / (1 << 20)
    sys.stdout.write(f"{args.target}: {size:.1f} MiB in {time.monotonic() - began:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
