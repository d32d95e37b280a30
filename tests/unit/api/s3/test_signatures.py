"""Canonical forms and signatures: Amazon's published examples, and what holds of all."""

from __future__ import annotations

import time
from typing import cast
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.api.access import Access
from pachybox.api.http import Body, Request
from pachybox.api.s3 import sigv2, sigv4
from pachybox.api.s3.auth import Gate
from pachybox.api.s3.errors import S3Error
from tests.s3 import Signer, encoded

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
STAMP = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"
HOST = "examplebucket.s3.amazonaws.com"


def signature(method: str, path: str, query: str, headers: dict[str, str], payload: str) -> str:
    headers = {"host": HOST, "x-amz-content-sha256": payload, "x-amz-date": STAMP, **headers}
    text = sigv4.canonical_request(method, path, query, headers, sorted(headers), payload)
    key = sigv4.signing_key(SECRET, SCOPE)
    return sigv4.sign(key, sigv4.string_to_sign(STAMP, SCOPE, text))


@pytest.mark.parametrize(
    ("query", "headers", "made"),
    [
        ("", {"range": "bytes=0-9"},
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("lifecycle", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", {},
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)  # fmt: skip
def test_published_gets(query: str, headers: dict[str, str], made: str) -> None:
    path = "/test.txt" if headers else "/"
    assert signature("GET", path, query, headers, sigv4.EMPTY_SHA256) == made


def test_published_put() -> None:
    payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
    headers = {
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
    }
    made = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    for path in ("/test$file.text", "/test%24file.text"):
        assert signature("PUT", path, "", headers, payload) == made


def test_published_presigned_address() -> None:
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
        "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature=left-out"
    )
    text = sigv4.canonical_request(
        "GET", "/test.txt", query, {"host": HOST}, ["host"], "UNSIGNED-PAYLOAD", "X-Amz-Signature"
    )
    made = sigv4.sign(sigv4.signing_key(SECRET, SCOPE), sigv4.string_to_sign(STAMP, SCOPE, text))
    assert made == "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"


def test_published_version_2() -> None:
    date = "Tue, 27 Mar 2007 19:36:42 +0000"
    text = sigv2.string_to_sign("GET", "johnsmith", "/photos/puppy.jpg", "", {}, date)
    assert text.decode() == f"GET\n\n\n{date}\n/johnsmith/photos/puppy.jpg"
    assert sigv2.sign(SECRET, text) == "bWq2s1WEIj+Ydj0vQ697zp+IXMU="
    text = sigv2.string_to_sign("GET", "johnsmith", "/", "acl&x=1", {}, date)
    assert text.decode().endswith("\n/johnsmith/?acl")


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(text, text), max_size=6), text, text)
def test_any_request_signs_as_the_client_signs(
    query: list[tuple[str, str]], key: str, value: str
) -> None:
    """However a client encodes what it sends, both sides make the same signature."""
    signer = Signer("AKIA", SECRET)
    path = encoded("/bucket/" + key, "/")
    headers = {"host": HOST, "x-amz-meta-a": encoded(value)}
    sent = [(n, v) for n, v in query if n or v]
    theirs = signer.signature("PUT", path, sent, headers, "UNSIGNED-PAYLOAD", STAMP)
    for keep in ("", "/!*'(),:"):
        on_the_wire = "&".join(f"{quote(n, safe=keep)}={quote(v, safe=keep)}" for n, v in sent)
        canonical = sigv4.canonical_request(
            "PUT", quote("/bucket/" + key, safe="/" + keep), on_the_wire, headers, sorted(headers),
            "UNSIGNED-PAYLOAD",
        )  # fmt: skip
        made = sigv4.sign(
            sigv4.signing_key(SECRET, SCOPE), sigv4.string_to_sign(STAMP, SCOPE, canonical)
        )
        assert made == theirs


@given(st.text(st.characters(codec="latin-1"), max_size=40))
def test_canonical_forms_are_fixed_points(text: str) -> None:
    path = sigv4.canonical_path(quote("/" + text))
    assert sigv4.canonical_path(path) == path
    query = sigv4.canonical_query(quote(text, safe="&="))
    assert sigv4.canonical_query(query) == query


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Signature", "é"),
        ("X-Amz-SignedHeaders", "host;ж"),
        ("X-Amz-Credential", "pachybox/{day}/ж/s3/aws4_request"),
        ("X-Amz-Content-Sha256", "ж"),
    ],
)
def test_addresses_that_say_anything_are_refused(name: str, value: str) -> None:
    """What a presigned address says need not be what a header can say."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"pachybox/{stamp[:8]}/r/s3/aws4_request",
        "X-Amz-Date": stamp,
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Expires": "100",
        "X-Amz-Signature": "0" * 64,
        name: value.format(day=stamp[:8]),
    }
    body = cast(Body, None)
    request = Request("GET", "/a/b", urlencode(query), 1, {"host": HOST}, body, local=False)
    with pytest.raises(S3Error) as caught:
        Gate(Access("token")).check(request, query, "")
    assert caught.value.status in (400, 403)
