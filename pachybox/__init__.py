"""pachybox: versioned data and container pipelines for one machine.

The folders are the architecture; data goes one way through them:
doors (api) -> pps -> pfs -> meta and store. See docs/design.md.

``pachybox.pipeline`` makes a pipeline of a Python function (docs/client.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pachybox.client.functions import pipeline as pipeline

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name != "pipeline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pachybox.client.functions import pipeline

    return pipeline
