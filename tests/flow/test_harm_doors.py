"""What a client may cost and may name, at every door: what is beyond is refused by name, and the
box answers and is whole afterwards. docs/threat-model.md lists the bounds."""

from __future__ import annotations

import base64
import gzip
import io
import json
import socket
import struct
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest
import zstandard

from pachybox.client import Client
from pachybox.errors import InvalidArgument, PachyboxError, Refused
from tests.boxes import RealBox
from tests.flow.posting import Poster, source
from tests.s3 import S3

MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def whole(shared_box: RealBox) -> Iterator[None]:
    """The box is the same process afterwards, has grown by little, and all it holds is there."""
    shared_box.client.create_repo("harm")
    shared_box.client.put_file("harm@master:/first", b"x")
    assert shared_box.process is not None
    before = peak(shared_box)
    yield
    assert shared_box.process is not None
    assert shared_box.process.poll() is None
    assert [found for found in shared_box.client.fsck() if found.get("level") != "info"] == []
    assert peak(shared_box) - before < 400 * MIB


def peak(box: RealBox) -> int:
    """The most memory the daemon ever had, in bytes."""
    assert box.process is not None
    pid = (box.home / "run" / "box.pid").read_text().split()[0]
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def place(box: RealBox) -> tuple[str, int]:
    host, _, port = box.client.status().address.removeprefix("http://").rpartition(":")
    return host, int(port)


def send(box: RealBox, data: bytes) -> tuple[int, bytes]:
    """Bytes as they stand; the status of the first answer, and all that came until the end."""
    with socket.create_connection(place(box), 20) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has answered and hung up
        answer = b""
        try:
            while piece := sock.recv(1 << 16):
                answer += piece
        except ConnectionError:
            pass
    return (int(answer.split(b" ", 2)[1]) if answer else 0), answer


# ---- HTTP

HEADS = {
    "a long request line": (
        b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        414,
    ),
    "a long head": (
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"a" * 50_000 + b"\r\n\r\n",
        431,
    ),
    "a head without end": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, 431),
    "an endless first line": (b"A" * 200_000, 431),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_bounded(shared_box: RealBox, name: str) -> None:
    data, status = HEADS[name]
    assert send(shared_box, data)[0] == status


SMUGGLED = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /api/pfs_v2.API/ListRepo HTTP/1.1\r\nHost: localhost\r\n"
AMBIGUOUS = {
    "a length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 43\r\n\r\n",
    "two lengths in one": b"Content-Length: 0, 43\r\n\r\n",
    "a signed length": b"Content-Length: +0\r\n\r\n",
    "a length in hex": b"Content-Length: 0x2\r\n\r\n{}",
    "chunks behind another coding": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks by another name": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare line feed": b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare return": b"X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a NUL": b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a chunk of negative size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk of 16 digits": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff0\r\n\r\n",
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "a second host": b"Host: evil\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_a_proxy_may_read_otherwise_is_refused_and_ends_the_connection(
    shared_box: RealBox, name: str
) -> None:
    """So that no request can be hidden in another's body."""
    status, answer = send(shared_box, POST + AMBIGUOUS[name] + SMUGGLED)
    assert status in (400, 501)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"pachybox_requests_total" not in answer


def test_messages_are_bounded_before_they_are_read(shared_box: RealBox) -> None:
    begun = POST + b"Content-Type: application/json\r\n"
    status, answer = send(shared_box, begun + b"Content-Length: %d\r\n\r\n{" % (33 * MIB))
    assert (status, b"larger than 32 MiB" in answer) == (413, True)
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    status, _ = send(shared_box, begun + b"Content-Length: %d\r\n\r\n%s" % (len(deep), deep))
    assert status == 400


def test_a_chunked_message_without_end_is_cut_off(shared_box: RealBox) -> None:
    chunk = b"%x\r\n" % MIB + b" " * MIB + b"\r\n"
    head = POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert send(shared_box, head + chunk * 40)[0] == 413


def test_frames_of_an_upload_are_bounded(shared_box: RealBox) -> None:
    head = b"POST /files/put?repo=harm&ref=master HTTP/1.1\r\nHost: localhost\r\n"
    for frame in (
        struct.pack("<I", 0xFFFFFFFF),
        struct.pack("<I", 17 * MIB) + b"[",
        struct.pack("<I", 20) + b'[["p","/x",99999999]]'[:20],
        struct.pack("<I", 10) + b"[" * 10,
    ):
        body = head + b"Content-Length: %d\r\n\r\n%s" % (len(frame), frame)
        assert send(shared_box, body)[0] == 400


# ---- paths

PATHS = ["/../x", "/a/../../x", "/..", "/a/./b", "/a\0b", "/" + "x" * 256, "/" + "a/" * 2100 + "x"]


