"""The way into a box for every program: ``Client``, ``AsyncClient``, their values and errors.

    from pachybox.client import Client

Names load on first use, so that importing one part does not pay for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pachybox.client.aio import AsyncClient
    from pachybox.client.base import Stream
    from pachybox.client.sync import Client

__all__ = ["AsyncClient", "Client", "Stream"]

_WHERE = {"AsyncClient": "aio", "Client": "sync", "Stream": "base"}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
