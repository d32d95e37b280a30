"""A request for every method, to try it with: what ``/docs`` shows as a curl command.

They speak of one small world: repo ``images`` with ``master`` and ``/a.txt``, pipeline ``edges``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pachybox.api.table import Method

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

Json = dict[str, Any]

_ID = "0123456789abcdef0123456789abcdef"
_REPO: Json = {"name": "images", "type": "user", "project": {"name": "default"}}
_BRANCH: Json = {"repo": _REPO, "name": "master"}
_BRANCH_PICKER: Json = {"name": {"repo": {"name": _REPO}, "name": "master"}}
_COMMIT: Json = {"repo": _REPO, "branch": _BRANCH}
_FILE: Json = {"commit": _COMMIT, "path": "/a.txt"}
_PIPELINE: Json = {"name": "edges", "project": {"name": "default"}}
_JOB: Json = {"pipeline": _PIPELINE, "id": _ID}
_INPUT: Json = {"pfs": {"repo": "images", "branch": "master", "glob": "/*"}}
_SPEC: Json = {
    "pipeline": _PIPELINE,
    "transform": {"cmd": ["sh"], "stdin": ["cp /pfs/images/* /pfs/out/"]},
    "input": _INPUT,
}
_INGEST_TEXT = '{"name":"events","to":"images@landing","push":{}}'
_SPEC_TEXT = json.dumps(_SPEC | {"pipeline": {"name": "edges"}}, separators=(",", ":"))

# By the type of a field, and by the name of a text.
_BY_TYPE: dict[str, Any] = {
    "pachybox.v1.Ingest": {"name": "events", "project": "default"},
    "pfs_v2.Branch": _BRANCH,
    "pfs_v2.Commit": _COMMIT,
    "pfs_v2.CommitSet": {"id": _ID},
    "pfs_v2.File": _FILE,
    "pfs_v2.Project": {"name": "default"},
    "pfs_v2.Repo": _REPO,
    "pps_v2.Datum": {"job": _JOB, "id": "d" * 64},
    "pps_v2.Job": _JOB,
    "pps_v2.JobSet": {"id": _ID},
    "pps_v2.Pipeline": _PIPELINE,
    "pps_v2.Secret": {"name": "key"},
    "transaction_v2.Transaction": {"id": _ID},
}
_NEEDED = frozenset(
    {"branch", "commit", "commit_set", "datum", "file", "ingest", "job", "job_set"}
    | {"pipeline", "project", "repo", "secret", "start", "transaction"}
)  # fields which say what a method is about; all others are options
_BY_NAME = {
    "key": "answer",
    "commit": "images@master",
    "file_path": "/a.txt",
    "name": "key",
    "path": "/a.txt",
    "pattern": "/*",
    "project": "default",
    "ref": "master",
    "repo": "images",
}
_BY_METHOD: dict[str, Json | list[Json]] = {
    "metadata.API/EditMetadata": {
        "edits": [
            {"project": {"name": "default"}, "editKey": {"key": "owner", "value": "me"}},
        ]
    },
    "pachybox.v1.API/AdvanceIngest": {
        "ingest": {"name": "events", "project": "default"},
        "version": "1",
        "batch": "1",
        "offsetJson": '{"line":7}',
        "records": "7",
    },
    "pachybox.v1.API/CreateIngest": {"text": _INGEST_TEXT},
    "pachybox.v1.API/CreatePipelines": {"text": _SPEC_TEXT},
    "pachybox.v1.API/FlushCommit": {"commits": ["images@master"]},
    "pachybox.v1.API/FlushJob": {"commits": ["images@master"]},
    "pachybox.v1.API/SubscribeEvents": {"from": "1"},
    "pachybox.v1.API/DiffPipelines": {"text": _SPEC_TEXT},
    "pachybox.v1.API/ValidatePipelines": {"text": _SPEC_TEXT},
    "pachybox.v1.API/CheckSpec": {"text": _SPEC_TEXT},
    "pachybox.v1.API/FindLog": {"log": {"pipeline": _PIPELINE}, "pattern": "error"},
    "pachybox.v1.API/FollowLog": {"log": {"pipeline": _PIPELINE}, "after": "0"},
    "pachybox.v1.API/PreviewInput": {"text": _SPEC_TEXT},
    "pachybox.v1.API/ReadLog": {"log": {"pipeline": _PIPELINE}, "lines": "100"},
    "pfs_v2.API/DiffFile": {"newFile": _FILE | {"path": "/"}},
    "pachybox.v1.API/DiffFile": {"newFile": _FILE | {"path": "/"}},
    "pfs_v2.API/GetFileTAR": {"file": _FILE | {"path": "/"}},
    "pfs_v2.API/ListFile": {"file": _FILE | {"path": "/"}},
    "pfs_v2.API/ListRepo": {"type": "user"},
    "pfs_v2.API/ModifyFile": [
        {"setCommit": _COMMIT},
        {"deleteFile": {"path": "/a.txt"}},
        {"addFile": {"path": "/a.txt", "raw": "aGVsbG8K"}},
    ],
    "pfs_v2.API/SubscribeCommit": {"repo": _REPO, "branch": "master", "state": "FINISHED"},
    "pfs_v2.API/WalkBranchProvenance": {"start": [_BRANCH_PICKER]},
    "pfs_v2.API/WalkBranchSubvenance": {"start": [_BRANCH_PICKER]},
    "pfs_v2.API/WalkCommitProvenance": {"start": [{"branchHead": _BRANCH_PICKER}]},
    "pfs_v2.API/WalkCommitSubvenance": {"start": [{"branchHead": _BRANCH_PICKER}]},
    "pfs_v2.API/WalkFile": {"file": _FILE | {"path": "/"}},
    "pps_v2.API/CreateDatum": [{"start": {"input": _INPUT, "number": "10"}}],
    "pps_v2.API/CreatePipeline": _SPEC,
    "pps_v2.API/CreatePipelineV2": {"createPipelineRequestJson": _SPEC_TEXT, "update": True},
    "pps_v2.API/CreateSecret": {
        # {"apiVersion":"v1","kind":"Secret","metadata":{"name":"key"},"stringData":{"k":"v"}}
        "file": "eyJhcGlWZXJzaW9uIjoidjEiLCJraW5kIjoiU2VjcmV0IiwibWV0YWRhdGEiOnsibmFtZSI6ImtleSJ9"
        "LCJzdHJpbmdEYXRhIjp7ImsiOiJ2In19"
    },
    "pps_v2.API/GetLogs": {"pipeline": _PIPELINE, "tail": "10"},
    "pps_v2.API/ListDatum": {"input": _INPUT},
    "pps_v2.API/ListJob": {"pipeline": _PIPELINE, "number": "10"},
    "pps_v2.API/ListPipeline": {"details": True},
    "pps_v2.API/RenderTemplate": {
        "template": "function(name) {pipeline: {name: name}}",
        "args": {"name": "edges"},
    },
    "pps_v2.API/RestartDatum": {"job": _JOB, "dataFilters": ["/a.txt"]},
    "pps_v2.API/RunPipeline": {"pipeline": _PIPELINE},
}


def sample(method: Method) -> str:
    """The body of a request for ``method``: an object, or one a line when the client streams."""
    found = _BY_METHOD.get(method.full_name)
    if found is None:
        found = _of(method.descriptor.input_type)
    several = found if isinstance(found, list) else [found]
    return "\n".join(json.dumps(one, separators=(",", ":")) for one in several)


def _of(descriptor: Descriptor) -> Json:
    return {
        field.json_name: value
        for field in descriptor.fields
        if not field.is_repeated and (value := _value(field)) is not None
    }


def _value(field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        return _BY_TYPE.get(field.message_type.full_name) if field.name in _NEEDED else None
    return _BY_NAME.get(field.name) if field.type == field.TYPE_STRING else None
