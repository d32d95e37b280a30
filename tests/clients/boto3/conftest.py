"""boto3's low-level client, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError


@pytest.fixture(scope="session")
def client(s3: str) -> Any:
    """A client of the box with a token; retries would hide faults."""
    return boto3.client("s3", endpoint_url=s3, config=Config(retries={"max_attempts": 0}))


@pytest.fixture(scope="session")
def refused() -> Callable[..., AbstractContextManager[None]]:
    """``with refused("NoSuchKey", 404):`` what is done inside must be answered so."""

    @contextmanager
    def expect(code: str, status: int) -> Iterator[None]:
        with pytest.raises(ClientError) as caught:
            yield
        answer = caught.value.response
        said = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"])
        assert said == (code, status), answer

    return expect


@pytest.fixture(scope="session")
def status() -> Callable[..., int]:
    """``status(client.method, Bucket=...)``: the HTTP status, whether it worked or not."""

    def answered(method: Callable[..., Any], **params: object) -> int:
        try:
            answer = method(**params)
        except ClientError as error:
            answer = error.response
        number: int = answer["ResponseMetadata"]["HTTPStatusCode"]
        return number

    return answered