@pytest.mark.parametrize("path", PATHS, ids=lambda p: repr(p[:12]))
def test_no_door_takes_a_path_that_leads_elsewhere(shared_box: RealBox, s3: S3, path: str) -> None:
    c = shared_box.client
    with pytest.raises(PachyboxError):
        c.put_file(f"harm@master:{path}", b"x")
    with pytest.raises(PachyboxError):
        c.get_file(f"harm@master:{path}")
    assert s3("PUT", f"/harm{path}", b"x").status in (400, 404)
    encoded = path.replace("/", "%2F").replace("\0", "%00")
    status, answer = send(
        shared_box,
        f"GET /pfs/default/harm/master/{encoded} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode(),
    )
    assert status in (400, 404, 414), answer[:300]


def test_pages_lead_to_no_file_of_the_machine(shared_box: RealBox) -> None:
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/docs/../../x", "//etc/passwd",
                 "/jsonschema/../../../etc/passwd", "/jsonschema/%2e%2e%2fv1.py"):  # fmt: skip
        status, answer = send(
            shared_box, f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
        )
        assert status in (400, 403, 404), (path, answer[:200])
        assert b"root:" not in answer


# ---- S3

UNSIGNED = {"x_amz_content_sha256": "UNSIGNED-PAYLOAD"}
LAUGHS = (
    b'<!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(20))
    + b"]><Delete><Object><Key>&u;</Key></Object></Delete>"
)
DOCUMENTS = {
    "a billion laughs": LAUGHS,
    "a file of the machine": b'<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    b"<Delete><Object><Key>&f;</Key></Object></Delete>",
    "a document elsewhere": b'<!DOCTYPE d SYSTEM "http://127.0.0.1:1/x.dtd"><Delete/>',
    "a deep one": b"<a>" * 50_000 + b"</a>" * 50_000,
    "one of many nodes": b"<Delete>" + b"<a/>" * 250_000 + b"</Delete>",
    "a large one": b"<Delete>" + b" " * (5 * MIB) + b"</Delete>",
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("asked", ["delete", "uploads"])
def test_xml_is_bounded_and_knows_no_entities(
    s3: S3, shared_box: RealBox, name: str, asked: str
) -> None:
    body = DOCUMENTS[name]
    if asked == "delete":
        answer = s3("POST", "/harm", body, {"delete": ""}, **UNSIGNED)
    else:
        begun = s3("POST", "/harm/parts", b"", {"uploads": ""}).text("UploadId")
        answer = s3("POST", "/harm/parts", body, {"uploadId": begun}, **UNSIGNED)
        assert s3("DELETE", "/harm/parts", query={"uploadId": begun}).status == 204
    assert answer.status in (400, 413), answer.body[:300]
    assert b"root:" not in answer.body


def test_what_one_object_may_have_is_bounded(s3: S3) -> None:
    def code(*args: object, **headers: str) -> tuple[int, str]:
        answer = s3(*args, **headers)  # type: ignore[arg-type]
        return answer.status, answer.code

    assert code("PUT", "/harm/" + "k/" * 512 + "k", b"x") == (400, "KeyTooLongError")
    assert code("PUT", "/harm/m", b"x", x_amz_meta_a="v" * 9000)[1] == "MetadataTooLarge"
    large = s3.raw("PUT", "/harm/l", b"", {"content-length": str((5 << 40) + 1)})
    assert large.code == "EntityTooLarge"
    begun = s3("POST", "/harm/parts", b"", {"uploads": ""}).text("UploadId")
    for number in ("0", "10001", "9" * 400, "-1", "x"):
        query = {"partNumber": number, "uploadId": begun}
        assert s3("PUT", "/harm/parts", b"x", query).status == 400
    assert s3("DELETE", "/harm/parts", query={"uploadId": begun}).status == 204
    many = b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>"
    assert code("POST", "/harm", many, {"delete": ""}, **UNSIGNED) == (400, "MalformedXML")
    listed = s3("GET", "/harm", query={"max-keys": "100000000"})
    assert int(listed.text("MaxKeys")) <= 100_000_000
    assert s3("GET", "/harm", query={"max-keys": "-1"}).status == 400


def test_a_form_is_bounded(shared_box: RealBox) -> None:
    field = b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\n%s\r\n'
    fields = b"".join(field % (i, b"v" * 1000) for i in range(400))
    body = fields + b"--b--\r\n"
    head = (
        b"POST /harm HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    status, answer = send(shared_box, head + body)
    assert status == 400, answer[:300]
    assert b"MaxMessageLengthExceeded" in answer, answer


# ---- posted records


def test_posted_records_are_bounded_packed_or_not(shared_box: RealBox) -> None:
    source(shared_box.client, "harmed")
    lines = "application/x-ndjson"
    post = Poster(shared_box)
    assert post("harmed", b"1\n" * (5 * MIB), lines).status == 413
    assert post("harmed", b"1\n" * 100_001, lines).status == 413
    bomb = gzip.compress(bytes(512 * MIB), 1)
    packed = {"Content-Encoding": "gzip"}
    assert post("harmed", bomb, lines, packed).status == 413
    assert post("harmed", gzip.compress(gzip.compress(b"1")), lines, packed).status in (200, 400)
    assert post("harmed", bomb[:1000], lines, packed).status == 400
    assert post("harmed", [1], key="k" * 256).status == 400
    assert post("harmed", b"[" * 1_000_000).status == 400
    assert post("harmed", [1]).status == 200
    post.close()


# ---- gRPC


def test_a_packed_message_is_bounded_by_what_it_unpacks_to(shared_box: RealBox) -> None:
    target = shared_box.client.status().grpc_address.removeprefix("grpc://")
    with grpc.insecure_channel(target, compression=grpc.Compression.Gzip) as channel:
        call = channel.unary_unary("/pfs_v2.API/ListRepo")
        with pytest.raises(grpc.RpcError) as refused:
            call(bytes(300 * MIB), timeout=60)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


# ---- texts and archives

ALIASES = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
)
SPECS = {
    "of billions of values": ALIASES,
    "deep": "[" * 10_000 + "]" * 10_000,
    "long": "# " + "x" * (2 * MIB),
    "of a number of many digits": '{"pipeline": {"name": "x"}, "datumTries": ' + "9" * 9000 + "}",
}


@pytest.mark.parametrize("name", SPECS)
def test_texts_of_specs_are_bounded(shared_box: RealBox, name: str) -> None:
    with pytest.raises(InvalidArgument):
        shared_box.client.create_pipelines(SPECS[name])


def test_secrets_and_patterns_are_bounded(shared_box: RealBox) -> None:
    c = shared_box.client
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "x" * (2 * MIB)}}
    with pytest.raises(InvalidArgument, match="1 MiB at most"):
        c.create_secret(json.dumps(secret))
    for pattern in ("/" + "a*" * 5000, "/" + "(a|" * 40 + "b" + ")" * 40, "/" + "{a," * 40):
        with pytest.raises(InvalidArgument):
            list(c.glob_file(f"harm@master:{pattern}"))
    assert list(c.glob_file("harm@master:/" + "*a" * 100)) == []  # many stars cost no exponent


