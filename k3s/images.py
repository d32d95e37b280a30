"""``pachybox k3s import``: images of podman, or of archives, for k3s to run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from k3s.places import PROGRAM
from k3s.program import Program
from pachybox.errors import CHECK_FILE, InvalidArgument, NotFound, NotReady, Refused

_HUB = "docker.io"
_ZSTD = b"\x28\xb5\x2f\xfd"
_MOST_INDEX = 16 << 20
_NAME = re.compile(r"[A-Za-z0-9\[][\w.:/@\]-]*", re.ASCII)  # whatever it is, no flag
_OCI_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def bring(given: str) -> list[str]:
    """Have the image, or those of the archive, ``given`` in k3s, kept there when room is made:
    their full names, as specs have to name them.

    Raises NotFound for what neither podman nor the disk has, NotReady when k3s does not run.
    """
    if not PROGRAM.exists():
        raise NotFound("k3s is not installed", "install it: pachybox k3s install --from DIR")
    program = Program()
    program.images()  # it answers, before much is read
    path = Path(given)
    if path.is_file():
        names = names_of(path)
        with open(path, "rb") as file:
            program.import_archive(file)
    else:
        if "/" in given and given.endswith((".tar", ".tar.gz", ".tar.zst", ".tgz")):
            raise NotFound(f"there is no file {given}", CHECK_FILE)
        name = _of_podman(given)
        names = [full(name)]
        with _saved(name) as archive:
            program.import_archive(archive)
    there = program.images()
    for name in names:
        if name not in there:
            raise Refused(f"k3s has not taken {name} from {given}", "see: k3s ctr images ls -q")
        program.pin(name)
    return names


def full(name: str) -> str:
    """The whole name of an image, as containerd and the kubelet write it."""
    host, slash, rest = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, rest = _HUB, name if slash else f"library/{name}"
    if "@" not in rest and ":" not in rest.rpartition("/")[2]:
        rest += ":latest"
    return f"{host}/{rest}"


def names_of(path: Path) -> list[str]:
    """The full names of the images in an archive, of docker's form or OCI's. Raises
    InvalidArgument when it is no archive of images, or those have no names."""
    import zstandard

    names: list[str] = []
    try:
        with _unpacked(path) as tar:
            for member in tar:
                if member.name.removeprefix("./") in ("manifest.json", "index.json"):
                    names += _named(tar, member)
    except (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError, OSError) as e:
        raise InvalidArgument(f"{path} is no archive of images: {e}", "make it: podman save") from e
    if not names:
        raise InvalidArgument(
            f"{path} names no image", "make it by name: podman save -o FILE IMAGE"
        )
    return list(dict.fromkeys(full(name) for name in names))


@contextmanager
def _unpacked(path: Path) -> Iterator[tarfile.TarFile]:
    with open(path, "rb") as file:
        packed = file.read(4) == _ZSTD
        file.seek(0)
        if packed:
            import zstandard

            with (
                zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream,
                tarfile.open(fileobj=stream, mode="r|") as tar,
            ):
                yield tar
        else:
            with tarfile.open(fileobj=file, mode="r|*") as tar:
                yield tar


def _named(tar: tarfile.TarFile, member: tarfile.TarInfo) -> list[str]:
    """The names in an index. Raises ValueError when it is none."""
    file = tar.extractfile(member) if member.isreg() else None
    if file is None or member.size > _MOST_INDEX:
        return []
    try:
        found: Any = json.loads(file.read())
        if isinstance(found, list):  # manifest.json
            names = [name for one in found for name in one.get("RepoTags") or ()]
        else:
            notes = [one.get("annotations") or {} for one in found.get("manifests") or ()]
            names = [next((n[key] for key in _OCI_NAMES if key in n), "") for n in notes]
            names = [name for name in names if ":" in name or "/" in name]  # else a tag alone
    except (AttributeError, TypeError, RecursionError) as e:
        raise ValueError(f"its {member.name} is none of an image") from e
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an image")
    return names


def _of_podman(given: str) -> str:
    """The name that podman has for ``given``. Raises NotFound."""
    podman = shutil.which("podman")
    if podman is None:
        raise NotFound(
            f"there is no file {given}, and no podman to have an image of that name",
            "give an archive of images, made by podman save or docker save",
        )
    command = [podman, "image", "inspect", "--format", "{{json .RepoTags}}", "--", given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotFound(
            f"podman has no image {given}, and there is no such file",
            "see podman images; images are root's own where root installs",
        )
    names: list[str] = json.loads(done.stdout) or []
    wanted = given if ":" in given.rpartition("/")[2] else f"{given}:latest"
    for name in names:
        if name == wanted or name.endswith(f"/{wanted}"):
            return name
    if not names:
        raise InvalidArgument(
            f"the image {given} has no name", f"give it one: podman tag {given} localhost/NAME:TAG"
        )
    return names[0]


@contextmanager
def _saved(name: str) -> Iterator[IO[bytes]]:
    """The image as an archive, as podman writes it. Raises NotReady when podman fails."""
    with subprocess.Popen(
        ["podman", "save", "--", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as saving:
        assert saving.stdout is not None
        assert saving.stderr is not None
        yield saving.stdout
        saving.stdout.close()
        said = saving.stderr.read().decode(errors="replace").strip().splitlines()
        if saving.wait():
            raise NotReady(f"podman save {name}: {said[-1] if said else 'it says nothing'}")
