"""What each method wants of its caller: the one table, and what single fields want beyond it.

A method that is not here wants an administrator of the box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pachybox.api.access.principal import Role
from pachybox.api.access.things import Thing
from pachybox.errors import PachyboxError
from pachybox.model.ids import DEFAULT_PROJECT
from pachybox.model.refs import parse_commit_ref, parse_pipeline_ref, parse_repo
from pachybox.pps.secret_file import parse


class Scope(Enum):
    """What a caller that is bound to repos may call."""

    BOX = "box"  # never
    NAMED = "named"  # when all that is named is theirs, and something is
    SEEN = "seen"  # when what is named is theirs; of the answer, what is


@dataclass(frozen=True, slots=True)
class Need:
    """A role, and for whom."""

    role: Role
    scope: Scope = Scope.BOX


ADMIN = Need(Role.ADMIN)
BOX_WRITER = Need(Role.WRITER)
BOX_READER = Need(Role.READER)

# package.Service, role, scope, methods
_TABLE = """
versionpb_v2.API reader seen GetVersion
auth_v2.API reader seen WhoAmI Authorize GetPermissions GetRolesForPermission GetGroups
enterprise_v2.API reader seen GetState GetActivationCode PauseStatus
admin_v2.API reader seen InspectCluster

pfs_v2.API reader seen ListRepo ListBranch ListCommit ListCommitSet InspectCommitSet
pfs_v2.API reader seen ListProject InspectProject WalkCommitProvenance WalkCommitSubvenance
pfs_v2.API reader seen WalkBranchProvenance WalkBranchSubvenance ShardFileSet
pfs_v2.API reader named InspectRepo InspectBranch InspectCommit SubscribeCommit FindCommits GetFile
pfs_v2.API reader named GetFileTAR InspectFile ListFile WalkFile GlobFile DiffFile GetFileSet
pfs_v2.API reader box ListTask GetCache ReposSummary InspectProjectV2
pfs_v2.API writer seen CreateFileSet RenewFileSet ComposeFileSet
pfs_v2.API writer named CreateRepo StartCommit FinishCommit ClearCommit SquashCommit DropCommit
pfs_v2.API writer named CreateBranch DeleteBranch ModifyFile AddFileSet ForgetCommit
pfs_v2.API writer box SquashCommitSet DropCommitSet PutCache ClearCache Egress CreateProject
pfs_v2.API admin named DeleteRepo
pfs_v2.API admin box DeleteRepos DeleteAll DeleteProject Fsck CheckStorage ActivateAuth

storage.Fileset reader seen ReadFileset ReadFilesetCDR ShardFileset
storage.Fileset writer seen CreateFileset RenewFileset ComposeFileset

pps_v2.API reader seen ListJob ListJobSet InspectJobSet ListPipeline
pps_v2.API reader named InspectJob SubscribeJob InspectDatum ListDatum CreateDatum InspectPipeline
pps_v2.API reader named GetLogs
pps_v2.API reader box CheckStatus RenderTemplate ListTask GetKubeEvents QueryLoki
pps_v2.API reader box GetClusterDefaults GetProjectDefaults PipelinesSummary
pps_v2.API writer box DeleteJob StopJob RestartDatum RerunPipeline CreatePipeline CreatePipelineV2
pps_v2.API writer box DeletePipeline DeletePipelines StartPipeline StopPipeline RunPipeline RunCron
pps_v2.API admin box CreateSecret DeleteSecret ListSecret InspectSecret DeleteAll ActivateAuth
pps_v2.API admin box SetClusterDefaults SetProjectDefaults

logs.API reader box GetLogs
metadata.API writer named EditMetadata

transaction_v2.API writer seen BatchTransaction
transaction_v2.API reader box InspectTransaction ListTransaction
transaction_v2.API writer box StartTransaction DeleteTransaction FinishTransaction
transaction_v2.API admin box DeleteAll

debug_v2.Debug admin box Profile Binary Dump SetLogLevel GetDumpV2Template DumpV2 Trace
admin_v2.API admin box RestartPachyderm

