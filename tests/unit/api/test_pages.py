"""What stands beside the calls: files by URL, health, figures, the description."""

from __future__ import annotations

import json
import re

import pytest
from openapi_spec_validator import validate

from pachybox.api import openapi
from pachybox.api.table import Table
from tests.unit.api.conftest import Serve, Served
from tests.unit.api.house import Raw

FILE = "/pfs/default/images/master/a%20b/c.png"
CONTENT = bytes(range(100))


@pytest.fixture
def stored(served: Served) -> bytes:
    served.house.files["/a b/c.png"] = CONTENT
    return CONTENT


def test_a_file_is_downloaded_by_its_url(client: Raw, stored: bytes) -> None:
    status, headers, body = client.request("GET", FILE)
    assert (status, body) == (200, stored)
    assert headers["content-type"] == "image/png"
    assert headers["etag"] == '"abc"'
    assert headers["content-length"] == "100"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=90-", 90, 100), ("bytes=-7", 93, 100), ("bytes=5-999", 5, 100)],
)
@pytest.mark.parametrize("how", ["master", "kernel"])
def test_a_range_of_a_file_is_sent(
    client: Raw, stored: bytes, wanted: str, start: int, end: int, how: str
) -> None:
    path = FILE.replace("master", how)
    status, headers, body = client.request("GET", path, range=wanted)
    assert (status, body) == (206, stored[start:end])
    assert headers["content-range"] == f"bytes {start}-{end - 1}/100"


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=-0", "bytes=500-600"])
def test_a_range_outside_a_file_is_refused(client: Raw, stored: bytes, wanted: str) -> None:
    status, headers, _ = client.request("GET", FILE, range=wanted)
    assert (status, headers["content-range"]) == (416, "bytes */100")


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "bytes=9-5", "lines=1-2", "bytes=-"])
def test_another_kind_of_range_gets_the_whole_file(client: Raw, stored: bytes, wanted: str) -> None:
    status, _, body = client.request("GET", FILE, range=wanted)
    assert (status, body) == (200, stored)


def test_what_the_client_has_already_is_not_sent(client: Raw, stored: bytes) -> None:
    assert client.request("GET", FILE, if_none_match='"x", "abc"')[0] == 304
    assert client.request("GET", FILE, if_none_match='"x"')[0] == 200
    assert client.request("GET", FILE, range="bytes=0-1", if_range='"old"')[0] == 200


def test_head_sends_no_body(client: Raw, stored: bytes) -> None:
    status, headers, _ = client.request("HEAD", FILE)
    assert (status, headers["content-length"]) == (200, "100")
    assert client.request("HEAD", "/healthz")[0] == 200
    assert client.request("GET", "/healthz")[2] == b"ok\n"
    assert client.request("GET", "/readyz")[2] == b"ok\n"


def test_what_ails_the_box_is_a_line_each(serve: Serve) -> None:
    raw = Raw(serve(checks={"/healthz": lambda: ["one", "two"]}).socket)
    status, _, body = raw.request("GET", "/healthz")
    assert (status, body) == (503, b"one\ntwo\n")
    assert raw.request("POST", "/healthz")[0] == 405
    raw.close()


@pytest.mark.parametrize("path", ["/pfs/default/images", "/pfs/a/b", "/pfs/", "/pfs/a//b/c"])
def test_an_incomplete_file_url_is_not_found(client: Raw, path: str) -> None:
    assert client.request("GET", path)[0] == 404


def test_a_missing_file_is_not_found(client: Raw) -> None:
    status, _, body = client.request("GET", "/pfs/default/images/master/none")
    assert status == 404
    assert b"file /none not found in repo images" in body


def test_metrics_count_requests_by_method_and_outcome(serve: Serve) -> None:
    gauges = [
        ("pachybox_jobs", "Jobs by state.", "gauge", {"state": 'run"ning\n'}, 2.0),
        ("pachybox_jobs", "Jobs by state.", "gauge", {"state": "done"}, 12345678901.0),
    ]
    served = serve(gauges=lambda: gauges)
    raw = Raw(served.socket)
    raw.call("pfs_v2.API/InspectRepo", {"repo": {"name": "images"}})
    raw.call("pfs_v2.API/InspectRepo", {"repo": {"name": "x"}})
    raw.call("pfs_v2.API/Invented", {})
    status, headers, body = raw.request("GET", "/metrics")
    text = body.decode()
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'pachybox_requests_total{method="pfs_v2.API/InspectRepo",code="ok"} 1' in text
    assert 'pachybox_requests_total{method="pfs_v2.API/InspectRepo",code="not_found"} 1' in text
    assert "Invented" not in text
    bucket = 'pachybox_request_seconds_bucket{method="pfs_v2.API/InspectRepo",le="+Inf"} 2'
    assert bucket in text
    assert 'pachybox_request_seconds_count{method="pfs_v2.API/InspectRepo"} 2' in text
    assert "pachybox_connections 1" in text
    assert 'pachybox_jobs{state="run\\"ning\\n"} 2' in text
    assert 'pachybox_jobs{state="done"} 12345678901' in text
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) .+|[a-z_]+(\{.*\})? [0-9.e+-]+", line), line
    assert text.count("# TYPE pachybox_jobs gauge") == 1
    raw.close()


def test_the_description_is_valid_and_has_every_method(client: Raw) -> None:
    status, _, body = client.request("GET", "/openapi.json")
    assert status == 200
    document = json.loads(body)
    methods = [m.full_name for m in Table()]
    assert [p[5:] for p in document["paths"] if p.startswith("/api/")] == methods
    built = document["paths"]["/api/pfs_v2.API/InspectRepo"]["post"]
    assert built["x-pachybox-built"]
    schema = built["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/pfs_v2.InspectRepoRequest"}
    stream = document["paths"]["/api/pfs_v2.API/ListFile"]["post"]["responses"]["200"]
    assert list(stream["content"]) == ["application/json"]


def test_the_description_follows_the_standard() -> None:
    validate(json.loads(json.dumps(openapi.document(Table(), "1"))))


def test_the_docs_page_needs_nothing_from_elsewhere(client: Raw) -> None:
    status, headers, body = client.request("GET", "/docs")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"openapi.json" in body
    assert not re.search(rb"(src|href)=[\"']?(https?:)?//", body)
