"""pps_v2.API and our method on secrets: names, types and times; never a value."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty

from pachybox.api.definitions import box as ours
from pachybox.api.definitions import pps
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument
from pachybox.meta.tables import SecretRecord


def _name(request: Any) -> str:
    if not request.secret.name:
        raise InvalidArgument("the request names no secret", "set secret.name")
    return str(request.secret.name)


def secret_info(record: SecretRecord) -> Any:
    """pps_v2.SecretInfo."""
    return pps.SecretInfo(
        secret=pps.Secret(name=record.name),
        type=record.type,
        creation_timestamp=m.timestamp(record.created),
    )


@handles("pps_v2.API/CreateSecret")
def create_secret(box: Box, request: Any, call: Call) -> Any:
    box.secrets.create(request.file)
    return Empty()


@handles("pps_v2.API/InspectSecret")
def inspect_secret(box: Box, request: Any, call: Call) -> Any:
    return secret_info(box.secrets.inspect(_name(request)))


@handles("pps_v2.API/ListSecret")
def list_secret(box: Box, request: Any, call: Call) -> Any:
    return pps.SecretInfos(secret_info=map(secret_info, box.secrets.list()))


@handles("pps_v2.API/DeleteSecret")
def delete_secret(box: Box, request: Any, call: Call) -> Any:
    box.secrets.delete(_name(request))
    return Empty()


@handles("pachybox.v1.API/DeleteSecret")
def force_delete_secret(box: Box, request: Any, call: Call) -> Any:
    box.secrets.delete(request.name, force=request.force)
    return ours.DeleteSecretResponse()
