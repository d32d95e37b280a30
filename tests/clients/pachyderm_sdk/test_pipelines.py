"""pachyderm-sdk, unmodified: pipelines, jobs, datums, logs, secrets; and programs within a job."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import grpc as grpcio
import pytest
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps


class Made:
    """A pipeline that upper-cases texts, its input and its first job."""

    def __init__(self, client: Client, repo: pfs.Repo, name: str) -> None:
        self.client = client
        self.input = pfs.Branch(repo=repo, name="master")
        self.pipeline = pps.Pipeline(project=repo.project, name=name)
        self.spec = {
            "input": pps.Input(
                pfs=pps.PfsInput(project=repo.project.name, repo=repo.name, glob="/*", name="texts")
            ),
            "transform": pps.Transform(
                cmd=["sh"],
                image="alpine",
                stdin=[
                    "echo at work",
                    "for f in /pfs/texts/*; do tr a-z A-Z < $f > /pfs/out/${f##*/}; done",
                ],
            ),
        }
        client.pps.create_pipeline(pipeline=self.pipeline, **self.spec)
        self.job = self.put(a=b"one", b=b"two")

    def put(self, **files: bytes) -> pps.JobInfo:
        """Commit files; the job over."""
        with self.client.pfs.commit(branch=self.input) as commit:
            for path, data in files.items():
                commit.put_file_from_bytes(path=f"/{path}", data=data)
        commit.wait_all()
        job = pps.Job(pipeline=self.pipeline, id=commit.id)
        return self.client.pps.inspect_job(job=job, wait=True, details=True)


@pytest.fixture
def made(pachyderm: Client, repo: pfs.Repo, unique: Callable[[str], str]) -> Iterator[Made]:
    """A pipeline and its first job."""
    found = Made(pachyderm, repo, unique("upper"))
    yield found
    pachyderm.pps.delete_pipeline(pipeline=found.pipeline, force=True)


def test_a_pipeline_from_its_creation_to_its_end(pachyderm: Client, made: Made) -> None:
    assert made.job.state == pps.JobState.JOB_SUCCESS
    assert (made.job.data_total, made.job.data_processed) == (2, 2)
    with pachyderm.pfs.pfs_file(pfs.File(commit=made.job.output_commit, path="/a")) as got:
        assert got.read() == b"ONE"
    second = made.put(c=b"three")
    assert (second.data_processed, second.data_skipped) == (1, 2)
    pachyderm.pps.create_pipeline(pipeline=made.pipeline, update=True, reprocess=True, **made.spec)
    info = pachyderm.pps.inspect_pipeline(pipeline=made.pipeline, details=True)
    assert info.version == 2
    assert info.details.transform.cmd == ["sh"]
    assert json.loads(info.user_spec_json)["transform"]["cmd"] == ["sh"]
    assert json.loads(info.effective_spec_json)["pipeline"]["name"] == made.pipeline.name
    assert pachyderm.pps.pipeline_exists(made.pipeline)
    listed = [i.pipeline.name for i in pachyderm.pps.list_pipeline()]
    assert made.pipeline.name in listed
    pachyderm.pps.stop_pipeline(pipeline=made.pipeline)
    assert pachyderm.pps.inspect_pipeline(pipeline=made.pipeline).stopped
    pachyderm.pps.start_pipeline(pipeline=made.pipeline)
    assert not pachyderm.pps.inspect_pipeline(pipeline=made.pipeline).stopped
    with pytest.raises(grpcio.RpcError, match=r"pipeline.*have a cron input"):
        pachyderm.pps.run_cron(pipeline=made.pipeline)
    pachyderm.pps.delete_pipeline(pipeline=made.pipeline)
    assert not pachyderm.pps.pipeline_exists(made.pipeline)
    with pytest.raises(grpcio.RpcError, match=r'pipeline ".*" not found'):
        pachyderm.pps.inspect_pipeline(pipeline=made.pipeline)


def test_jobs_and_datums(pachyderm: Client, made: Made) -> None:
    job = made.job.job
    listed = [i.job.id for i in pachyderm.pps.list_job(pipeline=made.pipeline)]
    assert len(listed) == 2  # the first was of the empty commit that the branch began with
    assert listed[0] == job.id
    jobs = pachyderm.pps.inspect_job_set(job_set=pps.JobSet(id=job.id), wait=True)
    assert [i.job.pipeline.name for i in jobs] == [made.pipeline.name]
    assert any(s.job_set.id == job.id for s in pachyderm.pps.list_job_set())
    datums = list(pachyderm.pps.list_datum(job=job))
    assert len(datums) == 2
    one = pachyderm.pps.inspect_datum(datum=datums[0].datum)
    assert one.state == pps.DatumState.SUCCESS
    assert one.data[0].file.path in ("/a", "/b")
    with pytest.raises(grpcio.RpcError, match=rf"datum matching filter \[.*\] .* job ID {job.id}"):
        pachyderm.pps.restart_datum(job=job)
    pachyderm.pps.stop_job(job=job)
    assert pachyderm.pps.inspect_job(job=job).state == pps.JobState.JOB_SUCCESS
    pachyderm.pps.delete_job(job=job)
    assert not pachyderm.pps.job_exists(job)


def test_logs(pachyderm: Client, made: Made) -> None:
    messages = [m.message for m in pachyderm.pps.get_logs(job=made.job.job) if m.user]
    assert [m.strip() for m in messages] == ["at work"] * 2
    assert next(pachyderm.pps.get_logs(pipeline=made.pipeline, follow=True))
    assert next(pachyderm.pps.get_logs(pipeline=made.pipeline, follow=True, master=True))


def test_datums_of_an_input_without_a_pipeline(pachyderm: Client, master: pfs.Branch) -> None:
    with pachyderm.pfs.commit(branch=master) as commit:
        for number in range(25):
            commit.put_file_from_bytes(path=f"/{number:02}", data=b"")
    given = pps.PfsInput(project=master.repo.project.name, repo=master.repo.name, glob="/*")
    datums = pachyderm.pps.generate_datums(input_spec=pps.Input(pfs=given), batch_size=10)
    assert len(next(datums)) == 10
    assert len(datums.send(5)) == 5
    assert len(next(datums)) == 10
    with pytest.raises(StopIteration):
        next(datums)
    listed = list(pachyderm.pps.list_datum(input=pps.Input(pfs=given)))
    assert len(listed) == 25


def test_secrets(pachyderm: Client, unique: Callable[[str], str]) -> None:
    secret = pps.Secret(name=unique("secret"))
    pachyderm.pps.create_secret(name=secret.name, data={"key": "value"})
    info = pachyderm.pps.inspect_secret(secret=secret)
    assert info.secret.name == secret.name
    assert secret.name in [i.secret.name for i in pachyderm.pps.list_secret().secret_info]
    pachyderm.pps.delete_secret(secret=secret)
    with pytest.raises(grpcio.RpcError):
        pachyderm.pps.inspect_secret(secret=secret)


PROGRAM = """
import os, sys
sys.path[:0] = {path!r}
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs
client = Client.new_in_cluster()
branch = pfs.Branch.from_uri({target!r})
with client.pfs.commit(branch=branch) as commit:
    commit.put_file_from_bytes(path="/said", data=os.environ["PACH_JOB_ID"].encode())