pachybox.v1.API reader seen Status SubscribeEvents GetSummary FlushCommit FlushJob DescribeSpec
pachybox.v1.API reader seen ListIngest
pachybox.v1.API reader named ListHistory ResolveCommit GetLogs DiffFile ReadLog FindLog FollowLog
pachybox.v1.API reader named PageJob PageDatum GetTiming PageFile PageCommit PageDiff ListRepoUsers
pachybox.v1.API reader box Doctor ValidatePipelines DiffPipelines ExtractPipeline GetBoxLog
pachybox.v1.API reader box GetSettings ListWebhook
pachybox.v1.API reader box ListImage InspectIngest GetIngestLog CheckSpec PreviewInput
pachybox.v1.API writer named CreateBranch
pachybox.v1.API writer box CreatePipelines RunPipeline DeleteCommit StopJob OpenTrial RunTrial
pachybox.v1.API writer box SaveTrial CreateIngest PauseIngest ResumeIngest RunIngest DeleteIngest
pachybox.v1.API writer box AdvanceIngest MovePipelines
pachybox.v1.API admin box Shutdown Fsck CollectGarbage DeleteSecret
pachybox.v1.API admin box Scrub TestWebhook
pachybox.v1.API admin box CreateBackup VerifyBackup RestoreBackup PruneBackup ListBackup
pachybox.v1.API admin box CreateToken ListToken DeleteToken GetAudit
"""


def _read(table: str) -> dict[str, Need]:
    found: dict[str, Need] = {}
    for line in filter(None, table.splitlines()):
        service, role, scope, *methods = line.split()
        for method in methods:
            found[f"{service}/{method}"] = Need(Role.named(role), Scope(scope))
    return found


METHODS: Mapping[str, Need] = _read(_TABLE)

S3: Mapping[str, Role] = {
    **dict.fromkeys(
        ("ListBuckets", "ListObjects", "ListObjectsV2", "GetBucketLocation", "ListMultipartUploads",
         "GetBucketVersioning", "ListObjectVersions", "HeadBucket", "GetObject",
         "GetObjectAttributes", "ListParts", "HeadObject"),
        Role.READER,
    ),
    **dict.fromkeys(
        ("CreateBucket", "PutBucketVersioning", "PostObject", "DeleteObjects", "PutObject",
         "UploadPart", "DeleteObject", "AbortMultipartUpload", "CompleteMultipartUpload",
         "CreateMultipartUpload", "CopyObject", "UploadPartCopy"),
        Role.WRITER,
    ),
    "DeleteBucket": Role.ADMIN,
}  # fmt: skip
"""Operations of S3 and the role they want, on the bucket's repo. All others answer from nothing
that is stored, or refuse; they want a reader."""


# ---- what fields want beyond their method


def _url(request: Any) -> Iterator[Need]:
    """The box itself sends a file out, by what it has at hand."""
    if request.url:
        yield BOX_WRITER


def _add_url(request: Any) -> Iterator[Need]:
    """The box itself fetches, by what it has at hand."""
    if request.HasField("add_file") and request.add_file.HasField("url"):
        yield BOX_WRITER


def _recursive(request: Any) -> Iterator[Need]:
    """Commits downstream go too."""
    if request.recursive:
        yield BOX_WRITER


def _forced(request: Any) -> Iterator[Need]:
    """What others follow is broken."""
    if request.force:
        yield BOX_WRITER


def _filtered(request: Any) -> Iterator[Need]:
    """A program of the caller's looks at records before they are sifted."""
    if request.jq_filter:
        yield BOX_READER


def _masters(request: Any) -> Iterator[Need]:
    if request.master:
        yield BOX_READER


def _edits(request: Any) -> Iterator[Need]:
    for edit in request.edits:
        kind = edit.WhichOneof("target")
        if kind in ("project", "pipeline"):
            yield BOX_WRITER
        elif kind not in ("repo", "branch", "commit"):
            yield ADMIN


