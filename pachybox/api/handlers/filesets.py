"""Filesets: pfs_v2.API's, and storage.Fileset, which is the same without repos."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BytesValue

from pachybox.api.definitions import pfs, storage
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.files import Raw, modify
from pachybox.api.handlers.upload import Upload
from pachybox.api.table import Call, handles
from pachybox.api.wire import content
from pachybox.box import Box
from pachybox.errors import InvalidArgument, Unimplemented
from pachybox.meta.tables import CacheRecord
from pachybox.meta.writer import utc_now
from pachybox.model.ids import DEFAULT_PROJECT, Repo
from pachybox.pfs.read import File
from pachybox.pfs.repos import FILESETS_REPO
from pachybox.pps.scripts import Matcher

_REPO = Repo(DEFAULT_PROJECT, FILESETS_REPO)


# ---- pfs_v2.API


@handles("pfs_v2.API/CreateFileSet")
def create_file_set(box: Box, requests: Iterator[Any], call: Call) -> Any:
    with box.pfs.blobs.session() as session:
        upload = Upload(box.reader, session, trusted=call.local, reach=box.config.url_fetch)
        modify(upload, requests)
        return pfs.CreateFileSetResponse(file_set_id=box.filesets.create(session, upload.ops))


@handles("pfs_v2.API/GetFileSet")
def get_file_set(box: Box, request: Any, call: Call) -> Any:
    kind = m.enum_name(pfs.GetFileSetRequest.FileSetType, request.type)
    repo, ref = m.to_ref(request.commit)
    made = box.filesets.of_commit(repo, ref, diff=kind == "DIFF")
    return pfs.CreateFileSetResponse(file_set_id=made)


@handles("pfs_v2.API/AddFileSet")
def add_file_set(box: Box, request: Any, call: Call) -> Any:
    repo, ref = m.to_ref(request.commit)
    box.filesets.add(repo, ref, request.file_set_id)
    return Empty()


@handles("pfs_v2.API/RenewFileSet")
def renew_file_set(box: Box, request: Any, call: Call) -> Any:
    box.filesets.renew(request.file_set_id, request.ttl_seconds)
    return Empty()


@handles("pfs_v2.API/ComposeFileSet")
def compose_file_set(box: Box, request: Any, call: Call) -> Any:
    # a fileset here is always compact
    made = box.filesets.compose(list(request.file_set_ids), request.ttl_seconds)
    return pfs.CreateFileSetResponse(file_set_id=made)


@handles("pfs_v2.API/ShardFileSet")
def shard_file_set(box: Box, request: Any, call: Call) -> Any:
    found = box.filesets.shards(request.file_set_id, request.num_files, request.size_bytes)
    return pfs.ShardFileSetResponse(
        shards=[pfs.PathRange(lower=lower, upper=upper) for lower, upper in found]
    )


@handles("pfs_v2.API/PutCache")
def put_cache(box: Box, request: Any, call: Call) -> Any:
    record = CacheRecord(
        request.key,
        request.tag,
        request.value.type_url,
        request.value.value,
        tuple(request.file_set_ids),
        utc_now(),
    )
    box.filesets.put_cache(record)
    return Empty()


@handles("pfs_v2.API/GetCache")
def get_cache(box: Box, request: Any, call: Call) -> Any:
    found = box.filesets.get_cache(request.key)
    made = pfs.GetCacheResponse()
    made.value.type_url = found.type_url
    made.value.value = found.value
    return made


@handles("pfs_v2.API/ClearCache")
def clear_cache(box: Box, request: Any, call: Call) -> Any:
    box.filesets.clear_cache(request.tag_prefix)
    return Empty()


# ---- storage.Fileset


@handles("storage.Fileset/CreateFileset")
def create_fileset(box: Box, requests: Iterator[Any], call: Call) -> Any:
    with box.pfs.blobs.session() as session:
        upload = Upload(box.reader, session, trusted=call.local, reach=box.config.url_fetch)
        _modify(upload, requests)
        made = box.filesets.create(session, upload.ops)
    return storage.CreateFilesetResponse(fileset_id=made)


def _modify(upload: Upload, requests: Iterator[Any]) -> None:
    request = next(requests, None)
    while request is not None:
        following: Any = None
        if request.HasField("append_file"):
            raw = Raw(request, requests, _appended)
            upload.put_pieces(raw.path, raw.pieces(), append=True)
            following = raw.next
        elif request.HasField("delete_file"):
            if not request.delete_file.path:
                raise InvalidArgument("delete_file names no path", 'set path; "/" is everything')
            upload.remove(request.delete_file.path, exact=True)
        elif request.HasField("copy_file"):
            copy = request.copy_file
            source = copy.src or "/"
            upload.copy(_REPO, copy.fileset_id, source, copy.dst or source, append=True)
        else:
            raise InvalidArgument("the message modifies nothing", "set append_file, or another")
        request = following if following is not None else next(requests, None)


def _appended(request: Any) -> tuple[str, memoryview] | None:
    if not request.HasField("append_file"):
        return None
    return request.append_file.path, content(request, request.append_file.data.value)


@handles("storage.Fileset/ReadFileset")
def read_fileset(box: Box, request: Any, call: Call) -> Iterator[Any]:
    for file in _wanted(box, request, call):
        if request.empty_files or not file.entry.size:
            yield storage.ReadFilesetResponse(path=file.path)
            continue
        for piece in box.reader.content(file):
            yield storage.ReadFilesetResponse(path=file.path, data=BytesValue(value=bytes(piece)))


def _wanted(box: Box, request: Any, call: Call) -> Iterator[File]:
    """The files that pass every one of the request's filters."""
    every = box.reader.files(_REPO, request.fileset_id, "/")
    found = takewhile(lambda _: not call.cancel.is_set(), every)
    filters = request.filters
    ranges = [(f.path_range.lower, f.path_range.upper) for f in filters if f.HasField("path_range")]
    patterns = [f.path_regex for f in filters if f.HasField("path_regex")]
    inside = (
        file
        for file in found
        if all(lower <= file.path and (not upper or file.path < upper) for lower, upper in ranges)
    )
    if not patterns:
        yield from inside
        return
    with Matcher(patterns, call.cancel.is_set) as matcher:
        yield from (file for file in inside if matcher.matches(file.path))


@handles("storage.Fileset/ReadFilesetCDR")
def read_fileset_cdr(box: Box, request: Any, call: Call) -> Iterator[Any]:
    raise Unimplemented(
        "storage.Fileset/ReadFilesetCDR is not built: it names objects of a bucket by signed URLs, "
        "and the box keeps its content in files of its own",
        "read the content itself: storage.Fileset/ReadFileset",
    )


@handles("storage.Fileset/RenewFileset")
def renew_fileset(box: Box, request: Any, call: Call) -> Any:
    box.filesets.renew(request.fileset_id, request.ttl_seconds)
    return Empty()


@handles("storage.Fileset/ComposeFileset")
def compose_fileset(box: Box, request: Any, call: Call) -> Any:
    made = box.filesets.compose(list(request.fileset_ids), request.ttl_seconds)
    return storage.ComposeFilesetResponse(fileset_id=made)


@handles("storage.Fileset/ShardFileset")
def shard_fileset(box: Box, request: Any, call: Call) -> Any:
    found = box.filesets.shards(request.fileset_id, request.num_files, request.size_bytes)
    return storage.ShardFilesetResponse(
        shards=[storage.PathRange(lower=lower, upper=upper) for lower, upper in found]
    )
