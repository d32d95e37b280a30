"""Bytes of a file to what is shown of it: rows, a tree, lines or pixels. It draws nothing itself.

``show`` reads at most ``Limits.bytes`` and decodes for at most about ``Limits.seconds``, off the
loop; what is more, ``Preview.more`` says. Whatever the bytes are, it answers: what a decoder
cannot make out is shown as text or hex, with a note. Decoders are imported when first needed.
"""

from tui.preview.shown import FIRST, show, warm
from tui.preview.source import Limits, Reader
from tui.preview.values import Column, Line, Node, Pixels, Preview, Table, Text, Tree

__all__ = [
    "FIRST",
    "Column",
    "Limits",
    "Line",
    "Node",
    "Pixels",
    "Preview",
    "Reader",
    "Table",
    "Text",
    "Tree",
    "show",
    "warm",
]
