"""Presigned URLs and forms: whoever has one may do that one thing, for a while."""

from __future__ import annotations

import http.client
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config


def fetch(
    url: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    """Status and body of a request by a plain HTTP client, which adds no headers of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}".rstrip("?"), body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture(params=["s3v4", "s3"])
def signature(request: pytest.FixtureRequest) -> str:
    """The version of the signature: 4, or 2, which boto3 makes when it is not told another."""
    name: str = request.param
    return name


@pytest.fixture
def signer(s3: str, signature: str) -> Any:
    return boto3.client("s3", endpoint_url=s3, config=Config(signature_version=signature))


@pytest.fixture
def presign(signer: Any, bucket: str) -> Callable[..., str]:
    def make(operation: str, expires: int = 60, **params: object) -> str:
        url: str = signer.generate_presigned_url(
            operation, Params={"Bucket": bucket, "Key": "k", **params}, ExpiresIn=expires
        )
        return url

    return make


def test_get_and_head(client: Any, bucket: str, presign: Callable[..., str]) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"shared")
    assert fetch(presign("get_object")) == (200, b"shared")
    assert fetch(presign("head_object"), "HEAD") == (200, b"")
    assert fetch(presign("get_object"), Range="bytes=1-2") == (206, b"ha")
    url = presign("get_object", ResponseContentDisposition='attachment; filename="a b"')
    assert fetch(url) == (200, b"shared")


def test_put(client: Any, bucket: str, presign: Callable[..., str]) -> None:
    assert fetch(presign("put_object"), "PUT", b"sent")[0] == 200
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"sent"
    url = presign("put_object", ContentType="text/x")
    assert fetch(url, "PUT", b"typed", **{"Content-Type": "text/x"})[0] == 200
    assert client.head_object(Bucket=bucket, Key="k")["ContentType"] == "text/x"
    assert fetch(url, "PUT", b"other", **{"Content-Type": "text/y"})[0] == 403


def test_delete(client: Any, bucket: str, presign: Callable[..., str]) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert fetch(presign("delete_object"), "DELETE")[0] == 204
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)


def test_it_opens_nothing_else(client: Any, bucket: str, presign: Callable[..., str]) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"kept")
    client.put_object(Bucket=bucket, Key="kk", Body=b"other")
    url = presign("get_object")
    assert fetch(url, "DELETE")[0] == 403
    assert fetch(url, "PUT", b"x")[0] == 403
    assert fetch(url.replace(f"{bucket}/k?", f"{bucket}/kk?"))[0] == 403
    assert fetch(url[:-1] + ("0" if url[-1] != "0" else "1"))[0] == 403
    assert fetch(re.sub("Expires=[0-9]", "Expires=9", url))[0] == 403
    assert fetch(url.partition("?")[0])[0] == 403
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"kept"


def test_it_ends(
    client: Any, bucket: str, presign: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    early = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda remove_tzinfo=True: early.replace(tzinfo=None)
    )
    monkeypatch.setattr("botocore.auth.time.time", early.timestamp)
    monkeypatch.setattr("botocore.crt.auth.get_current_datetime", lambda **_: early)
    status, body = fetch(presign("get_object", 60))
    assert status == 403
    assert b"AccessDenied" in body
    assert fetch(presign("get_object", 7200))[0] == 200


def test_keys_of_all_kinds(client: Any, bucket: str, presign: Callable[..., str]) -> None:
    for key in ("a b", "a+b&c=d", "ü/日本", "100%", "~x*'()!"):
        assert fetch(presign("put_object", Key=key), "PUT", key.encode())[0] == 200
        assert fetch(presign("get_object", Key=key)) == (200, key.encode())


def test_a_form_of_a_browser(client: Any, bucket: str) -> None:
    form = client.generate_presigned_post(
        bucket,
        "from/${filename}",
        Fields={"Content-Type": "text/plain"},
        Conditions=[
            ["starts-with", "$Content-Type", "text/"],
            ["content-length-range", 1, 100],
        ],
    )
    edge = uuid.uuid4().hex
    fields = "".join(
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items()
    )

    def post(content: bytes) -> int:
        file = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n'
        body = f"{fields}{file}Content-Type: text/plain\r\n\r\n".encode()
        body += content + f"\r\n--{edge}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        return fetch(form["url"], "POST", body, **kind)[0]

    assert post(b"by a form") == 204
    assert client.get_object(Bucket=bucket, Key="from/f.txt")["Body"].read() == b"by a form"
    assert post(b"x" * 101) == 400
