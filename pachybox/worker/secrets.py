"""Files that user code alone sees: in memory, in the worker's own namespace, never on a disk.

A directory that is not there is made in the sandbox's root; one that is there is covered by
one in memory (as a container engine does), so that nothing is written to the machine.
"""

# The root of a sandbox is a string here, as in sandbox.
# ruff: noqa: PTH103, PTH112, PTH116, PTH120

from __future__ import annotations

import os
from collections.abc import Mapping

from pachybox.errors import Refused
from pachybox.worker import kernel
from pachybox.worker.identity import Identity
from pachybox.worker.kernel import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY

_REMEDY = "choose a mount_path whose first folder does not exist on this machine, such as /secrets"


def refuse_without_mounts(files: Mapping[str, bytes]) -> None:
    """Raise Refused: without a mount namespace files cannot be shown to one program alone."""
    raise Refused(
        f"cannot show the secret {min(files)} as a file: this machine allows no mount namespace",
        "give the secret as an environment variable (env_var), or see `pachybox doctor`",
    )


def show(files: Mapping[str, bytes], root: str, owner: Identity | None) -> None:
    """Make ``files`` appear in the sandbox that is being made at ``root``, or with an empty
    ``root`` in the container whose mounts these are.

    Raises Refused naming a path that cannot be made.
    """
    folders: dict[str, dict[str, bytes]] = {}
    for path in sorted(files, key=lambda path: path.count("/")):
        whole = os.path.normpath(path)
        folder = os.path.dirname(whole)
        if not path.startswith("/") or whole == "/" or whole.startswith("//"):
            raise Refused(f"cannot show a secret at {path!r}: not an absolute path", _REMEDY)
        if not root:  # an image's own links are its own: /var/run is often one
            folder = os.path.realpath(folder)
            whole = folder.rstrip("/") + "/" + whole.rpartition("/")[2]
        # One that lies inside another's folder goes along with it.
        outer = next((one for one in folders if whole.startswith(one + "/")), folder)
        folders.setdefault(outer, {})[whole] = files[path]
    for folder, content in folders.items():
        _fill(folder, content, root, owner)


def make_folder(folder: str, root: str, what: str, remedy: str) -> None:
    """Make the directory ``folder`` in the sandbox at ``root``, unless the machine has it.

    Raises Refused where nothing can be shown: in what the box makes, over a directory at the
    top, below one of the machine's where there is none of that name.
    """
    top = "/" + folder.split("/")[1]
    if root and folder == top and os.path.lexists(root + top):
        raise Refused(f"cannot show {what} in {folder}: it would hide all of it", remedy)
    if top in ("/pfs", "/proc", "/sys", "/dev", "/.pachybox"):
        raise Refused(f"cannot show {what} in {folder}: {top} is made by the box", remedy)
    if not os.path.isdir(root + folder):
        if (
            root
            and os.path.lexists(root + top)
            and os.stat(root + top).st_dev != os.stat(root).st_dev
        ):
            raise Refused(
                f"cannot show {what} in {folder}: there is no such directory",
                f"make it (mkdir -p {folder}), or {remedy}",
            )
        os.makedirs(root + folder, 0o755, exist_ok=True)
    if os.path.realpath(root + folder) != root + folder:
        raise Refused(f"cannot show {what} in {folder}: a symbolic link leads there", remedy)


def _fill(folder: str, files: Mapping[str, bytes], root: str, owner: Identity | None) -> None:
    make_folder(folder, root, "a secret", _REMEDY)
    room = sum((len(content) | 4095) + 1 for content in files.values()) + (64 << 10)
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    kernel.mount("tmpfs", root + folder, "tmpfs", flags, f"mode=755,size={room}")
    for path, content in files.items():
        os.makedirs(os.path.dirname(root + path), 0o755, exist_ok=True)
        fd = os.open(root + path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400)
        with open(fd, "wb") as file:
            file.write(content)
            if owner is not None:
                os.fchown(file.fileno(), owner.uid, owner.gid)
    kernel.restrict(root + folder, MS_RDONLY, recursive=False)