open("/pfs/out/version", "w").write(str(client.get_version().major))
"""


def test_a_program_in_a_job_reaches_the_box(
    pachyderm: Client, repo: pfs.Repo, master: pfs.Branch, unique: Callable[[str], str]
) -> None:
    target = pfs.Repo(name=unique("said"), type="user", project=pfs.Project(name="default"))
    pachyderm.pfs.create_repo(repo=target)
    pipeline = pps.Pipeline(project=repo.project, name=unique("within"))
    program = PROGRAM.format(path=sys.path, target=f"{target.as_uri()}@master")
    pachyderm.pps.create_pipeline(
        pipeline=pipeline,
        input=pps.Input(
            pfs=pps.PfsInput(project=repo.project.name, repo=repo.name, glob="/", name="in")
        ),
        transform=pps.Transform(cmd=[sys.executable, "-c", program]),
    )
    with pachyderm.pfs.commit(branch=master) as commit:
        commit.put_file_from_bytes(path="/a", data=b"")
    job = pachyderm.pps.inspect_job(job=pps.Job(pipeline=pipeline, id=commit.id), wait=True)
    assert job.state == pps.JobState.JOB_SUCCESS, job.reason
    said = pfs.File.from_uri(f"{target.as_uri()}@master:/said")
    with pachyderm.pfs.pfs_file(said) as got:
        assert got.read().decode() == commit.id
    pachyderm.pps.delete_pipeline(pipeline=pipeline, force=True)


BATCHED = """
import os, sys
sys.path[:0] = {path!r}
from pachyderm_sdk import batch_all_datums
print("started once")

@batch_all_datums
def main():
    (name,) = os.listdir("/pfs/in")
    if name == "bad":
        raise ValueError(name)
    open("/pfs/out/" + name, "w").write(str(os.getpid()))

main()
"""


def test_a_program_may_take_datums_one_after_the_other(
    pachyderm: Client, repo: pfs.Repo, master: pfs.Branch, unique: Callable[[str], str]
) -> None:
    pipeline = pps.Pipeline(project=repo.project, name=unique("batched"))
    with pachyderm.pfs.commit(branch=master) as commit:
        for name in ("a", "b", "c", "bad"):
            commit.put_file_from_bytes(path=f"/{name}", data=b"")
    pachyderm.pps.create_pipeline(
        pipeline=pipeline,
        input=pps.Input(
            pfs=pps.PfsInput(project=repo.project.name, repo=repo.name, glob="/*", name="in")
        ),
        transform=pps.Transform(
            cmd=[sys.executable, "-c", BATCHED.format(path=sys.path)],
            err_cmd=["true"],
            datum_batching=True,
        ),
        parallelism_spec=pps.ParallelismSpec(constant=1),
    )
    started = next(pachyderm.pps.list_job(pipeline=pipeline))
    job = pachyderm.pps.inspect_job(job=started.job, wait=True)
    assert job.state == pps.JobState.JOB_SUCCESS, job.reason
    root = pfs.File(commit=job.output_commit, path="/")
    assert [i.file.path for i in pachyderm.pfs.list_file(file=root)] == ["/a", "/b", "/c"]
    pachyderm.pps.delete_pipeline(pipeline=pipeline, force=True)
