"""Messages for every method: its sample, and more of its fields filled by chance."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from pachybox.api import definitions
from pachybox.api.samples import sample
from pachybox.api.table import Method, Table
from tests.fuzz.noise import BYTES, FLOATS, Noise

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor

METHODS = {method.full_name: method for method in Table()}

STOPPING = frozenset({"pachybox.v1.API/Shutdown", "admin_v2.API/RestartPachyderm"})
"""Do what they are for; only a box that refuses all gets them."""

DEAR = frozenset(
    {"pachybox.v1.API/CollectGarbage", "pachybox.v1.API/Doctor", "pachybox.v1.API/Fsck"}
    | {"pfs_v2.API/Fsck", "debug_v2.Debug/Binary", "debug_v2.Debug/Dump", "debug_v2.Debug/DumpV2"}
    | {"debug_v2.Debug/Profile", "debug_v2.Debug/Trace"}
)
"""Take long by themselves: asked now and then."""

EMPTYING = frozenset(
    {"pfs_v2.API/DeleteAll", "pfs_v2.API/DeleteRepos", "pps_v2.API/DeleteAll"}
    | {"pps_v2.API/DeletePipelines", "pfs_v2.API/DeleteRepo", "pfs_v2.API/DeleteProject"}
    | {"debug_v2.Debug/SetLogLevel", "pps_v2.API/DeletePipeline"}
)
"""After which a box holds no world any more (or logs otherwise)."""

_READS = (
    "Authorize", "Check", "Diff", "Doctor", "Dump", "Extract", "Find", "Flush", "Fsck", "Get",
    "Glob", "Inspect", "List", "PauseStatus", "PipelinesSummary", "Profile", "Read", "Render",
    "ReposSummary", "Resolve", "Status", "Subscribe", "Trace", "Validate", "Walk", "Who", "Binary",
    "CollectGarbage", "Query",
)  # fmt: skip
_WRITES = frozenset(
    {"pfs_v2.API/GetFileSet", "auth_v2.API/GetRobotToken", "pfs_v2.API/CheckStorage"}
)


def writes(method: str) -> bool:
    """Whether a request that is well may change what a box holds."""
    return method in _WRITES or not method.partition("/")[2].startswith(_READS)


def pick(noise: Noise) -> Method:
    """Any method, the dear ones seldom."""
    while True:
        name = noise.choice(_names())
        if name not in DEAR or noise.once_in(10):
            return METHODS[name]


@cache
def _names() -> list[str]:
    return sorted(METHODS)


def requests(noise: Noise, method: Method) -> list[Any]:
    """Valid messages for one call, several when the client streams."""
    found = [
        json_format.Parse(line, method.request_class(), ignore_unknown_fields=True)
        for line in sample(method).splitlines()
    ]
    if method.kind.client_streams and noise.once_in(3):
        noise.shuffle(found)
        found += found[: noise.randrange(3)]
    for message in found:
        if noise.random() < 0.7:
            fill(noise, message)
    return found


def as_json(message: Any) -> Any:
    """The message as JSON's values; what has no such form is left out."""
    try:
        return json_format.MessageToDict(message, preserving_proto_field_name=False)
    except (json_format.Error, ValueError, TypeError, OverflowError, KeyError):
        return json.loads("{}")


def fill(noise: Noise, message: Any, depth: int = 0) -> None:
    """Set some fields of ``message``, whatever they are."""
    fields = list(message.DESCRIPTOR.fields)
    for field in noise.sample(fields, min(len(fields), noise.randrange(4))):
        try:
            _set(noise, message, field, depth)
        except (ValueError, TypeError, OverflowError, UnicodeError):
            continue  # not everything can be held by every field


def _set(noise: Noise, message: Any, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None:
        if depth > 5:
            return
        if field.is_repeated and field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is None:
                getattr(message, field.name)[noise.word()] = noise.word()
            return
        if field.is_repeated:
            for _ in range(noise.choice((1, 1, 2, 30))):
                fill(noise, getattr(message, field.name).add(), depth + 1)
            return
        inner = getattr(message, field.name)
        inner.SetInParent()
        fill(noise, inner, depth + 1)
        return
    values = [_scalar(noise, field) for _ in range(noise.choice((1, 1, 3, 40)))]
    if field.is_repeated:
        getattr(message, field.name).extend(values)
    else:
        setattr(message, field.name, values[0])


def _scalar(noise: Noise, field: FieldDescriptor) -> Any:
    match field.cpp_type:
        case field.CPPTYPE_STRING:
            if field.type == field.TYPE_BYTES:
                return noise.choice(BYTES)
            return noise.word()
        case field.CPPTYPE_BOOL:
            return noise.once_in(2)
        case field.CPPTYPE_FLOAT | field.CPPTYPE_DOUBLE:
            return noise.choice(FLOATS)
        case field.CPPTYPE_ENUM:
            return noise.choice([*(v.number for v in field.enum_type.values), 99, -1])
        case field.CPPTYPE_INT32:
            return noise.choice((0, 1, -1, 7, 2**31 - 1, -(2**31)))
        case field.CPPTYPE_UINT32:
            return noise.choice((0, 1, 7, 2**32 - 1))
        case field.CPPTYPE_UINT64:
            return noise.number() % 2**64
    return noise.number() % 2**64 - 2**63


def wire(noise: Noise, message: Any) -> bytes:
    """The message serialized, whole or with wrong tags, lengths, types and bytes."""
    data: bytes = message.SerializeToString()
    match noise.randrange(8):
        case 0 | 1 | 2:
            return noise.damaged(data)
        case 3:
            return data + _varint(noise.randrange(1 << 29) << 3 | noise.randrange(8)) + data
        case 4:
            return data + _varint(1 << 3 | 2) + _varint(noise.choice((2**31, 2**40, 2**63))) + data
        case 5:
            depth = noise.choice((50, 101, 500, 5000))
            for _ in range(depth):
                data = _varint(noise.choice((1, 1, 2)) << 3 | 2) + _varint(len(data)) + data
            return data
        case 6:
            return bytes([noise.choice((0x0B, 0x0C, 0x13))]) * noise.choice((1, 200, 20_000)) + data
    return data


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


assert all(name in METHODS for name in STOPPING | DEAR | EMPTYING)
assert definitions.service_names()
