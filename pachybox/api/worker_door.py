"""The worker API: ``pachyderm.worker.Worker`` for the code of one worker, at a port of its own.

    doors = WorkerDoors(box.pps)
    door = doors.open(pipeline)       # its port goes into PPS_WORKER_GRPC_PORT
    door.attach(worker)
    ...
    door.close()

Only pipelines with datum_batching have one. It passes NextDatum on to the socket at which the
worker is asked for the next datum (pachybox/worker/next.py), and answers Status and Cancel from
what the box knows. Only processes of the code's user, of the box's and of root are heard.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from pachybox.api.definitions import pps, worker
from pachybox.errors import NotFound, PachyboxError, Refused
from pachybox.model.ids import CommitId, Job, Pipeline
from pachybox.pps.runners.base import AsksNext
from pachybox.pps.service import Pps

log = logging.getLogger("pachybox.api")

_CALLS = 8  # at once; one of them may be a NextDatum that waits
_SERVICE = "pachyderm.worker.Worker"
_ESTABLISHED = "01"
_OVER_S = 30.0  # how long code is held that asked for a datum when there are no more


class WorkerDoors:
    """Makes the doors of workers."""

    def __init__(self, jobs: Pps) -> None:
        self._jobs = jobs

    def open(self, pipeline: Pipeline) -> WorkerDoor:
        """A door that listens on loopback. Raises Refused when it cannot."""
        return WorkerDoor(self._jobs, pipeline)


class WorkerDoor:
    """The door of one worker; ``port`` is where it listens."""

    def __init__(self, jobs: Pps, pipeline: Pipeline) -> None:
        self._jobs = jobs
        self._pipeline = pipeline
        self._worker: AsksNext | None = None
        self._env: dict[str, str] = {}  # of the datum that the code works on
        self._since = 0.0
        self._asking = threading.Lock()
        self._closed = threading.Event()
        self._server = grpc.server(
            ThreadPoolExecutor(_CALLS, thread_name_prefix="worker-door"),
            options=(("grpc.so_reuseport", 0),),
            maximum_concurrent_rpcs=_CALLS,
        )
        handlers = {
            "Status": self._method(self._status, Empty),
            "Cancel": self._method(self._cancel, worker.CancelRequest),
            "NextDatum": self._method(self._next_datum, worker.NextDatumRequest),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, handlers),)
        )
        try:
            self.port = int(self._server.add_insecure_port("127.0.0.1:0"))
        except RuntimeError as e:
            raise Refused(f"no port for the worker API of pipeline {pipeline}: {e}") from e
        self._server.start()

    def attach(self, worker: AsksNext) -> None:
        """Speak for this worker from now on."""
        self._worker = worker

    def close(self) -> None:
        """Hang up. The worker has ended before."""
        self._closed.set()
        self._server.stop(None)

    def _method(self, answer: Callable[[Any, Any], Any], request: Any) -> Any:
        def handle(message: Any, context: Any) -> Any:
            if not self._is_ours(context.peer()):
                context.abort(
                    grpc.StatusCode.PERMISSION_DENIED,
                    "not authorized to perform this operation: the worker API is for the "
                    "pipeline's own code",
                )
            try:
                return answer(message, context)
            except PachyboxError as e:
                code = next(c for c in grpc.StatusCode if c.value[0] == e.grpc_code)
                context.abort(code, str(e))

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _is_ours(self, peer: str) -> bool:
        """Whether the process at the other end belongs to whom it may."""
        wanted = {0, os.geteuid(), self._worker.code_uid if self._worker else 0}
        return _owner(peer, self.port) in wanted

    def _status(self, _: Any, __: Any) -> Any:
        made = pps.WorkerStatus(worker_id=self._env.get("PPS_POD_NAME", ""))
        if job := self._env.get("PACH_JOB_ID"):
            made.job_id = job
            made.datum_status.started.FromMicroseconds(int(self._since * 1e6))
            for one in self._jobs.running(Job(self._pipeline, CommitId(job))):
                if one.datum.id == self._env.get("PACH_DATUM_ID"):
                    made.datum_status.data.extend(
                        pps.InputFile(path=i.path, hash=i.hash) for i in one.datum.inputs
                    )
        return made

    def _cancel(self, request: Any, _: Any) -> Any:
        try:
            self._jobs.restart_datum(
                Job(self._pipeline, CommitId(request.job_id)), list(request.data_filters)
            )
        except NotFound:
            return worker.CancelResponse(success=False)
        return worker.CancelResponse(success=True)

    def _next_datum(self, request: Any, context: Any) -> Any:
        if not self._asking.acquire(blocking=False):
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "the next datum is waited for already"
            )
        try:
            self._env = {}
            answer = self._ask(request.error, context)
            if answer[:1] == b"e":
                return self._no_more(context)
        finally:
            self._asking.release()
        if answer[:1] != b"d":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the worker ended before it answered")
        lines = [line for line in os.fsdecode(answer[1:]).split("\0") if line]
        self._env = dict(line.split("=", 1) for line in lines)
        self._since = time.time()
        return worker.NextDatumResponse(env=lines)

    def _ask(self, error: str, context: Any) -> bytes:
        """The worker's answer; empty when it is gone, or the caller is."""
        if self._worker is None:
            return b""
        with socket.socket(socket.AF_UNIX) as to:
            # a caller that went away shall be asked for no more
            if not context.add_callback(lambda: _shut(to)):
                return b""
            try:
                to.connect(self._worker.next_socket())
                to.sendall(error.encode("utf-8", "replace"))
                to.shutdown(socket.SHUT_WR)
                with to.makefile("rb") as file:
                    return file.read()
            except OSError as e:
                log.warning("pipeline=%s the worker is not asked: %s", self._pipeline, e)
                return b""

    def _no_more(self, context: Any) -> Any:
        """As in Pachyderm, code is ended when there are no more datums: its loop has no end."""
        assert self._worker is not None
        self._worker.end_code()
        self._closed.wait(_OVER_S)
        context.abort(grpc.StatusCode.UNAVAILABLE, "there are no more datums")


def _shut(to: socket.socket) -> None:
    try:
        to.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it was not connected, or is closed


def _owner(peer: str, door: int) -> int:
    """The user number of the process at ``ipv4:127.0.0.1:PORT`` that is connected to the port
    ``door`` here; -1 when none is found."""
    found = re.fullmatch(r"ipv4:127\.0\.0\.1:(\d+)", peer)
    if found is None:
        return -1
    # gRPC's clients open sockets of IPv6, at which an address of IPv4 is a mapped one
    for table, loopback in (
        ("tcp6", "0000000000000000FFFF00000100007F"),
        ("tcp", "0100007F"),
    ):
        ends = [f"{loopback}:{port:04X}" for port in (int(found[1]), door)]
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:  # no IPv6 here
            continue
        for fields in map(str.split, lines):
            if fields[1:4] == [*ends, _ESTABLISHED]:
                return int(fields[7])
    return -1
