"""s3fs, unmodified."""

from __future__ import annotations

from importlib.metadata import version

from pachybox.client import Client


def test_the_client_is_installed_beside_a_box(box: Client) -> None:
    assert version("s3fs")
    assert box.healthy()
