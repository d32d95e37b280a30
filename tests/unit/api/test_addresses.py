"""Addresses of the doors as they are told to people, and to code that runs on the box's machine."""

from __future__ import annotations

import pytest

from pachybox.box import _nearby
from pachybox.daemon import _address


@pytest.mark.parametrize(
    ("host", "told", "nearby"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://0.0.0.0:80", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80", "http://[::1]:80"),
        ("[::1]", "http://[::1]:80", "http://[::1]:80"),
        ("::", "http://[::]:80", "http://[::1]:80"),
    ],
)
def test_an_address_is_one_to_call(host: str, told: str, nearby: str) -> None:
    assert _address("http", host, 80) == told
    assert _nearby(told) == nearby
