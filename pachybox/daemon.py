"""The daemon: a box, its doors, and the signals that stop it. The composition root."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType

from pachybox import init, limits, memory
from pachybox.api import door, health
from pachybox.api.access.audit import Audit
from pachybox.api.access.callers import Access, is_remote, require_closed
from pachybox.api.access.policy import Policy
from pachybox.api.access.tokens import Tokens
from pachybox.api.access.world import BoxWorld
from pachybox.api.certificates import of_config
from pachybox.api.gauges import Gauges
from pachybox.api.grpc_door import GrpcDoor
from pachybox.api.handlers import (
    archives,
    backups,
    box_log,
    cluster,
    datums,
    debug,
    differences,
    egress,
    files,
    filesets,
    images,
    ingest_log,
    ingests,
    jobs,
    log_parts,
    pfs,
    pps,
    query_logs,
    reading,
    secrets,
    settings,
    specs,
    system,
    templates,
    tokens,
    trials,
    views,
    webhooks,
)
from pachybox.api.ingest_door import IngestDoor
from pachybox.api.metrics import Metrics
from pachybox.api.s3.door import S3Door
from pachybox.api.s3.gates import DatumGates
from pachybox.api.server import Server
from pachybox.api.table import Table, collect
from pachybox.api.transport import Limits
from pachybox.api.worker_door import WorkerDoors
from pachybox.box import Box
from pachybox.config import Config, load
from pachybox.errors import PachyboxError
from pachybox.notify import Manager, answers

log = logging.getLogger("pachybox.daemon")

_LOG_BYTES = 8 << 20
_LOG_FILES = 4
_HANDLERS = (
    *(pfs, files, filesets, pps, differences, jobs, datums, templates, box_log, query_logs),
    *(secrets, egress, system, cluster, debug, reading, trials, images, ingests, ingest_log),
    *(log_parts, specs, settings, backups),
    views,
    webhooks,
)


class KeyValueFormatter(logging.Formatter):
    """One line a record: ``time=... level=... part=... message``; line breaks are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, a traceback folded into it."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = record.getMessage()
        if record.exc_info:
            text += " traceback=" + repr(self.formatException(record.exc_info))
        text = text.replace("\n", "\\n")
        part = record.name.removeprefix("pachybox.")
        level = record.levelname.lower()
        return f"time={when}.{int(record.msecs):03d}Z level={level} part={part} {text}"


