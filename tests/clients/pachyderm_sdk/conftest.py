"""A client of pachyderm-sdk, and repos of a test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs


@pytest.fixture(scope="session")
def pachyderm(grpc: str) -> Client:
    """The SDK's client, made as its manual says."""
    return Client.from_pachd_address(f"grpc://{grpc}")


@pytest.fixture(params=["", "project"])
def repo(
    request: pytest.FixtureRequest, pachyderm: Client, unique: Callable[[str], str]
) -> pfs.Repo:
    """A new repo: in the default project, and in one of its own."""
    project = pfs.Project(name=unique("project")) if request.param else pfs.Project(name="")
    if request.param:
        pachyderm.pfs.create_project(project=project)
    made = pfs.Repo(name=unique("repo"), type="user", project=project)
    pachyderm.pfs.create_repo(repo=made, description="of a test")
    return made


@pytest.fixture
def master(repo: pfs.Repo) -> pfs.Branch:
    """Its branch master, which is not made yet."""
    return pfs.Branch(repo=repo, name="master")
