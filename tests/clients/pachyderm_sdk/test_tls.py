"""The SDK over grpcs, with the certificate of the box's CA."""

from __future__ import annotations

import os
from pathlib import Path

from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs


def test_files_go_both_ways_over_tls() -> None:
    client = Client.from_pachd_address(
        os.environ["PACHYBOX_TLS_GRPC"],
        auth_token=os.environ["PACHYBOX_TOKEN"],
        root_certs=Path(os.environ["PACHYBOX_TLS_CA"]).read_bytes(),
    )
    repo = pfs.Repo(name="sdk", type="user")
    client.pfs.create_repo(repo=repo)
    content = os.urandom(5_000_000)
    with client.pfs.commit(branch=pfs.Branch(repo=repo, name="master")) as commit:
        commit.put_file_from_bytes(path="/x", data=content)
    with client.pfs.pfs_file(file=pfs.File(commit=commit, path="/x")) as file:
        assert file.read() == content
