"""Fetching URLs: from real servers on loopback."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from pachybox.errors import InvalidArgument, NotFound, NotReady, PachyboxError, Refused
from pachybox.pfs import buckets
from pachybox.pfs.remote import Listed, Remote, list_prefix, open_url
from tests.unit.pfs.s3_server import s3, serve

BODY = bytes(range(256)) * 4096  # 1 MiB


class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        path = self.path.partition("?")[0]
        if path == "/data":
            self.reply(200, BODY)
        elif path == "/empty":
            self.reply(200, b"")
        elif path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
        elif path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
            self.close_connection = True
        elif path.startswith("/to/"):
            self.reply(302, b"gone", path.removeprefix("/to/").replace("_", "/"))
        elif path == "/loop":
            self.reply(301, b"", "/loop")
        elif path.isascii() and path[1:].isdigit():
            self.reply(int(path[1:]), b"no")
        else:
            self.reply(200, self.path.encode())

    def reply(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Be quiet."""


SEEN: list[tuple[str, str | None]] = []


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serve(type("Seeing", (Site,), {"seen": SEEN})) as address:
        yield address


def read(url: str, piece: int = 65536, trusted: bool = True, **more: Any) -> bytes:
    with open_url(url, trusted=trusted, **more) as remote:
        return drain(remote, piece)


def drain(remote: Remote, piece: int = 65536) -> bytes:
    out, buffer = bytearray(), memoryview(bytearray(piece))
    while n := remote.readinto(buffer):
        out += buffer[:n]
    assert remote.readinto(buffer) == 0
    return bytes(out)


def test_a_page_is_read_whole_with_its_size(site: str) -> None:
    with open_url(f"{site}/data", trusted=True) as remote:
        assert remote.size == len(BODY)
        assert drain(remote, 10_000) == BODY
    assert read(f"{site}/empty") == b""


def test_a_page_of_unknown_size_is_read_to_its_end(site: str) -> None:
    with open_url(f"{site}/chunked", trusted=True) as remote:
        assert remote.size is None
        assert drain(remote, 2) == b"abcdefg"


def test_a_page_that_ends_early_is_not_taken_for_whole(site: str) -> None:
    with pytest.raises(NotReady, match="ended after 10 of 1000 bytes"):
        read(f"{site}/short")


def test_paths_and_queries_arrive_as_written_and_quoted_where_needed(site: str) -> None:
    assert read(f"{site}/a b/é%20x?q=1&r=a b") == b"/a%20b/%C3%A9%20x?q=1&r=a%20b"


def test_redirects_are_followed_without_the_password_of_another_host(site: str) -> None:
    SEEN.clear()
    with_user = site.replace("http://", "http://me:p%40ss@")
    assert read(f"{with_user}/to/_data") == BODY
    other = site.replace("127.0.0.1", "localhost").removeprefix("http://")
    assert read(f"{with_user}/to/__{other}_data") == BODY
    secret = "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert [auth for _, auth in SEEN] == [secret, secret, secret, None]


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        ("/404?key=hidden", NotFound, "/404?... answers 404 Not Found"),
        ("/410", NotFound, "410"),
        ("/403", Refused, "answers 403 Forbidden"),
        ("/500", NotReady, "500"),
        ("/204", Refused, "204"),
        ("/loop", Refused, "redirects without end"),
        ("/to/file:___etc_passwd", Refused, "leads to file:"),
    ],
)
def test_refusals_name_url_and_status(
    site: str, path: str, error: type[PachyboxError], text: str
) -> None:
    with pytest.raises(error) as caught:
        read(site.replace("//", "//user:hidden@") + path)
    assert text in caught.value.message
    assert site in caught.value.message
    assert "hidden" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "FILE:///etc/passwd", "minio://h:1/bucket/k"]
)
def test_what_the_machine_has_is_for_its_users(url: str) -> None:
    with pytest.raises(Refused, match="machine"):
        read(url, trusted=False)
    with pytest.raises(Refused, match="machine"):
        list(list_prefix(url, trusted=False, warn=print))


def test_every_name_of_a_bucket_leads_to_it() -> None:
    def canonical(url: str) -> tuple[str, dict[str, str]]:
        return buckets.canonical(url, trusted=True)

    assert canonical("gcs://b/k") == ("gs://b/k", {})
    assert canonical("s3://b/k/l") == ("s3://b/k/l", {})
    assert canonical("azblob://box/k") == ("az://box/k", {})
    named = {"account_name": "me"}
    assert canonical("wasb://box@me.blob.core.windows.net/k") == ("az://box/k", named)
    assert canonical("minio://h:9000/b/k") == ("s3://b/k", {"endpoint": "http://h:9000"})


