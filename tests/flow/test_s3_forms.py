"""Uploads by a browser's form: policies signed by the token, and what they forbid."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from hashlib import md5, sha256
from typing import Any

import pytest

from tests.boxes import RealBox
from tests.s3 import S3, Answer, Signer

TOKEN = "form-token"
_HOUR = 3600


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    box = RealBox(
        tmp_path_factory.mktemp("forms") / "home", settings=f'token = "{TOKEN}"\n'
    ).start()
    client = S3.of(box.client.status().address, Signer(TOKEN, TOKEN))
    assert client("PUT", "/forms").status == 200
    yield client
    client.close()
    box.stop()


def policy(conditions: Any, expires: float = _HOUR, **more: Any) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + expires))
    document = {"expiration": when, "conditions": conditions, **more}
    return base64.b64encode(json.dumps(document).encode()).decode()


def signed(text: str, key: str = TOKEN) -> dict[str, str]:
    made = base64.b64encode(hmac.digest(key.encode(), text.encode(), "sha1")).decode()
    return {"AWSAccessKeyId": "pachybox", "policy": text, "signature": made}


def form(fields: dict[str, str], content: bytes = b"content") -> bytes:
    made = "".join(
        f'--B\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'
        for n, v in fields.items()
    )
    made += '--B\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\n'
    return made.encode() + content + b"\r\n--B--\r\n"


def post(s3: S3, fields: dict[str, str], content: bytes = b"content", **headers: str) -> Answer:
    kind = {"content-type": "multipart/form-data; boundary=B", **headers}
    return s3.raw("POST", "/forms", form(fields, content), kind)


CONDITIONS: list[Any] = [
    {"bucket": "forms"}, ["starts-with", "$key", "k"], {"acl": "private"},
    ["starts-with", "$Content-Type", "text/"], ["content-length-range", 2, 4_000_000],
    ["starts-with", "$x-amz-meta-a", ""],
]  # fmt: skip
FIELDS = {"key": "k/${filename}", "acl": "private", "Content-Type": "text/x", "x-amz-meta-a": "ü"}


def test_a_signed_form_uploads(s3: S3) -> None:
    assert post(s3, {**FIELDS, **signed(policy(CONDITIONS))}).status == 204
    got = s3("GET", "/forms/k/f.txt")
    assert (got.body, got.headers["content-type"]) == (b"content", "text/x")
    assert got.headers["x-amz-meta-a"].encode("latin-1").decode() == "ü"
    big = b"\r\n--" * 500_000
    foreign = {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"}
    upper = {"kEy": "k1", "aCl": "private", "x-ignore-this": "1", **signed(policy(CONDITIONS))}
    assert post(s3, {**upper, "content-type": "text/y"}, big, **foreign).status == 204
    assert s3("GET", "/forms/k1").body == big
    assert s3("GET", "/forms/k1").headers["etag"] == f'"{md5(big).hexdigest()}"'


def test_a_form_signed_by_version_4(s3: S3) -> None:
    signer = Signer("pachybox", TOKEN)
    stamp = signer.stamp()
    who = {
        "x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-date": stamp,
        "x-amz-credential": f"pachybox/{signer.scope(stamp)}",
    }  # fmt: skip
    text = policy([*CONDITIONS, *({name: value} for name, value in who.items())])
    fields = {**FIELDS, **who, "policy": text, "x-amz-signature": signer.sign(text, stamp)}
    assert post(s3, fields).status == 204
    answer = post(s3, {**fields, "x-amz-signature": "0" * 64})
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_how_it_answers(s3: S3) -> None:
    conditions = [*CONDITIONS, ["starts-with", "$success_action_status", ""],
                  ["starts-with", "$success_action_redirect", ""]]  # fmt: skip
    fields = {**FIELDS, **signed(policy(conditions))}
    made = post(s3, {**fields, "success_action_status": "201"})
    assert (made.status, made.text("Key"), made.text("Bucket")) == (201, "k/f.txt", "forms")
    assert post(s3, {**fields, "success_action_status": "200"}).status == 200
    assert post(s3, {**fields, "success_action_status": "404"}).status == 204
    made = post(s3, {**fields, "success_action_redirect": "http://x.example/?a=1"})
    etag = f"%22{md5(b'content').hexdigest()}%22"
    assert made.status == 303
    assert made.headers["location"] == (
        f"http://x.example/?a=1&bucket=forms&key=k%2Ff.txt&etag={etag}"
    )


@pytest.mark.parametrize(
    ("conditions", "fields", "status", "code"),
    [
        (CONDITIONS[1:], FIELDS, 403, "AccessDenied"),
        (CONDITIONS, {**FIELDS, "key": "other"}, 403, "AccessDenied"),
        (CONDITIONS, {**FIELDS, "x-amz-meta-b": "1"}, 403, "AccessDenied"),
        ([{"bucket": "x"}, *CONDITIONS[1:]], FIELDS, 403, "AccessDenied"),
        ([*CONDITIONS, ["content-length-range", 0, 3]], FIELDS, 400, "EntityTooLarge"),
        ([*CONDITIONS, ["content-length-range", 100, 300]], FIELDS, 400, "EntityTooSmall"),
        ([*CONDITIONS, ["content-length-range", 0]], FIELDS, 400, "InvalidPolicyDocument"),
        ([*CONDITIONS, ["content-length-range", -1, 0]], FIELDS, 400, "InvalidPolicyDocument"),
        ([{}], FIELDS, 400, "InvalidPolicyDocument"), ("x", FIELDS, 400, "InvalidPolicyDocument"),
        ([*CONDITIONS, ["eq", "x", "y"]], FIELDS, 400, "InvalidPolicyDocument"),
        ([*CONDITIONS, {"a": 1}], FIELDS, 400, "InvalidPolicyDocument"),
        (CONDITIONS, {n: v for n, v in FIELDS.items() if n != "key"}, 403, "AccessDenied"),
        (CONDITIONS, {**FIELDS, "x-amz-meta-a": "a\nb"}, 400, "InvalidArgument"),
        ([*CONDITIONS, {"x-amz-meta-b: c": "d"}], {**FIELDS, "x-amz-meta-b: c": "d"}, 400,
         "InvalidArgument"),
    ],
)  # fmt: skip
def test_policies_are_kept(
    s3: S3, conditions: Any, fields: dict[str, str], status: int, code: str
) -> None:
    answer = post(s3, {**fields, **signed(policy(conditions))})
    assert (answer.status, answer.code) == (status, code), answer.body


def test_forms_that_are_refused(s3: S3) -> None:
    good = policy(CONDITIONS)
    for fields, status, code in (
        (FIELDS, 403, "AccessDenied"), ({**FIELDS, "policy": good}, 400, "InvalidArgument"),
        ({**FIELDS, **signed(good, "wrong")}, 403, "SignatureDoesNotMatch"),
        ({**FIELDS, **signed(good), "AWSAccessKeyId": "x"}, 403, "InvalidAccessKeyId"),
        ({**FIELDS, **signed(policy(CONDITIONS, -1))}, 403, "AccessDenied"),
        ({**FIELDS, **signed(policy(CONDITIONS, expiration="soon"))}, 400, "InvalidPolicyDocument"),
        ({**FIELDS, **signed(policy(CONDITIONS, expiration=None))}, 400, "InvalidPolicyDocument"),
        ({**FIELDS, **signed("e30=")}, 400, "InvalidPolicyDocument"),
        ({**FIELDS, **signed("~~~")}, 400, "InvalidPolicyDocument"),
        ({**FIELDS, **signed(base64.b64encode(b"[" * 10_000).decode())}, 400,
         "InvalidPolicyDocument"),
    ):  # fmt: skip
        answer = post(s3, fields)
        assert (answer.status, answer.code) == (status, code), answer.body
    answer = s3.raw("POST", "/forms", b"x", {"content-type": "text/plain"})
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    answer = s3.raw("POST", "/forms", b"x", {"content-type": "multipart/form-data; boundary=B"})
    assert (answer.status, answer.code) == (400, "MalformedPOSTRequest")
    sums = [*CONDITIONS, ["starts-with", "$x-amz-checksum-sha256", ""]]
    wrong = base64.b64encode(sha256(b"other").digest()).decode()
    fields = {**FIELDS, **signed(policy(sums)), "x-amz-checksum-sha256": wrong, "key": "k-sum"}
    answer = post(s3, fields)
    assert (answer.status, answer.code) == (400, "BadDigest")
    assert s3("HEAD", "/forms/k-sum").status == 404
