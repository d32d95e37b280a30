"""Watched folders: what comes into one is committed, once, when it is whole."""

from spouts.watch.folder import run

__all__ = ["run"]
