"""Spouts of tar archives: what a program writes to its pipe is committed, archive by archive."""

from spouts.spout.reader import run

__all__ = ["run"]
