"""Files up and down over both kinds of socket."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from pachybox.client import Client
from pachybox.errors import Internal, InvalidArgument, NotFound, Refused


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with small, empty, large and nested files and a link."""
    root = tmp_path / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"a")
    (root / "empty").write_bytes(b"")
    (root / "big").write_bytes(os.urandom(3_000_001))
    (root / "sub" / "deep" / "naïve (1).txt").write_bytes(b"n" * 5000)
    (root / "sub" / "link").symlink_to("../a.txt")
    return root


def content(root: Path) -> dict[str, bytes]:
    return {
        "/" + str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_directory_goes_up_as_one_commit_and_comes_down_the_same(
    box: Any, client: Client, tree: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    result = client.put_files(
        "images@master:/", tree, progress=lambda size, files: seen.append((size, files))
    )
    assert box.files == content(tree)
    assert box.commits == 1
    assert result.files == 5
    assert result.bytes == sum(map(len, box.files.values()))
    assert seen[-1] == (result.bytes, 5)
    files, size = client.get_files("images@master:/", tmp_path / "copy")
    assert content(tmp_path / "copy") == content(tree)
    assert (files, size) == (result.files, result.bytes)
    assert not (tmp_path / "copy" / "sub" / "link").is_symlink()


def test_large_local_files_go_by_descriptor_over_the_socket_only(
    box: Any, client: Client, tree: Path
) -> None:
    client.put_files("images@master:/", tree)
    verbs = {op[0] for op in box.ops}
    assert ("f" in verbs) == client.address.local
    assert ("m" in verbs) != client.address.local


@pytest.mark.parametrize("size", [0, 5, 300_000, 2_500_000])
def test_one_file_goes_up_from_bytes_a_name_or_a_stream(
    box: Any, client: Client, tmp_path: Path, size: int
) -> None:
    data = os.urandom(size)
    name = tmp_path / "file"
    name.write_bytes(data)
    client.put_file("r@b:/bytes", data)
    client.put_file("r@b:name", name)
    client.put_file("r@b:/name2", str(name))
    client.put_file("r@b:/stream", io.BytesIO(data))
    assert box.files == {p: data for p in ("/bytes", "/name", "/name2", "/stream")}


@pytest.mark.parametrize("size", [0, 5, 300_000, 2_500_000])
@pytest.mark.parametrize("descriptors", [True, False])
def test_one_file_comes_down_as_bytes_into_a_file_or_a_stream(
    box: Any, client: Client, tmp_path: Path, size: int, descriptors: bool
) -> None:
    box.descriptors = descriptors
    data = box.files["/f"] = os.urandom(size)
    assert client.get_file("r@b:/f") == data
    assert client.save_file("r@b:/f", tmp_path / "f") == size
    assert (tmp_path / "f").read_bytes() == data
    into = io.BytesIO()
    client.save_file("r@b:/f", into)
    assert into.getvalue() == data
    with open(tmp_path / "g", "wb") as file:
        file.write(b"head")
        client.save_file("r@b:/f", file)
        file.write(b"tail")
    assert (tmp_path / "g").read_bytes() == b"head" + data + b"tail"


def test_a_download_follows_a_link_and_never_replaces_a_device(
    box: Any, client: Client, tmp_path: Path
) -> None:
    box.files["/f"] = b"new"
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    client.save_file("r@b:/f", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    (tmp_path / "null").symlink_to("/dev/null")
    client.save_file("r@b:/f", tmp_path / "null")
    assert Path("/dev/null").is_char_device()


def test_a_download_that_fails_leaves_the_file_as_it_was(
    box: Any, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(NotFound):
        client.save_file("r@b:/nothing", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["f", "standin"]


def test_an_offset_leaves_out_the_beginning(box: Any, client: Client) -> None:
    box.files["/f"] = b"0123456789"
    assert client.get_file("r@b:/f", offset=7) == b"789"


def test_several_changes_in_one_block_are_one_commit(box: Any, client: Client) -> None:
    box.files["/old"] = b"old"
    with client.put("r@b") as put:
        put.data("/one", b"1")
        put.data("/one", b"2", append=True)
        put.delete("/old")
    assert box.files == {"/one": b"12"}
    assert put.result is not None
    assert put.result.commit == f"{1:032x}"


def test_leaving_the_block_by_an_exception_commits_nothing(box: Any, client: Client) -> None:

    def give_up() -> None:
        with client.put("r@b") as put:
            put.data("/one", b"1" * 2_000_000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        give_up()
    assert box.files == {}
    client.put_file("r@b:/two", b"2")
    assert box.files == {"/two": b"2"}


def test_an_upload_the_box_refuses_raises_its_error_not_a_broken_pipe(
    box: Any, client: Client, tree: Path
) -> None:
    box.refuse_put = NotFound("repo r not found", "create it")

    def put_much() -> None:
        with client.put("r@b") as put:
            for i in range(50):
                put.data(f"/{i}", b"x" * 1_000_000)

    for _ in range(3):
        with pytest.raises(NotFound, match="repo r not found"):
            put_much()


def test_a_missing_file_and_a_directory_are_told_apart(box: Any, client: Client) -> None:
    box.files["/d/a"] = b"a"
    with pytest.raises(NotFound):
        client.get_file("r@b:/nothing")
    with pytest.raises(InvalidArgument, match=r"/d is a directory; add -r"):
        client.get_file("r@b:/d")


def make_special(kind: str, where: Path) -> None:
    if kind == "named pipe":
        os.mkfifo(where)
    elif kind == "socket":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(where))
        listener.close()
    elif kind == "device":
        where.symlink_to("/dev/null")
    elif kind == "broken symbolic link":
        where.symlink_to("nowhere")
    else:
        where.symlink_to(".")


@pytest.mark.parametrize(
    "kind",
    ["named pipe", "socket", "device", "broken symbolic link", "symbolic link to a directory"],
)
def test_what_is_no_file_is_refused_by_name_and_nothing_is_committed(
    box: Any, client: Client, tree: Path, kind: str
) -> None:
    make_special(kind, tree / "sub" / "odd")
    with pytest.raises(InvalidArgument, match=f"sub/odd is a {kind}"):
        client.put_files("r@b:/", tree)
    assert box.commits == 0


def test_a_download_replaces_files_atomically_and_leaves_others(
    box: Any, client: Client, tmp_path: Path
) -> None:
    target = tmp_path / "t"
    (target / "d").mkdir(parents=True)
    (target / "d" / "old").write_bytes(b"old, and longer")
    (target / "mine").write_bytes(b"mine")
    os.link(target / "d" / "old", tmp_path / "kept")
    box.files = {"/d/old": b"new"}
    client.get_files("r@b:/", target)
    assert content(target) == {"/d/old": b"new", "/mine": b"mine"}
    assert (tmp_path / "kept").read_bytes() == b"old, and longer"
    assert sorted(os.listdir(target / "d")) == ["old"]


@pytest.mark.parametrize("path", ["/../evil", "/a/../../evil", "/..", "/a/./b", "/d//x", "/x\0y"])
def test_names_that_lead_out_of_the_target_are_refused(
    box: Any, client: Client, tmp_path: Path, path: str
) -> None:
    box.files = {path: b"evil"}
    with pytest.raises(Internal):
        client.get_files("r@b:/", tmp_path / "deep" / "target")
    assert not list(tmp_path.rglob("evil"))


def test_symbolic_links_in_the_target_are_not_followed(
    box: Any, client: Client, tmp_path: Path
) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (target / "d").symlink_to(outside)
    box.files = {"/d/a": b"a"}
    with pytest.raises(Refused, match="d: a symbolic link"):
        client.get_files("r@b:/", target)
    (target / "d").unlink()
    (target / "d").mkdir()
    (target / "d" / "a").symlink_to(outside / "victim")
    client.get_files("r@b:/", target)
    assert not (outside / "victim").exists()
    assert (target / "d" / "a").read_bytes() == b"a"


def test_a_file_in_the_place_of_a_directory_is_refused(
    box: Any, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "d").write_bytes(b"")
    box.files = {"/d/a": b"a"}
    with pytest.raises(Refused, match="Not a directory"):
        client.get_files("r@b:/", tmp_path / "t")


def test_empty_directories_come_down_and_deep_trees_keep_few_descriptors(
    box: Any, client: Client, tmp_path: Path
) -> None:
    box.files = {f"/d{i}/e/f": b"%d" % i for i in range(300)}
    client.get_file("r@b:/d0/e/f")  # the connection that stays open
    before = len(os.listdir("/proc/self/fd"))
    box.directories = ["/void", "/void/inner"]
    client.get_files("r@b:/", tmp_path / "t")
    assert (tmp_path / "t" / "void" / "inner").is_dir()
    assert len(content(tmp_path / "t")) == 300
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_download_of_a_directory_is_named_from_that_directory(
    box: Any, client: Client, tmp_path: Path
) -> None:
    box.files = {"/a/b/c": b"c", "/a/b/d/e": b"e"}
    client.get_files("r@b:/a/b", tmp_path / "t")
    assert content(tmp_path / "t") == {"/c": b"c", "/d/e": b"e"}


def test_copies_and_urls_name_what_they_take(box: Any, client: Client) -> None:
    client.copy_file("lab/src@master^:/a", "dst@b:/c", append=True)
    assert box.ops == [
        [
            "c",
            {
                "src_project": "lab",
                "src_repo": "src",
                "src_ref": "master^",
                "src_path": "/a",
                "path": "/c",
                "append": True,
            },
        ]
    ]
    client.put_url("dst@b:/u", "https://example.org/u")
    assert box.ops[0][:3] == ["u", "/u", "https://example.org/u"]
    client.delete_file("dst@b:/u*")
    assert box.ops == [["d", "/u*"]]


def test_a_read_whose_connection_is_lost_is_sent_again(box: Any, client: Client) -> None:
    box.files["/a"] = b"content"
    assert client.get_file("r@master:/a") == b"content"
    drops = [1, 2]

    def lose(target: str) -> None:
        if drops:
            drops.pop()
            box.drop_connections()

    box.before_get = lose
    assert client.get_file("r@master:/a") == b"content"
    assert drops == []
