"""pfs_v2.API/Egress: bring a commit to a target by hand."""

from __future__ import annotations

from typing import Any

from pachybox.api.definitions import pfs
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.reading import require_may_write
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotReady
from pachybox.pfs import commits
from pachybox.pps.egress.output import Stopped
from pachybox.pps.egress.target import Database, of_spec


@handles("pfs_v2.API/Egress")
def egress(box: Box, request: Any, call: Call) -> Any:
    fields = m.as_dict(request, proto_names=True)
    names = ("object_storage", "sql_database")
    target = of_spec({"egress": {k: v for k, v in fields.items() if k in names}})
    if target is None:
        raise InvalidArgument("the request names no target", "set object_storage or sql_database")
    require_may_write(target, call)
    commit = commits.readable(box.pfs.resolve(*m.to_ref(request.commit)))
    try:
        done = box.pusher.push(commit.root, target, lambda: not call.cancel.is_set())
    except Stopped:
        raise NotReady("the egress was broken off", "call again") from None
    if isinstance(target, Database):
        return pfs.EgressResponse(
            sql_database=pfs.EgressResponseSqlDatabaseResult(rows_written=done.rows)
        )
    return pfs.EgressResponse(
        object_storage=pfs.EgressResponseObjectStorageResult(bytes_written=done.bytes)
    )
