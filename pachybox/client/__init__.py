"""The way into a box for every program: ``Client``, ``AsyncClient``, their values and errors.

    from pachybox.client import Client

Names load on first use, so that importing one part does not pay for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pachybox.client.aio import AsyncClient
    from pachybox.client.base import Stream
    from pachybox.client.pipeline_values import (
        BoxStatus,
        CreatedPipeline,
        DatumInfo,
        FieldChange,
        JobInfo,
        JobSetInfo,
        LogMessage,
        PipelineDifference,
        PipelineInfo,
        SecretInfo,
    )
    from pachybox.client.progress import Bar
    from pachybox.client.sessions import OpenCommit, Transaction
    from pachybox.client.shown import Records
    from pachybox.client.sync import Client
    from pachybox.client.upload import Put
    from pachybox.client.values import (
        BranchInfo,
        CommitInfo,
        CommitSetInfo,
        FileChange,
        FileInfo,
        ProjectInfo,
        PutResult,
        RepoInfo,
    )
    from pachybox.errors import (
        AlreadyExists,
        Exhausted,
        InvalidArgument,
        NotFound,
        NotReady,
        PachyboxError,
        Refused,
        Unauthenticated,
        Unreachable,
    )

_WHERE = {
    "pachybox.client.aio": ("AsyncClient",),
    "pachybox.client.base": ("Stream",),
    "pachybox.client.pipeline_values": (
        "BoxStatus",
        "CreatedPipeline",
        "DatumInfo",
        "FieldChange",
        "JobInfo",
        "JobSetInfo",
        "LogMessage",
        "PipelineDifference",
        "PipelineInfo",
        "SecretInfo",
    ),
    "pachybox.client.progress": ("Bar",),
    "pachybox.client.sessions": ("OpenCommit", "Transaction"),
    "pachybox.client.shown": ("Records",),
    "pachybox.client.sync": ("Client",),
    "pachybox.client.upload": ("Put",),
    "pachybox.client.values": (
        "BranchInfo",
        "CommitInfo",
        "CommitSetInfo",
        "FileChange",
        "FileInfo",
        "ProjectInfo",
        "PutResult",
        "RepoInfo",
    ),
    "pachybox.errors": (
        "AlreadyExists",
        "Exhausted",
        "InvalidArgument",
        "NotFound",
        "NotReady",
        "PachyboxError",
        "Refused",
        "Unauthenticated",
        "Unreachable",
    ),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "Bar",
    "BoxStatus",
    "BranchInfo",
    "Client",
    "CommitInfo",
    "CommitSetInfo",
    "CreatedPipeline",
    "DatumInfo",
    "Exhausted",
    "FieldChange",
    "FileChange",
    "FileInfo",
    "InvalidArgument",
    "JobInfo",
    "JobSetInfo",
    "LogMessage",
    "NotFound",
    "NotReady",
    "OpenCommit",
    "PachyboxError",
    "PipelineDifference",
    "PipelineInfo",
    "ProjectInfo",
    "Put",
    "PutResult",
    "Records",
    "Refused",
    "RepoInfo",
    "SecretInfo",
    "Stream",
    "Transaction",
    "Unauthenticated",
    "Unreachable",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
