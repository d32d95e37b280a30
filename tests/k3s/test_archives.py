"""Which images an archive says it has; whatever a file holds, it is taken or refused by name."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
import zstandard

from k3s.images import names_of
from pachybox.errors import InvalidArgument


def archive(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


DOCKER = archive("manifest.json", json.dumps([{"RepoTags": ["edges:1", "localhost/b:2"]}]).encode())
NOTE = {"annotations": {"org.opencontainers.image.ref.name": "localhost/b:2"}}
OCI = archive("./index.json", json.dumps({"manifests": [NOTE, {"digest": "x"}]}).encode())


@pytest.mark.parametrize("packed", [False, True])
def test_names_are_whole(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "x"
    for content, names in (
        (DOCKER, ["docker.io/library/edges:1", "localhost/b:2"]),
        (OCI, ["localhost/b:2"]),
    ):
        if packed:  # as programs that pack in parallel do: in frames
            halves = content[:600], content[600:]
            content = b"".join(zstandard.ZstdCompressor().compress(half) for half in halves)
        path.write_bytes(content)
        assert names_of(path) == names


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no archive of images"),
        (b"\x28\xb5\x2f\xfdjunk" * 20, "is no archive of images"),
        (archive("manifest.json", b"[1]"), "its manifest.json is none of an image"),
        (archive("index.json", b'"x"'), "its index.json is none of an image"),
        (archive("manifest.json", b"[" * 200_000), "its manifest.json is none of an image"),
        (archive("manifest.json", b'[{"RepoTags": [1]}]'), "1 is no name of an image"),
        (
            archive("manifest.json", b'[{"RepoTags": ["-a.b/c"]}]'),
            "'-a.b/c' is no name of an image",
        ),
        (archive("manifest.json", b"[{}]"), "names no image"),
    ],
)
def test_what_is_none_is_said_to_be(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match=f"{path}") as refused:
        names_of(path)
    assert said in refused.value.message
