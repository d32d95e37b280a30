"""Files through python-pachyderm: written, read, listed, compared, copied."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import python_pachyderm
from python_pachyderm import RpcError
from python_pachyderm.service import pfs_proto

Client = python_pachyderm.Client


def paths(found: object) -> list[str]:
    return [info.file.path for info in found]  # type: ignore[attr-defined]


def test_bytes_streams_and_files_in_one_commit(client: Client, repo: str, file: Path) -> None:
    with client.modify_file_client((repo, "master")) as put:
        put.put_file_from_bytes("/bytes", b"one")
        put.put_file_from_fileobj("/stream", io.BytesIO(b"two"))
        put.put_file_from_filepath("/path", str(file))
        put.put_file_from_bytes("/empty", b"")
    head = (repo, "master")
    assert paths(client.list_file(head, "/")) == ["/bytes", "/empty", "/path", "/stream"]
    assert client.get_file(head, "/path").read() == file.read_bytes()
    assert client.inspect_file(head, "empty").size_bytes == 0
    assert len(list(client.list_commit(repo))) == 1
    with client.modify_file_client(head) as put:
        put.delete_file("/bytes")
        put.put_file_from_bytes("/stream", b"+", append=True)
    assert client.get_file(head, "/stream").read() == b"two+"
    assert not client.path_exists(head, "/bytes")


def test_a_file_larger_than_a_message(client: Client, repo: str) -> None:
    data = bytes(range(256)) * (21 << 12)
    with client.commit(repo, "master") as commit:
        client.put_file_bytes(commit, "big", data)
        client.put_file_bytes(commit, "big", data[:10])  # overwritten, then appended to
        client.put_file_bytes(commit, "big", data, append=True)
    got = client.get_file(commit, "big")
    assert got.read(5) == data[:5]
    assert got.read() == data[5:10] + data
    assert client.get_file(commit, "big", offset=len(data)).read() == data[-10:]


def test_a_directory_as_a_tar(client: Client, repo: str, folder: Path) -> None:
    python_pachyderm.put_files(client, str(folder), (repo, "master"), "/")
    with client.get_file_tar((repo, "master"), "/**") as tar:
        assert isinstance(tar, tarfile.TarFile)
        got = {m.name.lstrip("/"): tar.extractfile(m).read() for m in tar if m.isfile()}
    wanted = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert got == {name: path.read_bytes() for name, path in wanted.items()}


def test_listing_walking_and_globbing(client: Client, repo: str) -> None:
    with client.commit(repo, "master") as commit:
        for path in ("/a/b/1", "/a/2", "/3", "/4.txt"):
            client.put_file_bytes(commit, path, path.encode())
    assert paths(client.list_file(commit, "/")) == ["/3", "/4.txt", "/a/"]
    assert paths(client.walk_file(commit, "/a")) == ["/a/", "/a/2", "/a/b/", "/a/b/1"]
    assert paths(client.glob_file(commit, "/*.txt")) == ["/4.txt"]
    assert paths(client.glob_file(commit, "/**/1")) == ["/a/b/1"]
    edges = pfs_proto.PathRange(lower="/4", upper="/a")
    assert paths(client.glob_file(commit, "/*", path_range=edges)) == ["/4.txt"]
    marker = pfs_proto.File(path="/3")
    assert paths(client.list_file(commit, "/", pagination_marker=marker, number=1)) == ["/4.txt"]
    assert paths(client.list_file(commit, "/", number=2, reverse=True)) == ["/a/", "/4.txt"]
    info = client.inspect_file(commit, "/a/")
    assert (info.file_type, info.size_bytes) == (pfs_proto.FileType.DIR, 10)
    assert info.file.commit.branch.repo.name == repo


def test_copying_deleting_and_comparing(client: Client, repo: str) -> None:
    with client.commit(repo, "master") as old:
        client.put_file_bytes(old, "/a", b"1")
        client.put_file_bytes(old, "/dir/b", b"2")
    with client.commit(repo, "master") as new:
        client.copy_file(old, "/dir", new, "/copy")
        client.copy_file(old, "/a", new, "/dir/b", append=True)
        client.delete_file(new, "/a")
    assert client.get_file(new, "/copy/b").read() == b"2"
    assert client.get_file(new, "/dir/b").read() == b"21"
    found = {
        (d.new_file.file.path, d.old_file.file.path): d
        for d in client.diff_file(new, "/", old, "/")
    }
    assert ("", "/a") in found
    assert ("/copy/b", "") in found
    assert ("/dir/b", "/dir/b") in found
    pair = list(client.diff_file(new, "/copy/b", old, "/a"))
    assert [(d.new_file.file.path, d.old_file.file.path) for d in pair] == [
        ("", "/a"),
        ("/copy/b", ""),
    ]


def test_what_is_not_there_is_said_in_pachyderms_words(
    client: Client, repo: str, unique: Callable[[str], str]
) -> None:
    with client.commit(repo, "master") as commit:
        client.put_file_bytes(commit, "/a", b"1")
    missing = unique("missing")
    for call, words in (
        (lambda: client.inspect_repo(missing), f"repo .*{missing} not found"),
        (lambda: client.create_repo(repo), f"repo .*{repo} already exists"),
        (lambda: client.inspect_branch(repo, "b"), 'branch "b" not found in repo'),
        (lambda: client.inspect_file(commit, "/b"), "file /b not found in repo"),
        (lambda: client.finish_commit(commit), "has already finished"),
        (lambda: client.inspect_project(missing), f'project "{missing}" not found'),
    ):
        with pytest.raises(RpcError, match=words):
            call()
    assert not client.path_exists(commit, "/b")


def test_a_url_of_the_machines_network_is_refused(client: Client, repo: str, http: str) -> None:
    for url in (f"{http}/healthz", "file:///etc/passwd", "http://169.254.169.254/latest"):
        with pytest.raises(RpcError, match=r"machine|network"):
            client.put_file_url((repo, "master"), "/x", url)
