"""A durable log of records on disk, between their arrival and their commit.

    frames.py   how a batch of records lies in the log
    log.py      the one who appends: segments, durability, bounds
    reader.py   those who read on from a position, in other processes too
    keys.py     idempotency keys that were seen

A position is a number of bytes since the log was first made. It grows for ever: a segment is a file
named by the position of its first byte, and segments below what is committed are removed whole.
"""

from pachybox.spool.frames import MOST_BYTES, Frame
from pachybox.spool.keys import Keys, Seen
from pachybox.spool.log import Log
from pachybox.spool.reader import Reader

__all__ = ["MOST_BYTES", "Frame", "Keys", "Log", "Reader", "Seen"]
