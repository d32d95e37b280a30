"""The way into a box for every program: ``Client``, ``AsyncClient``, their values and errors.

    from pachybox.client import Client

Names load on first use, so that importing one part does not pay for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pachybox.client.aio import AsyncClient
    from pachybox.client.base import Stream
    from pachybox.client.functions import FunctionPipeline, pipeline
    from pachybox.client.ingest_values import CreatedIngest, IngestInfo
    from pachybox.client.log_values import LogEntry, LogPart
    from pachybox.client.page_values import (
        CommitPage,
        DatumPage,
        DatumRow,
        DiffPage,
        FilePage,
        JobPage,
        JobTiming,
        Span,
        WorkerTime,
    )
    from pachybox.client.pipeline_values import (
        BoxStatus,
        CreatedPipeline,
        DatumInfo,
        FieldChange,
        ImageInfo,
        JobInfo,
        JobSetInfo,
        LogMessage,
        PipelineDifference,
        PipelineInfo,
        SecretInfo,
    )
    from pachybox.client.progress import Bar
    from pachybox.client.python_pipelines import (
        create_python_pipeline,
        parse_dict_pipeline_spec,
        parse_json_pipeline_spec,
        put_files,
    )
    from pachybox.client.sessions import OpenCommit, Transaction
    from pachybox.client.shown import Records
    from pachybox.client.spec_values import (
        InputPreview,
        PreviewDatum,
        Problem,
        SpecCheck,
        SpecField,
    )
    from pachybox.client.sync import Client
    from pachybox.client.token_values import AuditEntry, Token
    from pachybox.client.trial_values import (
        OutputChange,
        OutputDifference,
        TrialDatum,
        TrialEnd,
        TrialEvent,
        TrialLine,
        TrialPlan,
    )
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
    from pachybox.client.view_values import (
        Attention,
        DiskUse,
        JobSummary,
        Machine,
        PipelineSummary,
        RepoSummary,
        Summary,
    )
    from pachybox.errors import (
        AlreadyExists,
        Denied,
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
    "pachybox.client.ingest_values": ("CreatedIngest", "IngestInfo"),
    "pachybox.client.log_values": ("LogEntry", "LogPart"),
    "pachybox.client.page_values": (
        "CommitPage",
        "DatumPage",
        "DatumRow",
        "DiffPage",
        "FilePage",
        "JobPage",
        "JobTiming",
        "Span",
        "WorkerTime",
    ),
    "pachybox.client.pipeline_values": (
        "BoxStatus",
        "CreatedPipeline",
        "DatumInfo",
        "FieldChange",
        "ImageInfo",
        "JobInfo",
        "JobSetInfo",
        "LogMessage",
        "PipelineDifference",
        "PipelineInfo",
        "SecretInfo",
    ),
    "pachybox.client.token_values": ("AuditEntry", "Token"),
    "pachybox.client.functions": ("FunctionPipeline", "pipeline"),
    "pachybox.client.progress": ("Bar",),
    "pachybox.client.python_pipelines": (
        "create_python_pipeline",
        "parse_dict_pipeline_spec",
        "parse_json_pipeline_spec",
        "put_files",
    ),
    "pachybox.client.sessions": ("OpenCommit", "Transaction"),
    "pachybox.client.shown": ("Records",),
    "pachybox.client.spec_values": (
        "InputPreview",
        "PreviewDatum",
        "Problem",
        "SpecCheck",
        "SpecField",
    ),
    "pachybox.client.sync": ("Client",),
    "pachybox.client.trial_values": (
        "OutputChange",
        "OutputDifference",
        "TrialDatum",
        "TrialEnd",
        "TrialEvent",
        "TrialLine",
        "TrialPlan",
    ),
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
    "pachybox.client.view_values": (
        "Attention",
        "DiskUse",
        "JobSummary",
        "Machine",
        "PipelineSummary",
        "RepoSummary",
        "Summary",
    ),
    "pachybox.errors": (
        "AlreadyExists",
        "Denied",
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
    "Attention",
    "AuditEntry",
    "Bar",
    "BoxStatus",
    "BranchInfo",
    "Client",
    "CommitInfo",
    "CommitPage",
    "CommitSetInfo",
    "CreatedIngest",
    "CreatedPipeline",
    "DatumInfo",
    "DatumPage",
    "DatumRow",
    "Denied",
    "DiffPage",
    "DiskUse",
    "Exhausted",
    "FieldChange",
    "FileChange",
    "FileInfo",
    "FilePage",
    "FunctionPipeline",
    "ImageInfo",
    "IngestInfo",
    "InputPreview",
    "InvalidArgument",
    "JobInfo",
    "JobPage",
    "JobSetInfo",
    "JobSummary",
    "JobTiming",
    "LogEntry",
    "LogMessage",
    "LogPart",
    "Machine",
    "NotFound",
    "NotReady",
    "OpenCommit",
    "OutputChange",
    "OutputDifference",
    "PachyboxError",
    "PipelineDifference",
    "PipelineInfo",
    "PipelineSummary",
    "PreviewDatum",
    "Problem",
    "ProjectInfo",
    "Put",
    "PutResult",
    "Records",
    "Refused",
    "RepoInfo",
    "RepoSummary",
    "SecretInfo",
    "Span",
    "SpecCheck",
    "SpecField",
    "Stream",
    "Summary",
    "Token",
    "Transaction",
    "TrialDatum",
    "TrialEnd",
    "TrialEvent",
    "TrialLine",
    "TrialPlan",
    "Unauthenticated",
    "Unreachable",
    "WorkerTime",
    "create_python_pipeline",
    "parse_dict_pipeline_spec",
    "parse_json_pipeline_spec",
    "pipeline",
    "put_files",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
