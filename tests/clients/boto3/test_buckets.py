"""Buckets are branches: made, found, listed and removed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from pachybox.client import Client

Refused = Callable[..., AbstractContextManager[None]]
Unique = Callable[[str], str]


def test_a_new_bucket_is_a_repo_with_a_branch(client: Any, s3_box: Client, unique: Unique) -> None:
    name = unique("made")
    assert client.create_bucket(Bucket=name)["Location"] == f"/{name}"
    assert s3_box.inspect_repo(name)
    assert s3_box.inspect_branch(f"{name}@master")
    client.create_bucket(Bucket=f"dev.{name}")
    assert [b.name for b in s3_box.list_branch(name)].count("dev") == 1
    listed = {b["Name"] for b in client.list_buckets()["Buckets"]}
    assert {n for n in listed if name in n} == {
        n for n in listed if n.startswith((f"master.{name}", f"dev.{name}"))
    }
    assert sum(name in n for n in listed) == 2


def test_every_listed_bucket_can_be_entered(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    mine = [b["Name"] for b in client.list_buckets()["Buckets"] if bucket in b["Name"]]
    assert len(mine) == 1
    assert client.list_objects_v2(Bucket=mine[0])["Contents"][0]["Key"] == "k"


def test_a_branch_of_its_own_has_objects_of_its_own(
    client: Any, s3_box: Client, bucket: str
) -> None:
    client.create_bucket(Bucket=f"dev.{bucket}")
    client.put_object(Bucket=f"dev.{bucket}", Key="k", Body=b"dev")
    client.put_object(Bucket=f"master.{bucket}", Key="k", Body=b"master")
    assert client.get_object(Bucket=f"dev.{bucket}", Key="k")["Body"].read() == b"dev"
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"master"
    assert s3_box.get_file(f"{bucket}@dev:/k") == b"dev"


def test_projects(client: Any, s3_box: Client, unique: Unique, refused: Refused) -> None:
    project, repo = unique("project"), unique("repo")
    with refused("NoSuchBucket", 404):
        client.create_bucket(Bucket=f"master.{repo}.{project}")
    s3_box.create_project(project)
    client.create_bucket(Bucket=f"master.{repo}.{project}")
    client.put_object(Bucket=f"master.{repo}.{project}", Key="k", Body=b"in a project")
    assert s3_box.get_file(f"{project}/{repo}@master:/k") == b"in a project"
    with refused("NoSuchBucket", 404):
        client.list_objects_v2(Bucket=repo)


def test_a_commit_is_a_bucket_to_read(client: Any, bucket: str) -> None:
    first = client.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]
    client.put_object(Bucket=bucket, Key="k", Body=b"second")
    old = f"{first}.master.{bucket}.default"
    assert client.get_object(Bucket=old, Key="k")["Body"].read() == b"first"
    with pytest.raises(ClientError) as caught:
        client.put_object(Bucket=old, Key="k", Body=b"third")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403, 405)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"second"


def test_there_are_no_two_of_a_name(client: Any, bucket: str, refused: Refused) -> None:
    with refused("BucketAlreadyOwnedByYou", 409):
        client.create_bucket(Bucket=bucket)


def test_only_an_empty_bucket_is_removed(
    client: Any, s3_box: Client, bucket: str, refused: Refused
) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused("BucketNotEmpty", 409):
        client.delete_bucket(Bucket=bucket)
    client.delete_object(Bucket=bucket, Key="k")
    client.delete_bucket(Bucket=bucket)
    with refused("404", 404):
        client.head_bucket(Bucket=bucket)
    assert bucket not in [r.name for r in s3_box.list_repo()]


def test_what_is_not_there(client: Any, bucket: str, unique: Unique, refused: Refused) -> None:
    missing = unique("missing")
    with refused("404", 404):
        client.head_bucket(Bucket=missing)
    with refused("NoSuchBucket", 404):
        client.list_objects_v2(Bucket=missing)
    with refused("NoSuchBucket", 404):
        client.put_object(Bucket=missing, Key="k", Body=b"x" * 100_000)
    with refused("NoSuchBucket", 404):
        client.delete_bucket(Bucket=missing)
    with refused("NoSuchBucket", 404):
        client.get_object(Bucket=missing, Key="k")
    with refused("NoSuchBucket", 404):
        client.list_objects_v2(Bucket=f"other.{bucket}")


def test_versioning_is_always_on(client: Any, bucket: str) -> None:
    assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(ClientError):
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_a_location_is_told(client: Any, bucket: str) -> None:
    answer = client.get_bucket_location(Bucket=bucket)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert client.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_writing_to_the_output_of_a_pipeline_is_refused(
    client: Any, s3_box: Client, bucket: str, refused: Refused
) -> None:
    s3_box.create_pipelines(
        {
            "pipeline": {"name": f"{bucket}-out"},
            "transform": {"cmd": ["true"]},
            "input": {"pfs": {"repo": bucket, "glob": "/"}},
        }
    )
    with refused("WriteToOutputBranch", 400):
        client.put_object(Bucket=f"{bucket}-out", Key="k", Body=b"x")
    s3_box.delete_pipeline(f"{bucket}-out")


@pytest.mark.parametrize(
    "operation",
    [
        "get_bucket_lifecycle_configuration",
        "get_bucket_policy",
        "get_bucket_website",
        "get_bucket_replication",
        "get_bucket_logging",
        "get_bucket_notification_configuration",
        "list_bucket_inventory_configurations",
    ],
)
def test_what_is_not_offered_says_so(
    client: Any, bucket: str, operation: str, status: Callable[..., int]
) -> None:
    """With an empty answer, which is one too, or an error that says it."""
    assert status(getattr(client, operation), Bucket=bucket) in (200, 404, 501)


def test_what_cannot_be_set_is_not_taken_silently(
    client: Any, bucket: str, refused: Refused
) -> None:
    with refused("NotImplemented", 501):
        client.put_bucket_policy(Bucket=bucket, Policy="{}")
    with refused("NotImplemented", 501):
        client.put_bucket_website(
            Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "i.html"}}
        )


def test_the_token_opens_and_nothing_else_does(s3: str, bucket: str, refused: Refused) -> None:
    for key, secret, code in (
        ("somebody", "else", "InvalidAccessKeyId"),
        (None, None, "AccessDenied"),
    ):
        session = boto3.session.Session(key, secret) if key else boto3.session.Session()
        config = Config(signature_version=UNSIGNED) if key is None else None
        with refused(code, 403):
            session.client("s3", endpoint_url=s3, config=config).list_objects_v2(Bucket=bucket)


def test_a_wrong_secret_is_told_from_a_wrong_signature(
    s3: str, client: Any, bucket: str, refused: Refused
) -> None:
    key = client._request_signer._credentials.access_key
    forged = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id=key, aws_secret_access_key=key + "x"
    )
    with refused("SignatureDoesNotMatch", 403):
        forged.list_objects_v2(Bucket=bucket)
    with refused("SignatureDoesNotMatch", 403):
        forged.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)


def test_the_old_signature(s3: str, s3_box: Client, unique: Unique) -> None:
    """Version 2, by which old programs sign all they do."""
    name = unique("old")
    old = boto3.client("s3", endpoint_url=s3, config=Config(signature_version="s3"))
    old.create_bucket(Bucket=name)
    old.put_object(Bucket=name, Key="a b/ü", Body=b"x", Metadata={"of": "me"})
    assert [o["Key"] for o in old.list_objects(Bucket=name)["Contents"]] == ["a b/ü"]
    assert old.get_object(Bucket=name, Key="a b/ü")["Body"].read() == b"x"
    assert old.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    upload = old.create_multipart_upload(Bucket=name, Key="parts")["UploadId"]
    what = {"Bucket": name, "Key": "parts", "UploadId": upload}
    tag = old.upload_part(**what, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
    old.complete_multipart_upload(**what, MultipartUpload=parts)
    assert s3_box.get_file(f"{name}@master:/parts") == b"part"
    old.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "parts"}, {"Key": "a b/ü"}]})
    old.delete_bucket(Bucket=name)


def test_without_a_token_anybody_on_the_machine_may(http: str, box: Client, unique: Unique) -> None:
    name = unique("open")
    for number, options in enumerate(
        (
            {"aws_access_key_id": "any", "aws_secret_access_key": "thing"},
            {"config": Config(signature_version=UNSIGNED)},
        )
    ):
        client = boto3.client("s3", endpoint_url=http, **options)
        if not number:
            client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key=f"k{number}", Body=b"x")
    assert len(list(box.list_file(f"{name}@master:/"))) == 2
