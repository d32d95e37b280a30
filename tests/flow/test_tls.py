"""Doors that speak TLS: what goes through them, who is trusted, renewal without a restart."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from pachybox.client import Client
from pachybox.errors import InvalidArgument, Unreachable
from tests.boxes import RealBox, eventually
from tests.s3 import S3, Signer

TOKEN = "token-of-this-test"
BIG = bytes(range(256)) * 40_000  # 10 MB, so that no record, buffer or socket holds it


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    made = RealBox(tmp_path_factory.mktemp("tls") / "home", settings=f'token = "{TOKEN}"\n')
    assert "tls/ca.pem" in made.cli("cert", "localhost", "127.0.0.1")
    made.start()
    made.client.create_repo("data")
    made.client.create_branch("data@master")
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def ca(box: RealBox) -> Path:
    return box.home / "tls" / "ca.pem"


@pytest.fixture(scope="module")
def secure(box: RealBox, ca: Path) -> Iterator[Client]:
    """The client over https."""
    made = Client(box.client.status().address, token=TOKEN, ca=str(ca))
    yield made
    made.close()


def ask(address: str, token: str = TOKEN, ca: str | None = None) -> None:
    """One question by a client of its own."""
    with Client(address, token=token, ca=ca) as client:
        client.status()


def port_of(box: RealBox) -> int:
    return int(box.client.status().address.rpartition(":")[2])


def connect(box: RealBox, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", port_of(box)), 10)
    return context.wrap_socket(raw, server_hostname="localhost")


def trusting(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca))


def serial(box: RealBox, ca: Path) -> str:
    with connect(box, trusting(ca)) as sock:
        return str((sock.getpeercert() or {})["serialNumber"])


def test_files_of_any_size_go_both_ways(secure: Client) -> None:
    for path, content in (("/empty", b""), ("/small", b"x"), ("/big", BIG)):
        secure.put_file(f"data@master:{path}", content)
        assert secure.get_file(f"data@master:{path}") == content
    assert secure.get_file("data@master:/big", offset=9_000_001) == BIG[9_000_001:]


def test_a_folder_goes_both_ways_by_the_command_line(
    box: RealBox, ca: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for i in range(200):
        (source / str(i)).write_bytes(b"%d" % i * (i * 10))
    env = {
        "PACHYBOX_ADDRESS": box.client.status().address,
        "PACHYBOX_CA": str(ca),
        "PACHYBOX_TOKEN": TOKEN,
    }
    before, box.env = box.env, {**box.env, **env}
    try:
        box.cli("put", "file", "-r", "data@master:/folder", "-f", str(source))
        box.cli("get", "file", "-r", "data@master:/folder", "-o", str(tmp_path / "target"))
        assert "data" in box.cli("list", "repo")
        box.env = {**box.env, "PACHYBOX_CA": ""}
        refused = box.run("list", "repo")
    finally:
        box.env = before
    assert {p.name: p.read_bytes() for p in (tmp_path / "target").iterdir()} == {
        p.name: p.read_bytes() for p in source.iterdir()
    }
    assert refused.returncode == 1
    assert "cannot be trusted" in refused.stderr
    assert "PACHYBOX_CA=FILE" in refused.stderr


def test_streams_come_as_they_happen(box: RealBox, secure: Client) -> None:
    got = threading.Event()

    def follow() -> None:
        for commit in secure.subscribe_commit("data@followed"):
            if commit.finished:
                got.set()
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    box.client.put_file("data@followed:/x", b"x")
    assert got.wait(30)
    thread.join(10)


def test_what_is_refused_in_mid_upload_is_told(secure: Client) -> None:
    with pytest.raises(InvalidArgument, match="path"):
        secure.put_file("data@master:/a/../b", BIG)
    assert secure.healthy()


def test_a_client_trusts_whom_it_was_told_to(box: RealBox, ca: Path, tmp_path: Path) -> None:
    address = box.client.status().address
    with pytest.raises(Unreachable, match="cannot be trusted"):
        ask(address)
    with pytest.raises(InvalidArgument, match="cannot read the certificates"):
        ask(address, ca=str(tmp_path / "none"))
    other = RealBox(tmp_path / "other")
    other.cli("cert", "localhost")
    with pytest.raises(Unreachable, match="cannot be trusted"):
        ask(address, ca=str(other.home / "tls" / "ca.pem"))
    by_another_name = address.replace("127.0.0.1", "127.1")
    with pytest.raises(Unreachable, match=r"127\.1'; use a name of its certificate"):
        ask(by_another_name, ca=str(ca))
    # the box's own certificate does as well as its CA's
    own = Client(address, token=TOKEN, ca=str(box.home / "tls" / "cert.pem"))
    assert own.status().address == address
    own.close()


def test_plain_http_gets_one_clear_answer(box: RealBox) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", port_of(box), timeout=10)
    plain.request("GET", "/healthz")
    answer = plain.getresponse()
    assert (answer.status, json.loads(answer.read())["message"]) == (400, "this port speaks TLS")
    with pytest.raises(InvalidArgument, match="this port speaks TLS"):
        ask(f"http://127.0.0.1:{port_of(box)}")


def test_a_client_of_https_where_none_is_spoken_is_told(shared_box: RealBox) -> None:
    address = shared_box.client.status().address.replace("http://", "https://")
    with pytest.raises(Unreachable, match="speaks no TLS"):
        ask(address)


def test_only_what_is_safe_is_agreed_on(box: RealBox, ca: Path) -> None:
    context = trusting(ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(box, context) as sock:
        assert (sock.version(), sock.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(box, context) as sock:
        cipher = sock.cipher()
        assert cipher is not None
        assert cipher[0].startswith("ECDHE-")  # what is recorded stays closed if the key gets out
    context = trusting(ca)
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(box, context)


def test_who_says_nothing_or_nonsense_holds_nobody_up(box: RealBox, secure: Client) -> None:
    silent = [socket.create_connection(("127.0.0.1", port_of(box)), 30) for _ in range(20)]
    silent[0].sendall(b"\x16\x03\x01")  # a handshake that does not go on
    silent[1].sendall(b"\x00\xff" * 100)
    silent[2].sendall(b"\x16\x03\x01\x00\x05hello")
    for sock in silent[1:3]:
        with suppress(ConnectionError):
            while sock.recv(100):
                pass  # at most an alert, and the end
    for sock in silent:
        sock.close()
    assert secure.healthy()


def test_requests_in_any_pieces_are_answered_in_order(box: RealBox, ca: Path) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connect(box, trusting(ca)) as sock:
        for byte in request:
            sock.sendall(bytes((byte,)))
        sock.sendall(request * 50)
        answers = b""
        while answers.count(b"\r\n\r\nok\n") < 51:
            piece = sock.recv(1 << 16)
            assert piece
            answers += piece


def test_small_writes_of_s3_one_after_the_other(box: RealBox, ca: Path) -> None:
    """Such a connection is served together with others, by one thread for all."""
    link = http.client.HTTPSConnection("localhost", port_of(box), timeout=30, context=trusting(ca))
    s3 = S3("localhost", port_of(box), Signer(TOKEN, TOKEN), [link])
    for i in range(50):
        assert s3("PUT", f"/data/s3/{i}", b"%d" % i * 100).status == 200
    assert s3("GET", "/data/s3/49").body == b"49" * 100
    assert s3.line == [link]  # it lasted
    s3.close()
    assert len(list(box.client.list_file("data@master:/s3"))) == 50


def test_grpc_is_encrypted_and_a_renewed_certificate_is_used_without_a_restart(
    box: RealBox, ca: Path, secure: Client
) -> None:
    target = box.client.status().grpc_address
    assert target.startswith("grpcs://")

    def version() -> bytes:
        trusted = grpc.ssl_channel_credentials(ca.read_bytes())
        with grpc.secure_channel(target.removeprefix("grpcs://"), trusted) as channel:
            call = channel.unary_unary("/versionpb_v2.API/GetVersion")
            return bytes(call(b"", timeout=10, metadata=[("authn-token", TOKEN)]))

    def grpc_serial() -> str:
        host, _, port = target.removeprefix("grpcs://").rpartition(":")
        context = trusting(ca)
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection((host, int(port)), 10)
        with context.wrap_socket(raw, server_hostname="localhost") as sock:
            return str((sock.getpeercert() or {})["serialNumber"])

    assert version()
    before = serial(box, ca)
    assert grpc_serial() == before
    shown = json.loads(box.cli("cert", "renew", "--raw"))
    assert shown["names"] == ["localhost", "127.0.0.1"]
    eventually(lambda: serial(box, ca) != before, "HTTP uses the new certificate")
    eventually(lambda: grpc_serial() != before, "gRPC uses the new certificate")
    assert version()
    assert secure.status().address  # a connection from before goes on
    new = serial(box, ca)
    key = (box.home / "tls" / "key.pem").read_bytes()
    (box.home / "tls" / "key.pem").write_bytes((box.home / "tls" / "ca.key").read_bytes())
    log = box.home / "run" / "box.log"
    eventually(
        lambda: serial(box, ca) == new and "the last one stays" in log.read_text(),
        "a key of another certificate is not used",
    )
    (box.home / "tls" / "key.pem").write_bytes(key)


def test_code_on_the_machine_reaches_the_box_as_before(box: RealBox) -> None:
    script = (
        'printf "%s %s" "$PACHYBOX_ADDRESS" "$PACHD_PEER_SERVICE_PORT" > /pfs/out/where\n'
        "python3 -c 'import os, urllib.request as u; "
        'print(u.urlopen(os.environ["PACHYBOX_ADDRESS"] + "/healthz").read())\' > /pfs/out/said'
    )
    box.client.put_file("data@code:/x", b"x")
    box.client.create_pipelines(
        {
            "pipeline": {"name": "asks"},
            "input": {"pfs": {"repo": "data", "branch": "code", "glob": "/"}},
            "transform": {"cmd": ["sh"], "stdin": [script]},
        }
    )
    job = next(iter(box.client.list_job("asks")))
    assert box.client.wait_job(f"asks@{job.id}").state == "JOB_SUCCESS"
    assert box.client.get_file("asks@master:/said") == b"b'ok\\n'\n"
    address, port = box.client.get_file("asks@master:/where").decode().split()
    assert address.startswith("http://127.0.0.1:")
    assert address != box.client.status().address
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/pfs_v2.API/InspectRepo")
        with pytest.raises(grpc.RpcError) as refused:  # it wants the token, as every door does
            call(b"", timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", timeout=10, metadata=[("authn-token", TOKEN)])
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # no repo is named


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('http_host = "0.0.0.0"\n', "a token"),
        ('http_host = "0.0.0.0"\ntoken = "t"\n', "make a certificate: pachybox cert"),
        ('grpc_host = "0.0.0.0"\ntoken = "t"\n', "make a certificate: pachybox cert"),
        ('tls_cert = "a"\ntls_key = "b"\n', "make them: pachybox cert"),
        ('http_host = "http://lab"\n', "'http://lab' is nothing to listen at"),
        ('http_host = "lab:30600"\n', "the port is another setting"),
        ('grpc_host = ""\n', "grpc_host '' is nothing to listen at"),
    ],
)
def test_a_box_that_would_be_open_to_others_does_not_start(
    tmp_path: Path, settings: str, says: str
) -> None:
    box = RealBox(tmp_path / "home", settings=settings)
    done = box.run("up")
    assert done.returncode == 1
    assert says in done.stderr


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home")
    box.cli("cert")
    (box.home / "tls" / "key.pem").chmod(0o644)
    done = box.run("up")
    assert done.returncode == 1
    assert "chmod 600" in done.stderr


def test_beyond_loopback_with_token_and_certificate(tmp_path: Path) -> None:
    settings = 'http_host = "0.0.0.0"\ngrpc_host = "0.0.0.0"\ntoken = "t"\n'
    box = RealBox(tmp_path / "home", settings=settings)
    box.cli("cert", "localhost")
    box.start()
    port = port_of(box)
    far = Client(f"https://localhost:{port}", token="t", ca=str(box.home / "tls" / "ca.pem"))
    assert far.status().address == f"https://0.0.0.0:{port}"
    with pytest.raises(Exception, match="no authentication token"):
        ask(f"https://localhost:{port}", token="", ca=str(box.home / "tls" / "ca.pem"))
    far.close()
    assert box.stop() == 0


def test_cert_makes_files_that_nobody_else_reads_and_keeps_box_toml(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home", settings="# mine\n\n[[webhook]]\nurl = 'http://x/y'\n")
    assert "PACHYBOX_CA=ca.pem" in box.cli("cert", "lab.example.org", "10.1.2.3", "*.lab")
    folder = box.home / "tls"
    assert {p.name: p.stat().st_mode & 0o777 for p in folder.iterdir()} == dict.fromkeys(
        ("ca.pem", "ca.key", "cert.pem", "key.pem"), 0o600
    )
    assert folder.stat().st_mode & 0o777 == 0o700
    text = (box.home / "box.toml").read_text()
    assert "# mine" in text
    assert 'tls_cert = "tls/cert.pem"' in text.partition("[[webhook]]")[0]
    shown = json.loads(box.cli("cert", "show", "--raw"))
    assert shown["names"] == ["lab.example.org", "10.1.2.3", "*.lab"]
    assert 820 < shown["daysLeft"] < 826
    wild = box.cli("cert", "--force", "*.lab")
    assert "https://HOST.lab:" in wild
    again = box.run("cert")
    assert (again.returncode, "cert renew" in again.stderr) == (1, True)
    assert box.run("cert", "renew", "--days", "826").returncode == 1
    assert box.run("cert", "renew", "no name").returncode == 1
    assert json.loads(box.cli("cert", "renew", "--days", "90", "--raw"))["daysLeft"] == 89
    before = (folder / "ca.pem").read_bytes()
    box.cli("cert", "--force")
    assert (folder / "ca.pem").read_bytes() != before


def test_cert_makes_a_data_directory_that_nobody_else_reads(tmp_path: Path) -> None:
    from appliance.cert import make

    before = os.umask(0o022)
    try:
        make(tmp_path / "home", ["lab"], 90)
    finally:
        os.umask(before)
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


def test_a_context_names_the_certificates(box: RealBox, ca: Path, tmp_path: Path) -> None:
    before, box.env = box.env, {**box.env, "XDG_CONFIG_HOME": str(tmp_path)}
    del box.env["PACHYBOX_HOME"]
    try:
        address = before and box.client.status().address
        box.cli("connect", str(address), "--ca", str(ca), "--alias", "far")
        bare = box.run("list", "repo")
        assert (bare.returncode, "show one: PACHYBOX_TOKEN" in bare.stderr) == (1, True)
        box.cli("config", "update", "context", "far", "--token", "-", stdin=TOKEN.encode())
        assert "data" in box.cli("list", "repo")
        assert json.loads(box.cli("config", "get", "context", "far"))["ca"] == str(ca)
    finally:
        box.env = before
