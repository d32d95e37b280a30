"""pachyderm-sdk, unmodified: projects, repos, branches, commits, files, filesets, transactions."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc as grpcio
import pytest
from pachyderm_sdk import Client
from pachyderm_sdk.api import metadata, pfs, storage, transaction
from pachyderm_sdk.errors import AuthServiceNotActivated, InvalidTransactionOperation

SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
MIB = 1 << 20


def test_the_box_introduces_itself(pachyderm: Client) -> None:
    assert pachyderm.get_version().major == 2
    cluster = pachyderm.admin.inspect_cluster()
    assert cluster.id
    assert cluster.deployment_id
    assert cluster.warnings_ok
    assert not cluster.warnings
    with pytest.raises(AuthServiceNotActivated):
        pachyderm.auth.who_am_i()


def test_projects(pachyderm: Client, unique: Callable[[str], str]) -> None:
    project = pfs.Project(name=unique("lab"))
    pachyderm.pfs.create_project(project=project, description="first")
    with pytest.raises(grpcio.RpcError, match=f"project {project.name} already exists"):
        pachyderm.pfs.create_project(project=project)
    pachyderm.pfs.create_project(project=project, description="second", update=True)
    assert pachyderm.pfs.inspect_project(project=project).description == "second"
    assert project in [info.project for info in pachyderm.pfs.list_project()]
    repo = pfs.Repo(name="r", type="user", project=project)
    pachyderm.pfs.create_repo(repo=repo)
    assert [i.repo for i in pachyderm.pfs.list_repo(projects=[project])] == [repo]
    with pytest.raises(grpcio.RpcError):
        pachyderm.pfs.delete_project(project=project)
    gone = pachyderm.pfs.delete_repos(projects=[project])
    assert gone.repos == [repo]
    pachyderm.pfs.delete_project(project=project)
    assert not pachyderm.pfs.project_exists(project)


def test_repos(pachyderm: Client, repo: pfs.Repo) -> None:
    info = pachyderm.pfs.inspect_repo(repo=repo)
    assert info.repo.name == repo.name
    assert info.repo.project.name == (repo.project.name or "default")
    assert info.description == "of a test"
    assert info.created
    with pytest.raises(grpcio.RpcError, match=r"repo .*/.* already exists") as caught:
        pachyderm.pfs.create_repo(repo=repo)
    assert caught.value.code() == grpcio.StatusCode.ALREADY_EXISTS
    pachyderm.pfs.create_repo(repo=repo, description="changed", update=True)
    assert pachyderm.pfs.inspect_repo(repo=repo).description == "changed"
    assert pachyderm.pfs.repo_exists(repo)
    assert pachyderm.pfs.delete_repo(repo=repo).deleted
    assert not pachyderm.pfs.delete_repo(repo=repo, force=True).deleted
    assert not pachyderm.pfs.repo_exists(repo)


def test_branches(pachyderm: Client, repo: pfs.Repo, master: pfs.Branch) -> None:
    other = pfs.Branch(repo=repo, name="other")
    pachyderm.pfs.create_branch(branch=master)
    assert pachyderm.pfs.branch_exists(master)
    assert not pachyderm.pfs.branch_exists(other)
    with pachyderm.pfs.commit(branch=master) as commit:
        commit.put_file_from_bytes(path="/a", data=b"a")
    pachyderm.pfs.create_branch(branch=other, head=commit)
    assert pachyderm.pfs.inspect_branch(branch=other).head.id == commit.id
    assert {i.branch.name for i in pachyderm.pfs.list_branch(repo=repo)} == {"master", "other"}
    pachyderm.pfs.delete_branch(branch=other)
    with pytest.raises(grpcio.RpcError, match='branch "other" not found in repo'):
        pachyderm.pfs.inspect_branch(branch=other)


def test_a_branch_has_a_head_from_its_beginning(pachyderm: Client, master: pfs.Branch) -> None:
    pachyderm.pfs.create_branch(branch=master)
    head = pachyderm.pfs.inspect_branch(branch=master).head
    assert pachyderm.pfs.inspect_commit(commit=head).finished
    commits = pachyderm.pfs.subscribe_commit(repo=master.repo, branch=master.name)
    assert next(commits).commit.id == head.id
    with pachyderm.pfs.commit(branch=master) as commit:
        pass
    assert next(commits).commit.id == commit.id
    assert list(pachyderm.pfs.list_file(file=pfs.File(commit=head, path="/"))) == []


def test_commits(pachyderm: Client, repo: pfs.Repo, master: pfs.Branch) -> None:
    first = pachyderm.pfs.start_commit(branch=master, description="first")
    with pytest.raises(grpcio.RpcError, match=r"parent commit .* has not been finished"):
        pachyderm.pfs.start_commit(branch=master)
    pachyderm.pfs.finish_commit(commit=first)
    with pytest.raises(grpcio.RpcError, match="has already finished"):
        pachyderm.pfs.finish_commit(commit=first)
    with pachyderm.pfs.commit(branch=master, parent=first) as second:
        second.put_file_from_bytes(path="/a", data=b"abc")
    info = second.wait()
    assert info.finished
    assert info.parent_commit.id == first.id
    assert info.details.size_bytes == 3
    listed = [i.commit.id for i in pachyderm.pfs.list_commit(repo=repo)]
    assert listed == [second.id, first.id]
    assert [i.commit.id for i in pachyderm.pfs.list_commit(repo=repo, number=1)] == [second.id]
    found = list(pachyderm.pfs.inspect_commit_set(commit_set=pfs.CommitSet(id=second.id)))
    assert [i.commit.id for i in found] == [second.id]
    assert any(s.commit_set.id == second.id for s in pachyderm.pfs.list_commit_set())
    assert not pachyderm.pfs.commit_exists(pfs.Commit(branch=master, id="0" * 32))
    pachyderm.pfs.squash_commit_set(commit_set=pfs.CommitSet(id=first.id))
    assert not pachyderm.pfs.commit_exists(first)
    pachyderm.pfs.drop_commit_set(commit_set=pfs.CommitSet(id=second.id))
    assert list(pachyderm.pfs.list_commit(repo=repo)) == []


def test_a_commit_is_found_by_the_file_it_changed(pachyderm: Client, master: pfs.Branch) -> None:
    ids = []
    for data in (b"1", b"1", b"2"):
        with pachyderm.pfs.commit(branch=master) as commit:
            commit.put_file_from_bytes(path="/a", data=data)
        ids.append(commit.id)
    found = pachyderm.pfs.find_commits(start=commit, file_path="/a")
    assert [f.found_commit.id for f in found if f.found_commit] == [ids[2], ids[0]]


def test_files_go_in_in_every_way(pachyderm: Client, master: pfs.Branch, tmp_path: Path) -> None:
    local = tmp_path / "folder"
    (local / "sub").mkdir(parents=True)
    (local / "sub" / "one").write_bytes(b"one")
    (local / "two").write_bytes(b"two")
    large = os.urandom(25 * MIB)
    with pachyderm.pfs.commit(branch=master) as commit:
        commit.put_file_from_bytes(path="/bytes", data=b"bytes")
        commit.put_file_from_bytes(path="/bytes", data=b" and more", append=True)
        commit.put_file_from_bytes(path="/empty", data=b"")
        commit.put_file_from_file(path="/file", file=io.BytesIO(b"file"))
        commit.put_file_from_file(path="/large", file=io.BytesIO(large))
        commit.put_files(source=str(local), path="/folder")
        commit.put_file_from_bytes(path="/gone", data=b"")
        commit.delete_file(path="/gone")
    contents = {
        "/bytes": b"bytes and more",
        "/empty": b"",
        "/file": b"file",
        "/large": large,
        "/folder/sub/one": b"one",
        "/folder/two": b"two",
    }
    for path, data in contents.items():
        file = pfs.File(commit=commit, path=path)
        assert pachyderm.pfs.inspect_file(file=file).size_bytes == len(data)
        with pachyderm.pfs.pfs_file(file) as got:
            assert got.read() == data
    assert not pachyderm.pfs.path_exists(pfs.File(commit=commit, path="/gone"))
    with pachyderm.pfs.commit(branch=master) as later:
        later.copy_file(src=pfs.File(commit=commit, path="/folder"), dst="/copy")
        later.put_file_from_bytes(path="/bytes", data=b"new")
    with pachyderm.pfs.pfs_file(pfs.File(commit=later, path="/copy/two")) as got:
        assert got.read() == b"two"
    with pachyderm.pfs.pfs_file(pfs.File(commit=commit, path="/bytes")) as got:
        assert got.read() == b"bytes and more"


def test_files_are_listed_globbed_and_compared(pachyderm: Client, master: pfs.Branch) -> None:
    with pachyderm.pfs.commit(branch=master) as first:
        for path in ("/a/b/3", "/a/2", "/1"):
            first.put_file_from_bytes(path=path, data=path.encode())
    with pachyderm.pfs.commit(branch=master) as second:
        second.put_file_from_bytes(path="/a/2", data=b"new")
        second.delete_file(path="/1")

    def at(path: str, commit: pfs.Commit = first) -> pfs.File:
        return pfs.File(commit=commit, path=path)

    def paths(found: Iterator[pfs.FileInfo]) -> list[str]:
        return [info.file.path for info in found]

    assert paths(pachyderm.pfs.list_file(file=at("/"))) == ["/1", "/a/"]
    assert paths(pachyderm.pfs.walk_file(file=at("/a"))) == ["/a/", "/a/2", "/a/b/", "/a/b/3"]
    globbed = pachyderm.pfs.glob_file(commit=first, pattern="/{a/*,[0-9]}")
    assert paths(globbed) == ["/1", "/a/2", "/a/b/"]
    marker = pfs.File(commit=first, path="/1")
    assert paths(pachyderm.pfs.list_file(file=at("/"), pagination_marker=marker)) == ["/a/"]
    assert paths(pachyderm.pfs.list_file(file=at("/"), number=1)) == ["/1"]
    assert paths(pachyderm.pfs.list_file(file=at("/"), reverse=True)) == ["/a/", "/1"]
    diff = list(pachyderm.pfs.diff_file(new_file=at("/", second), old_file=at("/")))
    assert {d.old_file.file.path for d in diff if d.old_file} >= {"/1", "/a/2"}
    assert {d.new_file.file.path for d in diff if d.new_file} - {"/"} == {"/a/", "/a/2"}
    moved = list(pachyderm.pfs.diff_file(new_file=at("/1"), old_file=at("/a/2")))
    assert [moved[0].new_file.file.path, moved[1].old_file.file.path] == ["/1", "/a/2"]


def test_paths_exist_or_not(pachyderm: Client, master: pfs.Branch) -> None:
    with pachyderm.pfs.commit(branch=master) as commit:
        commit.put_file_from_bytes(path="/dir/file", data=b"")

    def there(path: str) -> bool:
        return bool(pachyderm.pfs.path_exists(pfs.File(commit=commit, path=path)))

    assert all(map(there, ("/", "/dir", "/dir/", "/dir/file", "/dir/file/")))
    assert not there("/file")
    with pytest.raises(ValueError, match="commit does not exist"):
        pachyderm.pfs.path_exists(pfs.File.from_uri("nowhere@master:/a"))
    with (
        pytest.raises(ValueError, match="PFSFile"),
        pachyderm.pfs.pfs_file(pfs.File(commit=commit, path="/none")),
    ):
        pass


def test_a_directory_comes_out_as_a_tar(
    pachyderm: Client, master: pfs.Branch, tmp_path: Path
) -> None:
    files = {"/a": os.urandom(1000), "/d/b": os.urandom(3 * MIB), "/d/e/c": b""}
    with pachyderm.pfs.commit(branch=master) as commit:
        for path, data in files.items():
            commit.put_file_from_bytes(path=path, data=data)
    with pachyderm.pfs.pfs_tar_file(pfs.File(commit=commit, path="/")) as tar:
        assert isinstance(tar, tarfile.TarFile)
        for member in tar:  # extractall's filter is newer than Python 3.11.2
            tar.extract(member, tmp_path, **SAFELY)
    assert {p: (tmp_path / p[1:]).read_bytes() for p in files} == files
    file = pfs.File(commit=commit, path="/d/b")
    with pachyderm.pfs.pfs_file(file) as got:  # piece by piece, as a program reads it
        assert got.read(10) == files["/d/b"][:10]
        assert got.read() == files["/d/b"][10:]


def test_a_url_is_fetched_by_the_box_unless_it_leads_into_its_network(
    pachyderm: Client, master: pfs.Branch, http: str
) -> None:
    with pytest.raises(grpcio.RpcError) as caught, pachyderm.pfs.commit(branch=master) as commit:
        commit.put_file_from_url(path="/health", url=f"{http}/healthz")
    assert caught.value.code() in (
        *(grpcio.StatusCode.INVALID_ARGUMENT, grpcio.StatusCode.FAILED_PRECONDITION),
    )


def test_filesets(pachyderm: Client, master: pfs.Branch) -> None:
    made = pachyderm.storage.create_fileset(
        iter(
            [
                storage.CreateFilesetRequest(
                    append_file=storage.AppendFile(path=f"/f{n}", data=b"%d" % n)
                )
                for n in range(3)
            ]
        )
    ).fileset_id
    read = pachyderm.storage.read_fileset(fileset_id=made)
    assert {m.path: m.data for m in read} == {f"/f{n}": b"%d" % n for n in range(3)}
    pachyderm.storage.renew_fileset(fileset_id=made, ttl_seconds=60)
    with pachyderm.pfs.commit(branch=master) as commit:
        pachyderm.pfs.add_file_set(commit=commit, file_set_id=made)
    assert len(list(pachyderm.pfs.list_file(file=pfs.File(commit=commit, path="/")))) == 3


def test_metadata(pachyderm: Client, repo: pfs.Repo) -> None:
    edit = metadata.Edit(
        add_key=metadata.EditAddKey(key="owner", value="me"), repo=repo.as_picker()
    )
    pachyderm.metadata.edit_metadata(edits=[edit])
    assert pachyderm.pfs.inspect_repo(repo=repo).metadata == {"owner": "me"}


def test_transactions(grpc: str, repo: pfs.Repo, unique: Callable[[str], str]) -> None:
    client = Client.from_pachd_address(grpc)
    one, two = (pfs.Repo.from_uri(unique("repo")) for _ in range(2))
    with client.transaction.transaction() as running:
        client.pfs.create_repo(repo=one)
        client.pfs.create_repo(repo=two)
        branch = pfs.Branch(repo=one, name="master")
        with client.pfs.commit(branch=branch) as commit, pytest.raises(InvalidTransactionOperation):
            commit.put_file_from_bytes(path="/a", data=b"")
        info = client.transaction.inspect_transaction(transaction=running)
        assert len(info.requests) == 4
        listed = client.transaction.list_transaction().transaction_info
        assert running.id in [i.transaction.id for i in listed]
    assert not client.transaction.transaction_exists(running)
    assert client.pfs.repo_exists(one)
    assert client.pfs.repo_exists(two)
    assert client.pfs.inspect_commit(commit=commit).finished
    dropped = client.transaction.start_transaction()
    client.transaction_id = dropped.id
    client.pfs.delete_repo(repo=one)
    client.transaction_id = None
    client.transaction.delete_transaction(transaction=dropped)
    assert not client.transaction.transaction_exists(dropped)
    assert client.pfs.repo_exists(one)
    client.transaction.batch_transaction(
        requests=[
            transaction.TransactionRequest(delete_repo=pfs.DeleteRepoRequest(repo=each))
            for each in (one, two)
        ]
    )
    assert not client.pfs.repo_exists(one)
