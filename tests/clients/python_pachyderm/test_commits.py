"""Projects, repos, branches, commits and transactions through python-pachyderm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import python_pachyderm
from python_pachyderm import RpcError
from python_pachyderm.proto.v2.transaction import transaction_pb2
from python_pachyderm.service import pfs_proto

Client = python_pachyderm.Client
Unique = Callable[[str], str]


def follow(client: Client, repo: str, source: str) -> None:
    """A branch of ``repo`` that follows master of ``source``; its first commit is finished."""
    above = pfs_proto.Branch(repo=pfs_proto.Repo(name=source, type="user"), name="master")
    client.create_branch(repo, "master", provenance=[above])
    client.finish_commit((repo, "master"))


@pytest.fixture
def below(client: Client, repo: str, unique: Unique) -> str:
    """A repo that follows ``repo``."""
    name = unique("below")
    client.create_repo(name)
    follow(client, name, repo)
    return name


def test_repos_and_projects(client: Client, unique: Unique) -> None:
    project, repo = unique("project"), unique("repo")
    client.create_project(project, "what it is for")
    assert client.inspect_project(project).description == "what it is for"
    assert project in [p.project.name for p in client.list_project()]
    client.create_repo(repo, "first", project_name=project)
    client.create_repo(repo, "second", update=True, project_name=project)
    info = client.inspect_repo(repo, project_name=project)
    assert (info.description, info.repo.project.name) == ("second", project)
    chosen = [pfs_proto.Project(name=project)]
    assert [r.repo.name for r in client.list_repo(projects_filter=chosen)] == [repo]
    assert repo not in [r.repo.name for r in client.list_repo() if r.repo.project.name != project]
    with client.commit(repo, "master", project_name=project) as commit:
        client.put_file_bytes(commit, "/f", b"x")
    assert client.get_file(commit, "/f").read() == b"x"
    with pytest.raises(RpcError, match=f"cannot delete project {project}"):
        client.delete_project(project)
    client.delete_repo(repo, project_name=project)
    client.delete_project(project)
    client.delete_repo(unique("never"))  # no error


def test_a_commit_opens_and_finishes(client: Client, repo: str) -> None:
    commit = client.start_commit(repo, "master", description="begun")
    with pytest.raises(RpcError, match=r"parent commit .* has not been finished"):
        client.start_commit(repo, "master")
    client.put_file_bytes(commit, "/f", b"12345")
    client.finish_commit(commit, description="done")
    (info,) = client.inspect_commit(commit, pfs_proto.CommitState.FINISHED)
    assert (info.description, info.details.size_bytes) == ("done", 5)
    assert info.finished.seconds
    assert info.commit.branch.name == "master"
    second = client.start_commit(repo, "patch", parent=commit.id)
    client.finish_commit((repo, "patch"))
    (info,) = client.inspect_commit(second, pfs_proto.CommitState.FINISHED)
    assert info.parent_commit.id == commit.id
    assert [b.branch.name for b in client.list_branch(repo)] == ["patch", "master"]
    assert [b.branch.name for b in client.list_branch(repo, reverse=True)] == ["master", "patch"]


def test_listing_commits(client: Client, repo: str) -> None:
    ids = []
    for _ in range(3):
        with client.commit(repo, "master") as commit:
            pass
        ids.append(commit.id)
    newest = ids[::-1]

    def listed(**fields: object) -> list[str]:
        return [c.commit.id for c in client.list_commit(repo, **fields)]

    assert listed() == newest
    assert listed(number=2) == newest[:2]
    assert listed(reverse=True) == ids
    assert listed(to_commit=(repo, ids[1])) == [ids[1], ids[0]]
    assert listed(to_commit=(repo, ids[2]), from_commit=(repo, ids[0])) == newest[:2]
    assert listed(origin_kind=pfs_proto.OriginKind.AUTO) == []
    assert ids[0] in [s.commit_set.id for s in client.list_commit()]


def test_downstream_commits_open_under_one_id(client: Client, repo: str, below: str) -> None:
    with client.commit(repo, "master") as commit:
        client.put_file_bytes(commit, "/f", b"x")
    client.finish_commit((below, "master"))
    found = client.wait_commit(commit.id)
    assert sorted(c.commit.branch.repo.name for c in found) == sorted([repo, below])
    assert all(c.finished.seconds for c in found)
    assert len(client.wait_commit(commit)) == 1
    branch = client.inspect_branch(below, "master")
    assert [b.repo.name for b in branch.direct_provenance] == [repo]
    assert branch.head.id == commit.id


def test_squashing_and_dropping(client: Client, repo: str, below: str) -> None:
    made = []
    for _ in range(3):
        with client.commit(repo, "master") as commit:
            pass
        client.finish_commit((below, "master"))
        made.append(commit.id)
    client.squash_commit(made[0])
    with pytest.raises(RpcError, match="cannot squash a commit that has no children"):
        client.squash_commit(made[2])
    with pytest.raises(RpcError, match="cannot drop a commit that has children"):
        client.drop_commit(made[1])
    client.drop_commit(made[2])
    assert [c.commit.id for c in client.list_commit(repo)] == [made[1]]
    auto = client.list_commit(below, origin_kind=pfs_proto.OriginKind.AUTO)
    assert next(auto).commit.id == made[1]


def test_a_branch_is_subscribed_to(client: Client, repo: str) -> None:
    found = client.subscribe_commit(repo, "master")
    with client.commit(repo, "master") as first:
        pass
    assert next(found).commit.id == first.id
    with client.commit(repo, "master") as second:
        assert next(found).commit.id == second.id  # open still: STARTED is what was asked for
    found.cancel()


def test_branches_are_made_moved_and_deleted(client: Client, repo: str) -> None:
    with client.commit(repo, "master") as commit:
        pass
    client.create_branch(repo, "release", head_commit=(repo, commit.id))
    assert client.inspect_branch(repo, "release").head.id == commit.id
    client.create_branch(repo, "often", trigger=pfs_proto.Trigger(branch="master", commits=1))
    with client.commit(repo, "master") as newer:
        pass
    assert client.inspect_branch(repo, "often").head.id == newer.id
    client.delete_branch(repo, "often")
    client.delete_branch(repo, "release")
    assert [b.branch.name for b in client.list_branch(repo)] == ["master"]


def test_a_transaction_is_all_or_nothing(client: Client, unique: Unique) -> None:
    one, two = unique("one"), unique("two")
    with client.transaction() as transaction:
        client.create_repo(one)
        client.create_repo(two)
        commits = [client.start_commit(name, "master") for name in (one, two)]
        assert transaction.id in [t.transaction.id for t in client.list_transaction()]
        assert len(client.inspect_transaction(transaction).requests) == 4
        assert one not in [r.repo.name for r in _outside(client).list_repo()]
    assert {c.id for c in commits} == {transaction.id}
    assert client.inspect_branch(one, "master").head.id == transaction.id
    with pytest.raises(RpcError, match="not found"):
        client.inspect_transaction(transaction)
    never = unique("never")
    with pytest.raises(RpcError, match="already exists"), client.transaction():
        [client.create_repo(name) for name in (never, one)]
    assert never not in [r.repo.name for r in client.list_repo()]
    lost = client.start_transaction()
    client.delete_transaction(lost)
    with pytest.raises(RpcError, match="not found"):
        client.delete_transaction(lost)


def _outside(client: Client) -> Client:
    host, _, port = client.address.rpartition(":")
    return Client(host=host, port=int(port))


def test_a_batch_is_one_transaction(client: Client, unique: Unique) -> None:
    names = [unique("batch") for _ in range(3)]

    def request(name: str) -> transaction_pb2.TransactionRequest:
        made = pfs_proto.CreateRepoRequest(repo=pfs_proto.Repo(name=name))
        return transaction_pb2.TransactionRequest(create_repo=made)

    client.batch_transaction([request(name) for name in names])
    assert set(names) <= {r.repo.name for r in client.list_repo()}
    again = unique("batch")
    with pytest.raises(RpcError, match="already exists"):
        client.batch_transaction([request(again), request(names[0])])
    assert again not in [r.repo.name for r in client.list_repo()]


def test_nothing_is_wrong_with_the_store(client: Client) -> None:
    assert [f.error for f in client.fsck() if f.error] == []
