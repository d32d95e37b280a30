"""boto3 over https, which signs and frames bodies in another way than over http."""

from __future__ import annotations

import os

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError


def test_objects_of_any_size_over_tls() -> None:
    client = boto3.client(
        "s3",
        endpoint_url=os.environ["PACHYBOX_TLS"],
        verify=os.environ["PACHYBOX_TLS_CA"],
        config=Config(retries={"max_attempts": 0}),
    )
    client.create_bucket(Bucket="boto")
    for size in (0, 1, 100_000, 10_000_000):
        content = os.urandom(size)
        client.put_object(Bucket="boto", Key=f"of {size}", Body=content)
        assert client.get_object(Bucket="boto", Key=f"of {size}")["Body"].read() == content
    client.put_object(Bucket="boto", Key="sum", Body=b"x" * 1000, ChecksumAlgorithm="SHA256")
    assert (
        client.get_object(Bucket="boto", Key="sum", Range="bytes=10-19")["Body"].read() == b"x" * 10
    )
    client.close()


def test_a_box_of_another_ca_is_not_trusted() -> None:
    client = boto3.client(
        "s3", endpoint_url=os.environ["PACHYBOX_TLS"], config=Config(retries={"max_attempts": 0})
    )
    with pytest.raises(SSLError):
        client.list_buckets()
    client.close()
