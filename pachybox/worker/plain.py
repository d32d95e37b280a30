"""Running with no namespace: /pfs is spelled differently.

Where neither root nor a user namespace may mount, nothing can appear at /pfs, so the
datum's input directory stands for it: ``$PFS`` names it, and every word of the command,
line of stdin and environment value that means a path under /pfs is rewritten.
"""

# Bare system calls on strings, since this runs for every datum.
# ruff: noqa: PTH102, PTH108, PTH114, PTH211

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from pachybox.worker.sandbox import write_files
from pachybox.worker.wire import DatumTask

# /pfs as the start of a path: not the tail of another (/x/pfs, ./pfs), not /pfs2 or /pfs.txt.
_PFS = re.compile(r"(?<![\w./~-])/pfs(?=$|[^\w.-])")


def rewrite(text: str, pfs: str) -> str:
    """``text`` with each mention of /pfs turned into the directory ``pfs``."""
    return _PFS.sub(lambda _: pfs, text)


class Folder:
    """The directory that stands for /pfs: the task's tree, or one made for it in ``work_dir``."""

    def __init__(self, work_dir: Path, task: DatumTask) -> None:
        layout = task.layout
        if layout.image is not None:
            raise OSError(errno.ENOTSUP, "an image cannot be mounted here", str(layout.image))
        self._own = layout.tree is None
        self.pfs = str(layout.tree or work_dir / f"pfs-{os.getpid()}")
        self._out = self.pfs + "/out"
        try:
            if self._own:
                os.mkdir(self.pfs)
            write_files(layout, self.pfs)
            for path, source in layout.links:
                shutil.copyfile(
                    source, f"{self.pfs}/{path}"
                )  # never a link: it could be written to
            os.symlink(task.out, self._out)
        except OSError:
            self.remove()
            raise

    def remove(self) -> None:
        """Take back what was made."""
        if self._own:
            shutil.rmtree(self.pfs, ignore_errors=True)
        elif os.path.islink(self._out):
            os.unlink(self._out)