def set_up_logging(path: Path, level: str) -> None:
    """Log to ``path``, rotated, and to standard error when somebody reads that: a terminal, a
    service manager's journal, who looks after the first process of a container."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.raiseExceptions = False  # a disk that takes no line of the log is told of elsewhere
    handlers: list[logging.Handler] = [
        RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES)
    ]
    if _is_read(sys.stderr.fileno()):
        handlers.append(logging.StreamHandler())
    logging.getLogger("pachybox").setLevel(level.upper())
    # What a client sends is no error of the box's; the door says itself what is. SetLogLevel
    # lets it speak.
    logging.getLogger("grpc").setLevel(logging.CRITICAL + 1)
    for handler in handlers:
        handler.setFormatter(KeyValueFormatter())
        for name in ("pachybox", "grpc"):
            logging.getLogger(name).addHandler(handler)
    path.chmod(0o600)


def _is_read(fd: int) -> bool:
    """Whether what is written to ``fd`` is seen or kept by others; it is not bounded here."""
    seen = os.fstat(fd)
    journal = os.environ.get("JOURNAL_STREAM") == f"{seen.st_dev}:{seen.st_ino}"
    return os.isatty(fd) or journal or init.MARK in os.environ


class Doors:
    """The open doors of a box."""

    def __init__(self, server: Server, rpc: GrpcDoor, known: Tokens, audit: Audit) -> None:
        self._server = server
        self._rpc = rpc
        self._known = known
        self._audit = audit
        known.start()
        audit.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """Stop both at once, so that the grace of one is not added to the other's; then what is
        noted of callers."""
        other = threading.Thread(target=self._rpc.stop, args=(grace_s,), name="stop-grpc")
        other.start()
        self._server.stop(grace_s)
        other.join()
        self._known.stop()
        self._audit.stop()


def serve(box: Box) -> Doors:
    """Open the doors of a box. Raises Refused when a port is taken."""
    config = box.config
    known = Tokens(box.meta, box.secrets)
    require_closed(config, known)
    tls = of_config(config)
    access = Access(config.token, known, remote=is_remote(config))
    box.code_token = access.code_token
    box.closed = lambda: access.closed
    audit = Audit(config.audit_file, config.audit_bytes)
    policy = Policy(BoxWorld(box), audit.note)
    ours = tokens.TokenHandlers(known, audit)
    table = Table(collect(box, *_HANDLERS, ours), policy)
    metrics = Metrics(Gauges(box))
    authenticate = access.of_headers
    rpc = GrpcDoor(table, authenticate, metrics, box.plan.requests_bytes, box.plan.connections)
    server = Server(
        table,
        files.FileRoutes(box, policy),
        access=door.Access(authenticate, closed=lambda: access.closed),
        policy=policy,
        limits=Limits(connections=box.plan.connections),
        metrics=metrics,
        archives=archives.ArchiveRoutes(box),
        s3=S3Door(
            box.objects,
            access,
            policy,
            domains=tuple(dict.fromkeys(("localhost", config.s3_domain))),
        ),
        ingest=IngestDoor(box.pushes, access, policy),
        checks=health.checks(box),
    )
    box.doors = [server.troubles, rpc.troubles]
    box.pps.scheduler.shop.gates = DatumGates(closed=lambda: access.closed, metrics=metrics)
    known.on_end(access.end_open)  # before those that look who may go on
    known.on_end(rpc.end_dead)
    known.on_end(server.end_dead)
    doors = Doors(server, rpc, known, audit)
    try:
        host, port = rpc.listen(config.grpc_host, config.grpc_port, tls, inner=tls is not None)
        box.grpc_address = _address("grpcs" if tls else "grpc", host, port)
        host, port = server.listen_tcp(
            config.http_host,
            config.http_port,
            remote=access.closed and tls is not None,
            tls=tls,
        )
        box.address = _address("https" if tls else "http", host, port)
        if tls is not None:
            box.inner_grpc_address = _address("grpc", "127.0.0.1", rpc.inner_port)
            box.inner_address = _address("http", *server.listen_tcp("127.0.0.1", 0))
        server.listen_unix(config.socket)
    except BaseException:
        doors.stop(0.0)
        raise
    return doors


def _address(scheme: str, host: str, port: int) -> str:
    bare = host.strip("[]")
    return f"{scheme}://[{bare}]:{port}" if ":" in bare else f"{scheme}://{bare}:{port}"


def stop_on_signals(box: Box) -> socket.socket:
    """Have SIGTERM and SIGINT stop ``box``. Returns what must stay open until then.

    The kernel hands a signal to any thread, and Python's handler runs in the main one at its
    next step, which may be never while it waits. The handler below Python's wakes a thread.
    """
    waking, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)

    def stop() -> None:
        with waking:
            if waking.recv(1):
                box.request_stop()

    threading.Thread(target=stop, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _noted)
    return wakeup


def _noted(number: int, frame: FrameType | None) -> None:
    """In place of what the signal would do by itself."""


def run(config: Config) -> None:
    """Run a box until it is told to stop (SIGTERM, SIGINT, or a client's shutdown).

    Raises what opening it raises (see Box); once it serves, it returns normally.
    """
    os.umask(0o077)
    faulthandler.enable()  # a watchdog's SIGABRT tells what every thread was at
    manager = Manager.taken()
    memory.one_heap()
    limits.raise_open_files()
    # perf: a look for cycles every 700 objects costs an upload a sixth
    gc.set_threshold(20_000, 50, 100)
    box = Box(config)
    try:
        set_up_logging(config.log_file, config.log_level)
        doors = serve(box)
    except BaseException:
        box.close()
        raise

    wakeup = stop_on_signals(box)
    box.pps.scheduler.pool.doors = WorkerDoors(box.pps)
    box.start()
    log.info("plan %s", limits.told(box.plan))
    log.info(
        "ready address=%s grpc=%s socket=%s pid=%d",
        box.address, box.grpc_address, config.socket, os.getpid(),
    )  # fmt: skip
    manager.ready(
        f"serving at {box.address} and {box.grpc_address}", lambda: answers(config.socket)
    )
    try:
        while not box.wait_stop(memory.TRIM_S):
            box.meta.index_hashes()
            box.meta.checkpoint()
            box.blobs.let_go()
            memory.trim()
    finally:
        log.info("stopping")
        if box.restarting is None:
            manager.stopping()
        else:
            manager.restarting(box.restarting)
        box.end_sources()  # before the doors are shut
        doors.stop()
        box.close()
        log.info("stopped")
        signal.set_wakeup_fd(-1)
        wakeup.close()
    if box.restarting is not None:
        # the same command line in the same process, so that who watches it sees no end
        os.execve(sys.executable, init.same_command(), {**os.environ, **manager.environment})


def main(config: Config | None = None) -> None:
    """What ``pachybox up`` runs."""
    run(config if config is not None else load())


if __name__ == "__main__":
    try:
        main()
    except PachyboxError as error:
        sys.exit(f"pachybox: {error}")
