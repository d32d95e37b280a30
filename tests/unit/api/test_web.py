"""Files for browsers: conditions, directories, zips; schemas and samples of the messages."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile

import pytest

from pachybox.api import archive_address, jsonschema
from pachybox.api.access.principal import OWNER, Principal
from pachybox.api.door import Access
from pachybox.api.parser import parse
from pachybox.api.samples import sample
from pachybox.api.table import Table
from pachybox.api.zip_writer import ZipWriter
from pachybox.client.archive import address
from pachybox.errors import InvalidArgument, Unauthenticated
from tests.unit.api.conftest import Serve, Served
from tests.unit.api.house import WHEN, Raw

FILE = "/pfs/default/images/master/a.txt"
ID = "44444444444444444444444444444444"
LATER, EARLIER = "Fri, 02 Jan 2026 03:04:06 GMT", "Fri, 02 Jan 2026 03:04:05 GMT"


@pytest.fixture(autouse=True)
def stored(served: Served) -> None:
    served.house.files |= {"/a.txt": b"hello", "/sub/b.txt": b"in here"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"if_match": '"abc"'}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": '"old"'}, 412),
        ({"if_match": '"abc"', "if_unmodified_since": EARLIER}, 200),
        ({"if_unmodified_since": LATER}, 200),
        ({"if_unmodified_since": EARLIER}, 412),
        ({"if_none_match": '"abc"'}, 304),
        ({"if_none_match": '"old"', "if_modified_since": LATER}, 200),
        ({"if_modified_since": LATER}, 304),
        ({"if_modified_since": EARLIER}, 200),
        ({"if_modified_since": "when I was young"}, 200),
        ({"range": "bytes=1-2", "if_range": LATER}, 206),
        ({"range": "bytes=1-2", "if_range": EARLIER}, 200),
        ({"range": "bytes=1-2", "if_match": '"old"'}, 412),
    ],
)
def test_conditions_are_those_of_http(client: Raw, headers: dict[str, str], status: int) -> None:
    assert client.request("GET", FILE, **headers)[0] == status


def test_only_a_finished_commit_by_its_id_may_be_kept(client: Raw) -> None:
    for ref, kept in (
        ("master", "private, no-cache"),
        ("open", "private, no-cache"),
        (ID, "private"),
    ):
        _, headers, _ = client.request("HEAD", FILE.replace("master", ref))
        assert (headers["cache-control"], headers["vary"]) == (kept, "authn-token")
        assert headers.get("last-modified") == (None if ref == "open" else LATER)


def test_a_directory_is_listed_below_an_address_with_a_slash(client: Raw) -> None:
    for path in ("/pfs/default/images/master", "/pfs/default/images/master/sub?x=1"):
        status, headers, _ = client.request("GET", path)
        bare, mark, query = path.partition("?")
        assert (status, headers["location"]) == (301, f"{bare}/{mark}{query}")
    status, headers, body = client.request("GET", "/pfs/default/images/master/")
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert body == b"-\t5\t/a <b>.txt\nd\t7\t/sub/\n"
    assert client.request("HEAD", "/pfs/default/images/master/")[0] == 200
    accept = "text/html,application/xhtml+xml,*/*;q=0.8"
    _, headers, body = client.request("GET", "/pfs/default/images/master/", accept=accept)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert b'<a href="./a%20%3Cb%3E.txt">a &lt;b&gt;.txt</a>' in body
    assert b'<a href="./sub/">sub/</a>' in body


def test_a_redirection_stays_on_this_host(client: Raw) -> None:
    status, headers, _ = client.request("GET", "/pfs//evil.example/x")
    assert status == 404
    assert "location" not in headers


# ---- zips


def zipped(client: Raw, *files: str) -> dict[str, bytes]:
    status, headers, body = client.request("GET", address(files))
    assert (status, headers["content-type"]) == (200, "application/zip")
    assert re.fullmatch(r"attachment; filename=[\w.:-]+\.zip", headers["content-disposition"])
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_files_come_as_a_zip(client: Raw, served: Served) -> None:
    large = bytes(range(256)) * 10_000
    served.house.files["/sub/großes"] = large
    assert zipped(client, "default/images@master:/sub", "default/other@master:/a.txt") == {
        "default/images/master/sub/b.txt": b"in here",
        "default/images/master/sub/großes": large,
        "default/other/master/a.txt": b"hello",
    }
    assert zipped(client) == {}


def test_what_cannot_be_had_is_told_in_the_zip(client: Raw, served: Served) -> None:
    served.house.files["/corrupt"] = b"x"
    found = zipped(client, "default/images@master:/none", f"p/images@{ID}:/")
    assert found.pop("@error.txt").decode().splitlines() == [
        "path default/images@master:/none: file /none not found",
        f"path p/images/{ID}/corrupt: the content does not match its hash",
    ]
    assert list(found) == [f"p/images/{ID}/a.txt", f"p/images/{ID}/sub/b.txt"]


@pytest.mark.parametrize(
    "path",
    [
        "/archive/",
        "/archive/AQ",
        "/archive/AQ.tar",
        "/archive/AQ.tar.gz",
        "/archive/.zip",
        "/archive/Ag.zip",
        "/archive/A.zip",
        "/archive/A!.zip",
        "/archive/AQAA.zip",
        "/archive/x/AQ.zip",
        "/archive/ASi1L_0EAMEAAGRlZmF1bHQvaW1hZ2VzQG1hc3RlcjovAGmGDFc.zip",
        address(["images@master:/"]),
        address(["default/images:/"]),
        address(["default/images@:/"]),
    ],
)
def test_an_address_that_means_nothing_is_refused(client: Raw, path: str) -> None:
    status, _, body = client.request("GET", path)
    assert (status, json.loads(body)["code"]) == (400, 3)


def test_a_zip_is_got_only(client: Raw) -> None:
    assert client.request("HEAD", "/archive/AQ.zip")[0] == 405
    assert client.request("POST", "/archive/AQ.zip")[0] == 405


def test_a_client_that_leaves_ends_the_zip(served: Served) -> None:
    served.house.files = {f"/{n}": b"x" * (4 << 20) for n in range(20)}
    raw = Raw(served.socket)
    raw.send(f"GET {address(['p/r@b:/'])} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    raw.head()
    raw.close()
    other = Raw(served.socket)
    gone = b'pachybox_requests_total{method="GET /archive",code="cancelled"} 1'
    while gone not in other.request("GET", "/metrics")[2]:
        pass
    other.close()
    assert len(served.house.finished) < 20


def test_large_zips_have_the_fields_of_zip64() -> None:
    """Sizes, places and counts past 32 and 16 bits, without writing as much."""
    index, at = bytearray(), 0

    def write(data: bytes | memoryview) -> None:
        nonlocal at
        at += len(data)
        if not isinstance(data, Huge):
            index.extend(data)

    archive = ZipWriter(write)
    archive.add("large", 1 << 32, [Huge()], WHEN)
    archive.add("behind", 2, [b"hi"], WHEN)
    for number in range(70_000):
        archive.add(f"{number}", 0, [], WHEN)
    archive.finish()
    assert archive.size == at
    # The reader seeks within what is there: a file with a hole where the large content was.
    hole = at - len(index)
    head = 30 + 5 + 20
    reader = zipfile.ZipFile(_Holed(bytes(index), head, hole))
    infos = reader.infolist()
    assert (infos[0].file_size, infos[1].header_offset) == (1 << 32, (1 << 32) + head + 24)
    assert len(infos) == 70_002
    assert reader.read("behind") == b"hi"
    assert infos[0].date_time == (2026, 1, 2, 3, 4, 6)
    with pytest.raises(ValueError, match="2 bytes instead of 3"):
        archive.add("short", 3, [b"hi"], WHEN)


class Huge(bytes):
    """Bytes that are said to be 4 GiB."""

    def __len__(self) -> int:
        return 1 << 32


class _Holed(io.RawIOBase):
    """``data`` with ``size`` bytes of nothing at ``at``."""

    def __init__(self, data: bytes, at: int, size: int) -> None:
        self._data, self._hole, self._size, self._at = data, at, size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, len(self._data) + self._size)[whence]
        self._at = base + offset
        return self._at

    def read(self, count: int = -1) -> bytes:
        start = self._at - (self._size if self._at > self._hole else 0)
        found = self._data[start : None if count < 0 else start + count]
        self._at += len(found)
        return found


def test_a_link_may_carry_the_token(serve: Serve) -> None:
    def authenticate(headers: object, local: bool) -> Principal:
        if headers.get("authn-token") != "t0":  # type: ignore[attr-defined]
            raise Unauthenticated("no authentication token (try logging in)")
        return OWNER

    served = serve(access=Access(authenticate, closed=lambda: True))
    served.house.files = {"/a.txt": b"hello"}
    raw = Raw(served.tcp)
    for path in (FILE, "/archive/AQ.zip"):
        assert raw.request("GET", path)[0] == 401
        assert raw.request("GET", f"{path}?authn-token=t1")[0] == 401
        assert raw.request("GET", f"{path}?authn-token=%0d%0a")[0] == 400
        assert raw.request("GET", f"{path}?authn-token=t0")[0] == 200
        assert served.house.calls[-1].token == "t0"
    assert raw.request("POST", "/api/versionpb_v2.API/GetVersion?authn-token=t0")[0] == 401
    raw.close()


# ---- schemas and samples


def test_every_message_has_a_schema(client: Raw) -> None:
    for name in jsonschema.names():
        kind, body = jsonschema.page(f"/jsonschema/{name}.schema.json")
        assert kind == "application/schema+json"
        document = json.loads(body)
        used = set(re.findall(r'"#/definitions/([^"]+)"', body.decode()))
        assert used == set(document["definitions"]), name
    status, _, body = client.request("GET", "/jsonschema/pps_v2/CreatePipelineRequest.schema.json")
    assert status == 200
    found = json.loads(body)["definitions"]["CreatePipelineRequest"]["properties"]
    assert found["pipeline"]["oneOf"][1] == {"$ref": "#/definitions/pps_v2.Pipeline"}
    status, _, body = client.request("GET", "/jsonschema/")
    assert b'href="pps_v2/CreatePipelineRequest.schema.json"' in body
    for missing in ("/jsonschema/pps_v2/None.schema.json", "/jsonschema/../x", "/jsonschema/a"):
        assert client.request("GET", missing)[0] == 404


def test_a_schema_tells_right_specs_from_wrong_ones() -> None:
    validator = pytest.importorskip("jsonschema").Draft4Validator
    _, body = jsonschema.page("/jsonschema/pps_v2/CreatePipelineRequest.schema.json")
    schema = json.loads(body)
    validator.check_schema(schema)
    spec = json.loads(sample(Table().find("pps_v2.API/CreatePipeline")))
    spec |= {"datumTries": "3", "datumTimeout": "1.5s", "s3Out": None, "metadata": {"labels": {}}}
    assert list(validator(schema).iter_errors(spec)) == []
    for wrong in ({"transfrom": {}}, {"datumTries": "three"}, {"autoscaling": 1}, {"input": []}):
        assert list(validator(schema).iter_errors(spec | wrong)), wrong


def test_the_sample_of_a_method_is_a_request_of_it() -> None:
    for method in Table():
        for line in sample(method).splitlines():
            parse(line.encode(), method.request_class)


def test_addresses_are_made_and_read() -> None:
    files = ["p/r@b:/x y", "default/images@master:/"]
    assert [str(w) for w in archive_address.parse(address(files))] == sorted(files)


# Addresses out of Pachyderm's own tests and of its console.
KNOWN = {
    "ASi1L_0EaHUBAEQCZGVmYXVsdC9pbWFnZXNAbWFzdGVyOi8AbW9udGFnZS5wbmcAAxQEBQPYsGPLbFDb": [
        "default/images@master:/",
        "default/montage@master:/montage.png",
    ],
    "ASi1L_0gYd0CABLGFRtwaxMeIippme3f279RC021H2IiEQ5BAlRVTwTZHsDZOpOqk9YbjpTtQQjICVro"
    "iFeUSr6gWgZ2ozTMMgqYQIGhuxDlTDVc8xe3Z0wRZ8eH2z80cetURQA": [
        "Solar-Power-Data-Logger-Team-Collab/cron@0918ac9d5daa76b86e3bb5e88e4c43a4:"
        "/yml_spec_too_large.yml"
    ],
}


@pytest.mark.parametrize("text", KNOWN)
def test_addresses_of_pachyderm_are_read(text: str) -> None:
    found = archive_address.parse(f"/archive/{text}.zip")
    assert [str(one) for one in found] == KNOWN[text]
    cut = text[:-8]
    with pytest.raises(InvalidArgument, match="cannot be unpacked"):
        archive_address.parse(f"/archive/{cut[: len(cut) // 4 * 4]}.zip")


def test_an_address_that_unpacks_to_too_much_is_refused() -> None:
    import zstandard

    packed = zstandard.ZstdCompressor().compress(b"a" * (64 << 20))
    text = base64.urlsafe_b64encode(b"\1" + packed).decode().rstrip("=")
    with pytest.raises(InvalidArgument):
        archive_address.parse(f"/archive/{text}.zip")
