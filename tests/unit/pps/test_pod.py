"""What the runner of Pods is told of a pipeline, and the ports that its programs have."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pachybox.errors import InvalidArgument, Refused
from pachybox.meta.writer import Meta
from pachybox.model.ids import CommitId, Pipeline
from pachybox.model.pps import PipelineRecord, PipelineState
from pachybox.pps import pod, ports
from pachybox.pps.ports import Publisher
from pachybox.pps.program import Program
from pachybox.pps.runners.base import WorkerWaits
from pachybox.pps.secrets import Secrets

LOGINS = {"registry.example": {"auth": "bWU6c2VjcmV0"}}


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Secrets]:
    meta = Meta(tmp_path / "meta.duckdb")
    yield Secrets(meta, tmp_path / "secret.key")
    meta.close()


def record(name: str = "edges", runner: str = "kubernetes", **spec: Any) -> PipelineRecord:
    now = datetime.now(UTC)
    return PipelineRecord(
        Pipeline("vision", name), 7, {"transform": {}, **spec}, "", "", PipelineState.RUNNING, "",
        False, now, now, CommitId("0" * 32), runner,
    )  # fmt: skip


def secret(name: str, kind: str, **values: str) -> bytes:
    body = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind,
        "stringData": values,
    }  # fmt: skip
    return json.dumps(body).encode()


def test_a_runner_is_told_what_makes_the_pods(secrets: Secrets) -> None:
    """Whose they are, the fields of the spec that are there, the service with its type."""
    limits = {"cpu": 1.0}
    spout = {"service": {"internal_port": 80}}
    given = record(resource_limits=limits, tolerations=[], pod_spec="{}", spout=spout)
    assert pod.told(given, secrets) == {
        "project": "vision",
        "pipeline": "edges",
        "version": 7,
        "spec_commit": "0" * 32,
        "spec": {
            "resource_limits": limits,
            "pod_spec": "{}",
            "service": {"internal_port": 80, "type": "ClusterIP"},
        },
        "logins": {},
    }


def test_logins_of_the_box_go_along_and_other_names_are_the_clusters(secrets: Secrets) -> None:
    """Both forms come as the newer one; a name that the box does not know is no mistake."""
    whole = json.dumps({"auths": LOGINS})
    secrets.create(secret("new", "kubernetes.io/dockerconfigjson", **{".dockerconfigjson": whole}))
    secrets.create(secret("old", "kubernetes.io/dockercfg", **{".dockercfg": json.dumps(LOGINS)}))
    given = record(transform={"image_pull_secrets": ["new", "old", "theirs"]})
    told = pod.told(given, secrets)
    assert told["spec"]["image_pull_secrets"] == ["new", "old", "theirs"]
    assert {name: json.loads(text) for name, text in told["logins"].items()} == {
        "new": {"auths": LOGINS},
        "old": {"auths": LOGINS},
    }


def test_a_secret_without_a_login_is_no_pull_secret(secrets: Secrets) -> None:
    secrets.create(secret("db", "Opaque", password="x"))
    with pytest.raises(InvalidArgument, match=r"secret db .* holds no login of a registry"):
        pod.told(record(transform={"image_pull_secrets": ["db"]}), secrets)


# ---- ports


def test_in_pods_the_ports_of_programs_are_their_own() -> None:
    """Two may listen on one; where users connect is this machine's all the same."""
    spec = {"service": {"internal_port": 80, "external_port": 8001}}
    other = record("other", service={"internal_port": 80, "external_port": 8002})
    ports.check(Pipeline("vision", "mine"), spec, "kubernetes", [other])
    same = record("same", service={"internal_port": 90, "external_port": 8001})
    with pytest.raises(Refused, match="port 8001"):
        ports.check(Pipeline("vision", "mine"), spec, "kubernetes", [same])
    process = record("process", "process", service={"internal_port": 8001, "external_port": 9})
    with pytest.raises(Refused) as caught:
        ports.check(Pipeline("vision", "mine"), spec, "kubernetes", [process])
    assert caught.value.field == "service.external_port"


def test_connections_are_carried_to_where_the_program_is() -> None:
    """At the same number too, which is another machine's to the box."""
    with socket.create_server(("127.0.0.2", 0)) as program:
        port = program.getsockname()[1]
        where = "127.0.0.2"
        publisher = Publisher({"internal_port": port}, lambda: where, runner="kubernetes")
        publisher.ready(lambda: False)
        try:
            with socket.create_connection(("127.0.0.1", port), 10) as user:
                inner, _ = program.accept()
                with inner:
                    inner.sendall(b"here")
                    assert user.recv(10) == b"here"
        finally:
            publisher.close()


# ---- programs that wait for a worker


class _Pool:
    """Has no worker yet."""

    def take(self, _pipeline: PipelineRecord) -> Any:
        raise WorkerWaits("no place yet")


def test_a_program_waits_for_its_worker_until_it_is_stopped() -> None:
    """It says why, once, and ends well when nobody wants it any more."""
    said: list[WorkerWaits | None] = []
    told = threading.Event()

    def waits(why: WorkerWaits | None) -> None:
        said.append(why)
        told.set()

    pool: Any = _Pool()
    program = Program(pool, record(), lambda _: pytest.fail("it has no worker"), waits)
    ends: list[str] = []
    thread = threading.Thread(target=lambda: ends.append(program.run()))
    thread.start()
    assert told.wait(10)
    assert program.address() == ""
    program.stop()
    thread.join(10)
    assert ends == [""]
    assert [str(one) for one in said] == ["no place yet"]
