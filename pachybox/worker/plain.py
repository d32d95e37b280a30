"""Running with no namespace: /pfs is spelled differently.

Where neither root nor a user namespace may mount, nothing can appear at /pfs, so the
datum's input directory stands for it: ``$PFS`` names it, and every word of the command,
line of stdin and environment value that means a path under /pfs is rewritten.
"""

# Bare system calls on strings, since this runs for every datum.
# ruff: noqa: PTH118, PTH211

from __future__ import annotations

import os
import re

# /pfs as the start of a path: not the tail of another (/x/pfs, ./pfs), not /pfs2 or /pfs.txt.
_PFS = re.compile(r"(?<![\w./~-])/pfs(?=$|[^\w.-])")


def rewrite(text: str, pfs: str) -> str:
    """``text`` with each mention of /pfs turned into the directory ``pfs``."""
    return _PFS.sub(lambda _: pfs, text)


def link_out(inputs: str, out: str) -> str:
    """Make ``inputs``/out lead to ``out``; returns the link, to be removed after the run."""
    link = os.path.join(inputs, "out")
    os.symlink(out, link)
    return link
