"""Names of images mean what they mean to podman and Docker."""

from __future__ import annotations

import pytest

from pachybox.containers.names import is_id, parse
from pachybox.errors import InvalidArgument

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest"),
        ("ubuntu:24.04", "docker.io/library/ubuntu:24.04"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu:latest"),
        ("pachyderm/opencv:1", "docker.io/pachyderm/opencv:1"),
        ("localhost/mine", "localhost/mine:latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("quay.io/a/b/c", "quay.io/a/b/c:latest"),
        (f"quay.io/a@{DIGEST}", f"quay.io/a@{DIGEST}"),
        (f"quay.io/a:1@{DIGEST}", f"quay.io/a:1@{DIGEST}"),
        ("docker://quay.io/a:1", "quay.io/a:1"),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
    ],
)
def test_a_name_in_full(given: str, whole: str) -> None:
    assert str(parse(given)) == whole


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "no part of a name"),
        ("My/Image", "lower case"),
        ("a b", "no part of a name"),
        ("a:", "no tag"),
        ("a:b c", "no tag"),
        ("a@sha256:12", "no digest"),
        ("a//b", "no part of a name"),
        ("ho st.de/a", "no registry"),
        ("quay.io/", "no part of a name"),
    ],
)
def test_what_is_no_name_is_said(given: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        parse(given)


def test_where_a_name_lives() -> None:
    assert parse("localhost/a").only_here
    assert not parse("localhost:5000/a").only_here
    assert parse("localhost:5000/a").loopback
    assert parse("127.0.0.1:5000/a").loopback
    assert not parse("127.example.com/a").loopback
    assert is_id("a" * 64)
    assert is_id(DIGEST)
    assert not is_id("a" * 63)
