"""Pages of other sites cannot use a box on the user's machine; tokens are asked where set."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pachybox.api.access.principal import Principal, Role
from pachybox.api.door import Access
from pachybox.errors import Unauthenticated
from tests.unit.api.conftest import Serve, Served
from tests.unit.api.house import Raw

VERSION = "/api/versionpb_v2.API/GetVersion"


@pytest.mark.parametrize("host", ["localhost", "localhost:30600", "127.0.0.1:1", "[::1]:30600"])
def test_loopback_names_are_served(remote: Raw, host: str) -> None:
    assert remote.request("POST", VERSION, host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.", "", "localhost@evil", "10.0.0.1"],
)
def test_a_rebound_name_is_refused(remote: Raw, host: str) -> None:
    status, _, body = remote.request("POST", VERSION, host=host)
    assert status == 403
    assert b"not a name of this box" in body


def test_a_configured_name_is_served(serve: Serve) -> None:
    served = serve(access=Access(hosts=frozenset({"box.lan"})))
    raw = Raw(served.tcp)
    assert raw.request("POST", VERSION, host="box.lan:80")[0] == 200
    assert raw.request("POST", VERSION, host="localhost")[0] == 403
    raw.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_another_sites_page_is_refused(remote: Raw, headers: dict[str, str]) -> None:
    assert remote.request("POST", VERSION, b"{}", **headers)[0] == 403


def test_a_page_of_the_box_itself_is_served(remote: Raw) -> None:
    status, _, _ = remote.request(
        "POST", VERSION, b"{}", host="localhost:30600", origin="http://localhost:30600",
        sec_fetch_site="same-origin", content_type="application/json",
    )  # fmt: skip
    assert status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_page_must_say_that_it_sends_json(remote: Raw, kind: str) -> None:
    headers = {"content_type": kind} if kind else {}
    status, _, _ = remote.request("POST", VERSION, b"{}", referer="http://localhost/", **headers)
    assert status == 415


def test_curl_need_not_say_what_it_sends(remote: Raw) -> None:
    kind = "application/x-www-form-urlencoded"
    assert remote.request("POST", VERSION, b"{}", content_type=kind)[0] == 200


def test_a_link_from_elsewhere_may_be_followed(remote: Raw) -> None:
    headers = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert remote.request("GET", "/docs", **headers)[0] == 200
    assert remote.request("GET", "/docs", sec_fetch_site="cross-site")[0] == 403


ME = Principal("me", Role.ADMIN)


def needs_token(headers: Mapping[str, str], local: bool) -> Principal:
    if local or headers.get("authorization") == "Bearer right":
        return ME
    raise Unauthenticated("no authentication token (try logging in)", "set PACHYBOX_TOKEN")


def test_without_its_token_a_client_is_unauthenticated(serve: Serve) -> None:
    served: Served = serve(access=Access(authenticate=needs_token))
    raw = Raw(served.tcp)
    status, headers, body = raw.request("POST", VERSION, b"{}")
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert b"no authentication token (try logging in)" in body
    for path in ("/metrics", "/docs", "/files/get?repo=r&ref=m", "/pfs/p/r/m/f"):
        assert raw.request("GET", path)[0] == 401
    assert raw.request("GET", "/healthz")[0] == 200
    assert raw.request("POST", VERSION, b"{}", authorization="Bearer right")[0] == 200
    assert served.house.calls[-1].principal is ME
    raw.close()
