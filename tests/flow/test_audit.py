"""The audit log: every change and every refusal, by whatever door, and nothing that is secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pachybox.client import Client, Denied
from tests.boxes import RealBox, eventually
from tests.rpc import Rpc
from tests.s3 import S3, Signer

CONTENT = "content-that-nobody-logs"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    home = tmp_path_factory.mktemp("audit") / "home"
    box = RealBox(home, settings='audit_bytes = 65536\nlog_level = "debug"\n').start()
    yield box
    box.stop()


def lines(box: RealBox, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in box.cli("audit", "--raw", *arguments).splitlines()]


def test_who_did_what_by_which_door(box: RealBox) -> None:
    owner = box.client
    token = owner.create_token("w", "writer")
    owner.create_secret("db", {"password": CONTENT})
    status = owner.status()
    with Client(status.address, token=token) as client:
        client.create_repo("r")
        client.put_file("r@master:/f", CONTENT.encode())
        assert client.get_file("r@master:/f")  # which is no change
        with pytest.raises(Denied):
            client.list_secret()
    rpc = Rpc(status.grpc_address.removeprefix("grpc://"), token=token)
    rpc.metadata = (*rpc.metadata, ("x-request-id", "abc"))
    rpc("pfs_v2.API/CreateRepo", repo={"name": "g"})
    rpc.close()
    s3 = S3.of(status.address, Signer(token, token))
    assert s3("PUT", "/master.r/s3", CONTENT.encode()).status == 200
    assert s3("GET", "/master.r/s3").status == 200
    s3.close()
    found = lines(box, "--who", "w")
    told = [
        (e["door"], e["method"].rpartition("/")[2], tuple(e.get("things", ())), e["code"])
        for e in found
    ]
    assert told == [
        ("json", "CreateRepo", ("repo:r",), "ok"),
        ("files", "put", ("repo:r",), "ok"),
        ("json", "ListSecret", (), "permission_denied"),
        ("grpc", "CreateRepo", ("repo:g",), "ok"),
        ("s3", "S3 PutObject", ("repo:r",), "ok"),
    ]
    assert found[3]["request"] == "abc"
    assert all("127.0.0.1" in e["peer"] and e["role"] == "writer" for e in found)
    mine = [e for e in lines(box) if e["method"].endswith(("CreateToken", "CreateSecret"))]
    assert {(e["who"], e["peer"].partition(":")[0]) for e in mine} == {("local", "uid")}
    assert [e["things"] for e in mine] == [["token:w"], ["secret:db"]]
    text = (box.home / "logs" / "audit.log").read_text()
    box_log = (box.home / "run" / "box.log").read_text()
    assert not any(hidden in text + box_log for hidden in (token, CONTENT))
    assert (box.home / "logs" / "audit.log").stat().st_mode & 0o777 == 0o600
    owner.delete_secret("db")
    owner.delete_token("w")
    gone = [
        e["things"] for e in lines(box) if e["method"].endswith(("DeleteToken", "DeleteSecret"))
    ]
    assert gone == [["secret:db"], ["token:w"]]
    assert lines(box, "--who", "nobody") == []
    assert len(lines(box, "--tail", "2")) == 2
    assert lines(box, "--since", "2100-01-01") == []
    assert "CreateRepo" in box.cli("audit", "--since", "1h")


def test_it_is_followed(box: RealBox) -> None:
    seen: list[str] = []
    client = Client(str(box.socket))
    stream = client.audit(follow=True, who="local")

    def follow() -> None:
        with stream:
            for entry in stream:
                seen.extend(entry.things)
                if "repo:turn-499" in seen:
                    return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    box.client.create_repo("followed")
    eventually(lambda: "repo:followed" in seen, "the line comes")
    for number in range(500):  # more than its files hold: they are rotated, and still followed
        box.client.create_repo(f"turn-{number}")
    eventually(lambda: "repo:turn-499" in seen, "the lines behind a rotation come")
    thread.join(10)
    client.close()
    assert [t for t in seen if "turn" in t] == [f"repo:turn-{n}" for n in range(500)]
    files = sorted((box.home / "logs").glob("audit.log*"))
    assert 1 < len(files) <= 4
    assert sum(file.stat().st_size for file in files) <= 65536 + 4 * 16384


def test_what_a_crash_leaves_is_read(box: RealBox) -> None:
    box.client.create_repo("before")
    eventually(lambda: "repo:before" in _text(box.home), "the line is written")
    box.kill()
    with (box.home / "logs" / "audit.log").open("ab") as file:
        file.write(b'{"time": "cut of')
    box.start()
    box.client.create_repo("behind")
    box.client.create_repo("behind-it")
    things = [thing for e in lines(box) for thing in e.get("things", ())]
    assert things.index("repo:before") < things.index("repo:behind-it")


def _text(home: Path) -> str:
    """All of it: the file may be rotated away while it is looked for."""
    found = []
    for path in sorted((home / "logs").glob("audit.log*"), reverse=True):
        with suppress(FileNotFoundError):
            found.append(path.read_text())
    return "".join(found)
