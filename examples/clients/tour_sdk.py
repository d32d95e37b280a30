"""The tour with Pachyderm's own Python SDK, unmodified:  pip install pachyderm-sdk

The box takes its gRPC at localhost:30650, as a cluster does; $PACHD_ADDRESS names another place.
"""

import os

from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps

COUNT = 'for f in /pfs/tour-sdk/*; do wc -w < "$f" > "/pfs/out/${f##*/}"; echo "counted $f"; done'

client = Client.from_pachd_address(os.environ.get("PACHD_ADDRESS", "grpc://localhost:30650"))
repo = pfs.Repo.from_uri("tour-sdk")
branch = pfs.Branch.from_uri("tour-sdk@master")
pipeline = pps.Pipeline(name="words-sdk", project=pfs.Project(name="default"))

# A repo, and two files in one commit.
client.pfs.create_repo(repo=repo, update=True)
with client.pfs.commit(branch=branch) as commit:
    commit.put_file_from_bytes(path="/hamlet", data=b"to be or not to be\n")
    commit.put_file_from_bytes(path="/merchant", data=b"the quality of mercy is not strained\n")
commit.wait()

for info in client.pfs.list_file(file=pfs.File.from_uri("tour-sdk@master:/")):
    print(info.file.path, info.size_bytes, "bytes")
with client.pfs.pfs_file(pfs.File.from_uri("tour-sdk@master:/hamlet")) as file:
    print(file.read().decode(), end="")

# A pipeline: a datum for each file. The commit it makes waits for its job.
client.pps.create_pipeline(
    pipeline=pipeline,
    transform=pps.Transform(cmd=["sh"], stdin=[COUNT]),
    input=pps.Input(pfs=pps.PfsInput(repo="tour-sdk", glob="/*")),
    update=True,
)
head = client.pfs.inspect_branch(branch=pfs.Branch.from_uri("words-sdk@master")).head
client.pfs.wait_commit(head)
for message in client.pps.get_logs(pipeline=pipeline):
    print("log:", message.message)

with client.pfs.pfs_tar_file(pfs.File(commit=head, path="/")) as tar:
    for member in tar:
        content = tar.extractfile(member)
        if content is not None:
            print(f"/{member.name.lstrip('/')}: {content.read().decode().strip()}")
