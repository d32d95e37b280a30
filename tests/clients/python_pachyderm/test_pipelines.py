"""Pipelines, jobs, datums, logs and secrets through python-pachyderm."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import python_pachyderm
from python_pachyderm import RpcError
from python_pachyderm.service import pps_proto

Client = python_pachyderm.Client
Unique = Callable[[str], str]


class Made(NamedTuple):
    """A pipeline and its first job with data."""

    name: str
    job: str


@pytest.fixture
def made(client: Client, repo: str, unique: Unique) -> Made:
    """A pipeline that copies, and has."""
    name = unique("pipeline")
    client.create_pipeline(
        name,
        transform=pps_proto.Transform(
            cmd=["sh"],
            image="alpine",  # which this box ignores: it runs processes
            stdin=[f"cp /pfs/{repo}/* /pfs/out/", "echo copied"],
        ),
        input=pps_proto.Input(pfs=pps_proto.PFSInput(glob="/*", repo=repo)),
        description="copies",
    )
    with client.commit(repo, "master") as commit:
        client.put_file_bytes(commit, "/file.dat", b"DATA")
    client.wait_commit(commit.id)
    return Made(name, commit.id)


def test_a_pipeline_runs(client: Client, repo: str, made: Made) -> None:
    (job,) = client.inspect_job(made.job, made.name, wait=True, details=True)
    assert job.state == pps_proto.JobState.JOB_SUCCESS
    assert (job.data_processed, job.data_total) == (1, 1)
    assert client.get_file((made.name, made.job), "/file.dat").read() == b"DATA"
    jobs = list(client.list_job(made.name))
    assert jobs[0].job.id == made.job
    assert len(jobs) == 2  # the branch it reads had a head, which was empty, from its making on
    found = client.list_job(made.name, input_commit=(repo, made.job))
    assert [j.job.id for j in found] == [made.job]
    assert made.job in [s.job_set.id for s in client.list_job()]
    (info,) = client.inspect_pipeline(made.name, details=True)
    assert (info.details.description, info.version) == ("copies", 1)
    assert made.name in [p.pipeline.name for p in client.list_pipeline(history=-1)]


def test_datums_of_a_job(client: Client, made: Made) -> None:
    (datum,) = client.list_datum(made.name, made.job)
    assert datum.state == pps_proto.DatumState.SUCCESS
    info = client.inspect_datum(made.name, made.job, datum.datum.id)
    assert [d.file.path for d in info.data] == ["/file.dat"]
    with pytest.raises(RpcError, match=rf"could not be found for job ID {made.job}"):
        client.restart_datum(made.name, made.job)
    files = client.list_file((made.name, made.job), "/", datum=datum.datum.id)
    assert [f.file.path for f in files] == ["/file.dat"]


def test_logs_of_pipelines_and_jobs(client: Client, made: Made) -> None:
    lines = list(client.get_pipeline_logs(made.name))
    assert "copied" in [line.message for line in lines if line.user]
    assert [line for line in lines if not line.user]  # the worker says what it does
    assert next(client.get_pipeline_logs(made.name, master=True)).master
    lines = list(client.get_job_logs(made.name, made.job, tail=1))
    assert len(lines) == 1
    assert lines[0].job_id == made.job


def test_stopping_starting_and_deleting(client: Client, made: Made) -> None:
    client.stop_job(made.job, made.name)  # it is over: nothing happens
    client.stop_pipeline(made.name)
    (info,) = client.inspect_pipeline(made.name)
    assert info.stopped
    client.start_pipeline(made.name)
    (info,) = client.inspect_pipeline(made.name)
    assert not info.stopped
    before = len(list(client.list_job(made.name)))
    client.delete_job(made.job, made.name)
    assert len(list(client.list_job(made.name))) == before - 1
    with pytest.raises(RpcError, match=r"pipeline.*have a cron input"):
        client.run_cron(made.name)
    client.delete_pipeline(made.name)
    assert made.name not in [p.pipeline.name for p in client.list_pipeline()]
    with pytest.raises(RpcError, match=f'pipeline ".*{made.name}" not found'):
        list(client.inspect_pipeline(made.name))


def test_a_pipeline_from_a_request_and_its_next_version(
    client: Client, repo: str, unique: Unique
) -> None:
    name = unique("pipeline")
    request = python_pachyderm.parse_dict_pipeline_spec(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"glob": "/*", "repo": repo}},
            "transform": {"cmd": ["true"], "image": "alpine"},
        }
    )
    client.create_pipeline_from_request(request)
    with pytest.raises(RpcError, match=f'pipeline ".*{name}" already exists'):
        client.create_pipeline_from_request(request)
    request.update = True
    client.create_pipeline_from_request(request)
    versions = client.inspect_pipeline(name, history=-1)
    assert [p.version for p in versions] == [2, 1]
    client.delete_pipeline(name)


def test_secrets(client: Client, unique: Unique) -> None:
    name = unique("secret")
    client.create_secret(name, {"key": "value"})
    assert client.inspect_secret(name).secret.name == name
    assert name in [s.secret.name for s in client.list_secret()]
    client.delete_secret(name)
    with pytest.raises(RpcError, match="not found"):
        client.inspect_secret(name)