def test_the_address_of_an_archive_unpacks_to_little(shared_box: RealBox) -> None:
    packed = zstandard.compress(b"a" * (1 << 30))
    address = base64.urlsafe_b64encode(b"\x01" + packed).rstrip(b"=").decode()
    status, answer = send(
        shared_box, f"GET /archive/{address}.zip HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
    )
    assert status in (400, 414), answer[:300]


def tar(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, to
    return made


ARCHIVES = {
    "leads up": tar([(member("../../evil"), b"x")]),
    "is absolute": tar([(member("/etc/evil"), b"x")]),
    "is a link out": tar(
        [(member("blobs", tarfile.SYMTYPE, "/etc"), b""), (member("blobs/x"), b"x")]
    ),
    "is a device": tar([(member("manifest.json", tarfile.CHRTYPE), b"")]),
    "says more than it has": tar([(member("manifest.json"), b"{}")])[:600],
    "has a manifest of 2 MiB": tar([(member("manifest.json"), b" " * (2 * MIB))]),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_cannot_name_what_is_outside(box: RealBox, name: str, tmp_path: Path) -> None:
    file = tmp_path / "evil.tar"
    file.write_bytes(ARCHIVES[name])
    before = {p for p in tmp_path.rglob("*") if box.home not in p.parents}
    done = box.run("restore", str(file))
    assert done.returncode == 1, done.stdout
    assert {p for p in tmp_path.rglob("*") if box.home not in p.parents} == before
    assert list(box.client.list_repo()) == []


# ---- addresses that the box fetches


class Inner(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"inner")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def inner_site() -> Iterator[str]:
    """A service on this machine, as an administrator's page would be."""
    server = HTTPServer(("127.0.0.1", 0), Inner)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("reach", ["public", "any", "none"])
def test_a_caller_by_tcp_names_no_address_of_the_inside(tmp_path: Path, reach: str) -> None:
    box = RealBox(tmp_path / "home", settings=f'url_fetch = "{reach}"\n').start()
    box.client.create_repo("harm")
    far = box.client.status().address
    secret = tmp_path / "secret"
    secret.write_text("secret")

    def fetch(address: str, url: str) -> bytes:
        with Client(address) as client:
            with client.put("harm@u") as put:
                put.url("/x", url)
            return client.get_file("harm@u:/x")

    with inner_site() as site:
        if reach == "any":
            assert fetch(far, site) == b"inner"
        else:
            with pytest.raises(Refused, match="own network" if reach == "public" else "url_fetch"):
                fetch(far, site)
        with pytest.raises(Refused):
            fetch(far, f"file://{secret}")
        assert fetch(str(box.socket), site) == b"inner"  # its owner may
        assert fetch(str(box.socket), f"file://{secret}") == b"secret"
    assert box.stop() == 0