FIELDS: Mapping[str, Callable[[Any], Iterator[Need]]] = {
    "pfs_v2.API/GetFile": _url,
    "pfs_v2.API/GetFileTAR": _url,
    "pfs_v2.API/ModifyFile": _add_url,
    "pfs_v2.API/CreateFileSet": _add_url,
    "pfs_v2.API/SquashCommit": _recursive,
    "pfs_v2.API/DropCommit": _recursive,
    "pfs_v2.API/DeleteBranch": _forced,
    "pfs_v2.API/DeleteRepo": _forced,
    "pps_v2.API/ListJob": _filtered,
    "pps_v2.API/ListJobSet": _filtered,
    "pps_v2.API/ListPipeline": _filtered,
    "pps_v2.API/GetLogs": _masters,
    "pachybox.v1.API/GetLogs": _masters,
    "metadata.API/EditMetadata": _edits,
}

BATCHED: Mapping[str, str] = {
    "create_repo": "pfs_v2.API/CreateRepo",
    "delete_repo": "pfs_v2.API/DeleteRepo",
    "start_commit": "pfs_v2.API/StartCommit",
    "finish_commit": "pfs_v2.API/FinishCommit",
    "squash_commit_set": "pfs_v2.API/SquashCommitSet",
    "create_branch": "pfs_v2.API/CreateBranch",
    "delete_branch": "pfs_v2.API/DeleteBranch",
    "stop_job": "pps_v2.API/StopJob",
    "create_pipeline_v2": "pps_v2.API/CreatePipelineV2",
}
"""Fields of a TransactionRequest and the methods they stand for."""


# ---- things that are named in texts


def _of_texts(request: Any) -> Iterator[Thing]:
    yield Thing("repo", request.project or DEFAULT_PROJECT, request.repo)


def _commits(request: Any) -> Iterator[Thing]:
    for text in request.commits:
        repo = parse_commit_ref(text).repo
        yield Thing("repo", repo.project, repo.name, repo.type)


def _to_repos(request: Any) -> Iterator[Thing]:
    yield from _commits(request)
    for text in request.to_repos:
        repo = parse_repo(text)
        yield Thing("repo", repo.project, repo.name, repo.type)


def _to_pipelines(request: Any) -> Iterator[Thing]:
    yield from _commits(request)
    for text in request.to_pipelines:
        pipeline = parse_pipeline_ref(text)[0]
        yield Thing("pipeline", pipeline.project, pipeline.name)


def _projects(request: Any) -> Iterator[Thing]:
    for name in request.projects:
        yield Thing("project", name, name)


def _commit(request: Any) -> Iterator[Thing]:
    repo = parse_commit_ref(request.commit).repo
    yield Thing("repo", repo.project, repo.name, repo.type)


TEXTS: Mapping[str, Callable[[Any], Iterator[Thing]]] = {
    "pachybox.v1.API/ListHistory": _of_texts,
    "pachybox.v1.API/ResolveCommit": _of_texts,
    "pachybox.v1.API/FlushCommit": _to_repos,
    "pachybox.v1.API/ListIngest": _projects,
    "pachybox.v1.API/FlushJob": _to_pipelines,
    "pachybox.v1.API/DeleteCommit": _commit,
}


# ---- what the audit log names besides, and nobody is judged by


def _name(request: Any) -> str:
    return str(request.name)


def _name_of_secret(request: Any) -> str:
    return str(request.secret.name)


def _name_in_file(request: Any) -> str:
    with suppress(PachyboxError):
        return parse(request.file).name
    return ""


_NOTED: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "pachybox.v1.API/CreateToken": ("token", _name),
    "pachybox.v1.API/DeleteToken": ("token", _name),
    "pps_v2.API/CreateSecret": ("secret", _name_in_file),
    "pps_v2.API/InspectSecret": ("secret", _name_of_secret),
    "pps_v2.API/DeleteSecret": ("secret", _name_of_secret),
    "pachybox.v1.API/DeleteSecret": ("secret", _name),
}


def noted(method: str, request: Any) -> Iterator[Thing]:
    """The token or secret that a request of ``method`` names."""
    if method in _NOTED:
        kind, read = _NOTED[method]
        if name := read(request):
            yield Thing(kind, DEFAULT_PROJECT, name)