@pytest.mark.parametrize(
    "url",
    [
        "file:/etc/passwd",
        "file://host/etc/passwd",
        "file://",
        "ftp://example.org/x",
        "gopher://example.org/x",
        "/etc/passwd",
        "http://",
        "http:///x",
        "http://host:99999/",
        "http://[::1/",
        "s3://",
        "s3:///key",
        "s3://Buck_et/key",
        "s3://bucket",
        "s3://bucket/dir/",
        "gs://x@evil/key",
        "minio://host:9000",
        "wasb://x",
        "wasb://box@localhost:80#x.blob.core.windows.net/k",
    ],
)
def test_what_is_no_url_of_an_allowed_scheme_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(url, trusted=True)
    assert caught.value.hint


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0x7f000001",
        "2130706433",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b:1::7f00:1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[fec0::1]",
        "[2001:db8::1]",
        "224.0.0.1",
    ],
)
def test_remote_callers_may_not_reach_into_the_private_network(host: str) -> None:
    with pytest.raises(Refused, match="inside the box's own network"):
        read(f"http://{host}:9/", trusted=False)


def test_remote_callers_are_not_led_there_by_a_redirect_either(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public host is made up: its name resolves to a public address, routed to the site."""
    lookup, connect = socket.getaddrinfo, socket.create_connection

    def resolve(host: str, *args: Any, **more: Any) -> Any:
        return lookup("8.8.8.8" if host == "public.test" else host, *args, **more)

    def route(address: tuple[str, int], *args: Any, **more: Any) -> socket.socket:
        host = "127.0.0.1" if address[0] == "8.8.8.8" else address[0]
        return connect((host, address[1]), *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", route)
    public = site.replace("127.0.0.1", "public.test")
    assert read(f"{public}/data", trusted=False) == BODY
    assert read(f"{public}/to/_data", trusted=False) == BODY
    with pytest.raises(Refused, match="inside the box's own network"):
        read(f"{public}/to/{site.replace('/', '_')}_data", trusted=False)


def test_a_server_that_is_silent_or_not_there_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(NotReady, match="does not answer"):
            read(address, timeout_s=0.05)
    with pytest.raises(NotReady, match="does not answer"):
        read(address)


def test_a_server_that_falls_silent_in_mid_stream_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def half() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
                connection.recv(1)  # until the client gives up

        thread = threading.Thread(target=half)
        thread.start()
        with pytest.raises(NotReady, match="does not answer"):
            read(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=0.1)
        thread.join()


BUCKETS: dict[str, dict[str, bytes]] = {
    "data": {
        "dir/": b"",
        "dir/a.txt": b"a",
        "dir/b c#?%é.txt": b"odd",
        "dir/big": BODY,
        "dir/empty": b"",
        "dir/hollow/": b"",
        "dir/sub.x": b"x",
        "dir/sub/": b"marker",
        "dir/sub/c": b"c",
        "dirx": b"not below dir",
        "top": b"t",
    },
    "none": {},
}


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, str]]:
    with s3(BUCKETS) as config:
        yield config


def test_an_object_is_read_whole_with_its_size(store: dict[str, str]) -> None:
    with open_url("s3://data/dir/big", trusted=False, config=store) as remote:
        assert remote.size == len(BODY)
        assert drain(remote, 10_000) == BODY
    assert read("s3://data/dir/b c#?%é.txt", config=store) == b"odd"
    assert read("s3://data/dir/empty", config=store) == b""


def test_a_prefix_is_walked_over_pages_and_markers_are_told(store: dict[str, str]) -> None:
    told: list[str] = []
    found = list(list_prefix("s3://data/dir/", warn=told.append, config=store))
    assert [f.suffix for f in found] == ["a.txt", "b c#?%é.txt", "big", "empty", "sub.x", "sub/c"]
    assert found[0] == Listed("s3://data/dir/a.txt", "a.txt", 1)
    assert [read(f.url, config=store) for f in found if f.suffix != "big"][-1] == b"c"
    assert [t.split(" ")[0] for t in told] == ["dir/", "dir/hollow/", "dir/sub/"]
    assert list(list_prefix("s3://data/dir", warn=told.append, config=store)) == found


def test_a_whole_bucket_is_walked(store: dict[str, str]) -> None:
    found = list(list_prefix("s3://data", warn=lambda _: None, config=store))
    assert [f.suffix for f in found][-2:] == ["dirx", "top"]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("s3://data/missing", NotFound),
        ("s3://absent/x", NotFound),
        ("s3://data/a//b", InvalidArgument),
    ],
)
def test_an_object_that_is_not_there_is_named(
    store: dict[str, str], url: str, error: type[PachyboxError]
) -> None:
    with pytest.raises(error) as caught:
        read(url, config=store)
    assert url in caught.value.message
    assert "\n" not in str(caught.value)


def test_an_empty_prefix_is_not_found(store: dict[str, str]) -> None:
    with pytest.raises(NotFound, match="s3://none"):
        list(list_prefix("s3://none/x", warn=lambda _: None, config=store))


def test_web_pages_are_not_walked() -> None:
    with pytest.raises(InvalidArgument, match="cannot be walked"):
        list(list_prefix("https://example.org/", warn=lambda _: None))


def test_missing_rights_are_named_with_the_remedy(store: dict[str, str]) -> None:
    with pytest.raises(Refused, match="may not be read") as caught:
        read("s3://data/top", config={**store, "skip_signature": "true"})
    assert "credentials" in caught.value.hint
