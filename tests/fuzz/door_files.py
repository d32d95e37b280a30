"""Inputs for the doors of files: frames up and down, archives, zips, pages."""

from __future__ import annotations

import base64
import io
import json
import struct
import tarfile
from urllib.parse import quote

from pachybox.client.archive import address
from tests.fuzz import door_json
from tests.fuzz.noise import ID, ODD, Noise
from tests.fuzz.wire import Outcome, exchange
from tests.fuzz.world import Subject

name = "files"
_QUERIES = (
    "repo", "ref", "path", "project", "glob", "offset", "length", "fd", "url", "token", "commit",
    "recursive", "tar", "description", "transaction", "history", "datum", "authn-token",
)  # fmt: skip
_OPS: tuple[list[object], ...] = (
    ["p", "/new", 5], ["a", "/a.txt", 3], ["d", "/a.txt"], ["d", "/*"],
    ["c", {"src_repo": "images", "src_ref": "master", "src_path": "/dir", "path": "/copied"}],
    ["u", "/fetched", "http://127.0.0.1:1/x", {"recursive": True}], ["f", "/fd"],
    ["s", "/split", "line", 5, {"target_file_datums": 1}], ["m", 4], ["p", "/big", 70_000],
)  # fmt: skip
_PAGES = (
    "/", "/docs", "/openapi.json", "/metrics", "/healthz", "/readyz", "/jsonschema/",
    "/jsonschema/pps_v2/CreatePipelineRequest.schema.json",
    "/jsonschema/pfs_v2/Repo.schema.json", "/favicon.ico",
)  # fmt: skip


def make(noise: Noise) -> bytes:
    """One request."""
    match noise.randrange(10):
        case 0 | 1 | 2:
            target = "/files/put?" + _query(noise, {"repo": "other", "ref": "master"})
            return door_json.request(noise, "POST", target, _frames(noise))
        case 3 | 4:
            wanted = {"repo": "images", "ref": noise.choice(("master", ID)), "path": "/a.txt"}
            target = "/files/get?" + _query(noise, wanted)
            return _get(noise, target)
        case 5 | 6:
            ref = noise.choice(("master", ID, "staging", noise.word()))
            path = noise.choice(("a.txt", "", "dir/", "dir", "large", noise.word()))
            where = "/".join(quote(part, safe="") for part in ("default", "images", ref))
            return _get(noise, f"/pfs/{where}/{quote(path, safe='/')}")
        case 7:
            return _get(noise, _zip(noise))
        case 8:
            if noise.once_in(4):
                return door_json.request(noise, "POST", "/box/extract", b"")
            target = "/box/restore" + noise.choice(("", "", "?fd=1", "?url=x", "?url=file:///x"))
            return door_json.request(noise, "POST", target, _tar(noise))
    page = noise.choice(_PAGES)
    return _get(noise, page + (noise.choice(ODD[9:12]) if noise.once_in(4) else ""))


def _query(noise: Noise, names: dict[str, str]) -> str:
    """A query with something more, or less, or wrong."""
    made = dict(names)
    if noise.once_in(2):
        made[noise.choice(_QUERIES)] = noise.choice((noise.word(), str(noise.number())))
    if noise.once_in(6):
        del made[noise.choice(list(made))]
    text = "&".join(f"{quote(k)}={quote(v, safe='')}" for k, v in made.items())
    return noise.damaged(text.encode(), 1).decode("latin-1") if noise.once_in(12) else text


def _get(noise: Noise, target: str) -> bytes:
    data = door_json.request(noise, "GET", target, b"")
    if noise.once_in(3):
        header = noise.choice(
            (b"Range: bytes=%d-%d" % (noise.number() % 4000, noise.number() % 4000),
             b"Range: bytes=-5", b"Range: bytes=5-", b"Range: bytes=0-0,3-4", b"Range: lines=1-2",
             b"Range: bytes=-0", b"Range: bytes=99999999999999999999-", b"If-None-Match: *",
             b'If-None-Match: "x", W/"y"', b"If-Match: x", b"If-Range: x", b"If-Modified-Since: x",
             b"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
             b"If-Unmodified-Since: Fri, 31 Dec 9999 23:59:59 GMT", b"Accept: text/html",
             b"Accept-Encoding: br"),
        )  # fmt: skip
        data = data.replace(b"\r\n\r\n", b"\r\n" + header + b"\r\n\r\n", 1)
    return data


def _frames(noise: Noise) -> bytes:
    """Frames of operations, and their end."""
    made = b""
    for _ in range(noise.randint(1, 3)):
        ops = [list(noise.choice(_OPS)) for _ in range(noise.randint(1, 3))]
        sizes = sum(one for op in ops for one in op if isinstance(one, int))
        header: object = ops if noise.once_in(2) else ops[0]
        if noise.once_in(2):
            header = noise.json(header)
        text = noise.json_bytes(header)
        length = len(text)
        if noise.once_in(10):
            length = noise.choice((0, 1, length + 1, 2**31, 2**32 - 1, 16 << 20))
        made += struct.pack("<I", length) + text
        made += noise.randbytes(max(0, sizes + (noise.randint(-2, 2) if noise.once_in(5) else 0)))
    if not noise.once_in(10):
        made += bytes(4)
    return noise.damaged(made, 2) if noise.once_in(6) else made


def _zip(noise: Noise) -> str:
    """The address of a zip."""
    wanted = [
        f"default/{noise.choice(('images', 'edges', noise.word()))}@master:{noise.word()}"
        for _ in range(noise.randrange(4))
    ]
    path = address(wanted)
    if noise.once_in(2):
        name, _, form = path.removeprefix("/archive/").rpartition(".")
        packed = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4))
        packed = noise.damaged(packed, 2)
        path = f"/archive/{base64.urlsafe_b64encode(packed).decode().rstrip('=')}.{form}"
    return noise.damaged(path.encode(), 1).decode("latin-1") if noise.once_in(8) else path


def _tar(noise: Noise) -> bytes:
    """An archive that is none of a box, or hardly."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member in ("manifest.json", "meta/repos.json", noise.choice(("../x", "/etc/x", "a"))):
            data = noise.json_bytes(noise.json(json.loads('{"version": 1, "tables": {}}')))
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = out.getvalue()
    return noise.damaged(data[: noise.choice((len(data), 600, 3000))], 2)


def send(to: Subject, data: bytes) -> Outcome:
    return exchange(to.http, to.real(data))


def writes(data: bytes) -> bool:
    """Whether an answer that is well may have changed something."""
    return not data.startswith((b"GET ", b"HEAD ")) and b"/box/extract" not in data[:40]


def empties(data: bytes) -> bool:
    return False


def stops(data: bytes) -> bool:
    return False


def keyed(data: bytes) -> bool:
    """Whether it may show the token, or ask what all may."""
    return data.partition(b" ")[2].startswith((b"/healthz", b"/readyz"))
