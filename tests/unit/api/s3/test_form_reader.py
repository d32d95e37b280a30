"""Forms: at every split, with any content, and malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.api.s3.errors import S3Error
from pachybox.api.s3.form_reader import FormReader, boundary_of
from tests.unit.api.s3.test_chunked import wire


def body(fields: dict[str, str], content: bytes, end: bytes = b"--\r\n") -> bytes:
    made = b""
    for name, value in fields.items():
        head = f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        made += head.encode()
    made += b'--B\r\ncontent-disposition: form-data; name="file"; filename="a \\"b.txt"\r\n'
    return made + b"content-type: text/plain\r\n\r\n" + content + b"\r\n--B" + end


def read(form: FormReader) -> bytes:
    view, found = memoryview(bytearray(7)), b""
    while n := form.readinto(view):
        found += view[:n]
    return found


def test_every_split_gives_the_same() -> None:
    data = body({"Key": "k", "x": "\r\n-"}, b"one\r\n--\r\n--C\r\n--", b"--\r\nbehind")
    for at in range(len(data) + 1):
        form = FormReader(wire([data[:at], data[at:]]), "B")
        assert form.fields() == {"key": "k", "x": "\r\n-"}
        assert form.filename == 'a "b.txt'
        assert read(form) == b"one\r\n--\r\n--C\r\n--"


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_content_comes_through(content: bytes, step: int) -> None:
    data = body({"key": "k"}, content)
    form = FormReader(wire([data[i : i + step] for i in range(0, len(data), step)]), "B")
    form.fields()
    assert read(form) == content.partition(b"\r\n--B")[0]


@given(st.binary(max_size=300))
def test_garbage_never_breaks_it(data: bytes) -> None:
    with pytest.raises(S3Error):
        FormReader(wire([data]), "B").fields()
    form = FormReader(wire([body({}, b"")[:-10] + data]), "B")
    try:
        form.fields()
        read(form)
    except S3Error:
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"", b"--B--\r\n", b"--B\r\n\r\nx\r\n--B--", b"--B\r\n" + b"a" * 10_000,
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 300_000,
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--B',
        body({f"f{n}": "x" * 10_000 for n in range(40)}, b""),
    ],
)  # fmt: skip
def test_malformed_forms_are_refused(data: bytes) -> None:
    with pytest.raises(S3Error):
        FormReader(wire([data]), "B").fields()


def test_boundaries() -> None:
    assert boundary_of('multipart/form-data; charset=x; boundary="a b"') == "a b"
    assert boundary_of("Multipart/Form-Data;boundary=----x") == "----x"
    for text in ("", "text/plain; boundary=x", "multipart/form-data", "multipart/form-data; b=c"):
        assert boundary_of(text) == ""
