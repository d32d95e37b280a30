"""Tokens: who is let in, what each role may in the whole box, and how a token ends."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from pachybox.api.access.needs import METHODS, Scope
from pachybox.api.access.principal import OVER
from pachybox.api.table import Table, collect
from pachybox.client import Client, InvalidArgument, Unauthenticated
from pachybox.daemon import _HANDLERS
from pachybox.errors import PachyboxError
from tests.boxes import RealBox, eventually
from tests.flow.houses import House, branch, code, denied, done, opened, spec


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    box = RealBox(tmp_path_factory.mktemp("tokens") / "home").start()
    for repo in ("mine", "hidden"):
        box.client.create_repo(repo)
        box.client.put_file(f"{repo}@master:/f", f"content of {repo}".encode())
    made = opened(box)
    yield made
    made.close()


# ---- who is let in


def test_every_method_says_what_it_wants() -> None:
    class Nothing:
        pass

    built = {m.full_name for m in Table(collect(Nothing(), *_HANDLERS)) if m.handler is not None}
    others = ("auth_v2", "enterprise_v2", "identity_v2", "license_v2")
    missing = sorted(name for name in built - METHODS.keys() if not name.startswith(others))
    assert missing == []
    known = {m.full_name for m in Table()}
    assert sorted(METHODS.keys() - known) == []
    assert not any(
        need.scope is not Scope.BOX and "secret" in n.lower() for n, need in METHODS.items()
    )


def test_from_the_first_token_on_callers_show_one(house: House) -> None:
    for door in (house.client(""), house.client("pb_wrong")):
        with pytest.raises(Unauthenticated):
            list(door.list_repo())
    assert code(house.rpc(""), "pfs_v2.API/ListRepo") == "UNAUTHENTICATED"
    assert code(house.rpc("nobody"), "pfs_v2.API/ListRepo") == "UNAUTHENTICATED"
    for path in (
        "/metrics",
        "/docs",
        "/files/get?repo=mine&ref=master",
        "/pfs/default/mine/master/f",
    ):
        assert house.page(path)[0] == 401, path
    assert house.page("/box/extract", "", b"")[0] == 401
    assert house.page("/ingest/any", "", b"{}")[0] == 401
    assert house.page("/healthz")[0] == 200
    assert {r.name for r in house.box.client.list_repo()} >= {"mine", "hidden"}  # by the socket


def test_roles_of_the_box(house: House) -> None:
    reader, writer, admin = (house.client(n) for n in ("reader", "writer", "admin"))
    assert reader.get_file("hidden@master:/f") == b"content of hidden"
    for act in (
        lambda: reader.put_file("mine@master:/g", b"x"),
        lambda: reader.create_repo("r1"),
        lambda: reader.delete_file("mine@master:/f"),
        lambda: reader.start_commit("mine@master"),
        lambda: reader.create_pipelines(spec("p1", "mine")),
        lambda: reader.run_pipeline("copy"),
        lambda: reader.stop_pipeline("copy"),
    ):
        assert "needs the role writer" in denied(act)
    writer.create_repo("w1")
    writer.put_file("w1@master:/a", b"a")
    writer.create_pipelines(spec("w2", "w1"))
    writer.delete_pipeline("w2")
    for person in (reader, writer):
        for forbidden in (
            lambda p=person: p.create_secret("s", {"k": "v"}),
            lambda p=person: p.list_secret(),
            lambda p=person: p.create_token("mine-too", "admin"),
            lambda p=person: p.list_token().all(),
            lambda p=person: p.delete_token("admin"),
            lambda p=person: p.audit().all(),
            lambda p=person: p.delete_repo("w1"),
            lambda p=person: p.shutdown(),
            lambda p=person: p.delete_all(),
            lambda p=person: p.fsck(),
        ):
            assert "needs the role admin" in denied(forbidden)
    for name in ("reader", "writer"):
        rpc = house.rpc(name)
        for method in ("Dump", "Profile", "Binary", "Trace", "GetDumpV2Template", "DumpV2"):
            assert code(rpc, f"debug_v2.Debug/{method}") == "PERMISSION_DENIED", method
        assert code(rpc, "pps_v2.API/SetClusterDefaults") == "PERMISSION_DENIED"
        assert code(rpc, "admin_v2.API/RestartPachyderm") == "PERMISSION_DENIED"
        assert code(rpc, "pfs_v2.API/DeleteAll") == "PERMISSION_DENIED"
        assert house.page("/box/extract", name, b"")[0] == 403
        assert house.page("/box/restore", name, b"x")[0] == 403
    admin.delete_repo("w1")
    assert {t.name for t in admin.list_token()} >= house.tokens.keys()


def test_a_reader_has_the_box_send_nothing(house: House) -> None:
    rpc = house.rpc("reader")
    file = {"commit": {"branch": {"repo": {"name": "mine"}, "name": "master"}}, "path": "/f"}
    assert code(rpc, "pfs_v2.API/GetFile", file=file) == "OK"
    for method in ("GetFile", "GetFileTAR"):
        got = code(rpc, f"pfs_v2.API/{method}", file=file, url="s3://bucket/x")
        assert got == "PERMISSION_DENIED"
    assert code(rpc, "pfs_v2.API/Egress", commit=file["commit"]) == "PERMISSION_DENIED"


def test_batches_and_transactions_are_no_way_around(house: House) -> None:
    reader, writer = house.rpc("reader"), house.rpc("writer")
    make = {"create_repo": {"repo": {"name": "batched"}}}
    drop = {"delete_repo": {"repo": {"name": "hidden"}, "force": True}}
    batch = "transaction_v2.API/BatchTransaction"
    assert code(reader, batch, requests=[make]) == "PERMISSION_DENIED"
    assert code(writer, batch, requests=[make, drop]) == "PERMISSION_DENIED"
    assert code(writer, batch, requests=[make]) == "OK"
    bound = house.rpc("bound-writer")
    assert code(bound, batch, requests=[{"delete_branch": branch("hidden")}]) == "PERMISSION_DENIED"
    started = writer("transaction_v2.API/StartTransaction").id
    for rpc in (reader, bound, writer):
        rpc.metadata = (*rpc.metadata, ("pach-transaction", started))
    assert code(reader, "pfs_v2.API/CreateRepo", repo={"name": "q"}) == "PERMISSION_DENIED"
    assert code(bound, "pfs_v2.API/CreateRepo", repo={"name": "new"}) == "PERMISSION_DENIED"
    assert code(writer, "pfs_v2.API/DeleteRepo", repo={"name": "batched"}) == "PERMISSION_DENIED"
    where = {"transaction": {"id": started}}
    assert code(reader, "transaction_v2.API/FinishTransaction", **where) == "PERMISSION_DENIED"
    assert code(writer, "transaction_v2.API/DeleteTransaction", **where) == "OK"


# ---- their lives


def test_a_token_ends_at_once_also_for_what_goes_on(house: House) -> None:
    owner = house.box.client
    token = owner.create_token("short", "reader")
    ends: list[str] = []

    def follow(act: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                act()
            except (PachyboxError, grpc.RpcError) as e:
                ends.append(str(e))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    client, rpc = house.client(token), house.rpc(token)
    seen: tuple[list[object], list[object]] = [], []
    streams = [
        follow(lambda: seen[0].extend(client.events(follow=True))),
        follow(lambda: seen[1].extend(rpc.stream("pachybox.v1.API/SubscribeEvents", follow=True))),
    ]
    eventually(lambda: all(seen), "they follow")
    owner.delete_token("short")
    for stream in streams:
        stream.join(10)
        assert not stream.is_alive()
    assert [OVER in end for end in ends] == [True, True], ends
    with pytest.raises(Unauthenticated):
        list(house.client(token).list_repo())
    state = {t.name: t.state for t in owner.list_token()}
    assert state["short"] == "revoked"


def test_a_download_ends_with_its_token(house: House) -> None:
    owner = house.box.client
    size = 64 << 20
    owner.put_file("mine@master:/large", bytes(size))
    address = house.http.removeprefix("http://")
    for path in ("/files/get?repo=mine&ref=master&path=/large", "/pfs/default/mine/master/large"):
        token = owner.create_token(f"downloads-{path[1:4]}", "reader")
        line = http.client.HTTPConnection(address, timeout=30)
        line.request("GET", path, headers={"authn-token": token})
        answer = line.getresponse()
        assert answer.status == 200
        got = len(answer.read(1000))
        owner.delete_token(f"downloads-{path[1:4]}")
        with suppress(http.client.HTTPException, OSError):
            while piece := answer.read(1 << 20):
                got += len(piece)
        assert got < size
        line.close()


def test_a_token_expires(house: House) -> None:
    owner = house.box.client
    token = owner.create_token("brief", "reader", expires_s=0.5)
    client = house.client(token)

    def over() -> bool:
        try:
            list(client.list_repo())
        except Unauthenticated:
            return True
        return False

    eventually(over, "it has expired")
    assert {t.name: t.state for t in owner.list_token()}["brief"] == "expired"


def test_revoking_the_last_does_not_open_the_box(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home").start()

    def projects(token: str) -> list[str]:
        with Client(box.client.status().address, token=token) as client:
            return [p.name for p in client.list_project()]

    try:
        assert projects("")  # open, to this machine
        open_client = Client(box.client.status().address, token="", patience_s=0)
        before = open_client.events(follow=True)
        assert next(before)
        token = box.cli("create", "token", "one", "--role", "reader", "--expires", "2d").strip()
        assert token.startswith("pb_")
        assert len(token) == 46
        with pytest.raises(PachyboxError):  # who was let in without one is not any more
            list(before)
        open_client.close()
        held = box.home / "meta.duckdb"
        box.cli("delete", "token", "one")
        with pytest.raises(Unauthenticated):
            projects("")
        with pytest.raises(InvalidArgument, match="the only token"):
            box.client.delete_token("one", purge=True)
        box.kill()  # also after the worst
        box.start()
        with pytest.raises(Unauthenticated):
            projects(token)
        box.cli("delete", "token", "--all")
        assert projects("")
        assert token.encode() not in held.read_bytes()
        assert box.run("create", "token", "local").returncode == 1
    finally:
        box.stop()


def test_user_code_has_a_token_of_its_own(tmp_path: Path) -> None:
    """What user code finds in its environment lets it write, and no more."""
    box = RealBox(tmp_path / "home", settings='token = "of-the-file"\n').start()
    try:
        owner = box.client
        owner.create_repo("in")
        owner.put_file("in@master:/f", b"x")
        ask = (
            "import json, os, urllib.request, urllib.error\n"
            "def ask(method, body):\n"
            "    r = urllib.request.Request(os.environ['PACHYBOX_ADDRESS'] + '/api/' + method,\n"
            "        json.dumps(body).encode(), {'authn-token': os.environ['PACHYBOX_TOKEN']})\n"
            "    try:\n"
            "        return urllib.request.urlopen(r).status\n"
            "    except urllib.error.HTTPError as e:\n"
            "        return e.code\n"
            "found = [ask('pfs_v2.API/CreateRepo', {'repo': {'name': 'made'}}),\n"
            "         ask('pps_v2.API/ListSecret', {}), os.environ['PACHYBOX_TOKEN']]\n"
            "open('/pfs/out/found', 'w').write(json.dumps(found))\n"
        )
        owner.create_pipelines(spec("asks", "in") | {"transform": {"cmd": ["python3", "-c", ask]}})
        eventually(lambda: done(owner, "asks"), "it has run")
        made, secrets, token = json.loads(owner.get_file("asks@master:/found"))
        assert (made, secrets) == (200, 403)
        assert token != "of-the-file"
        assert token.startswith("pb_")
    finally:
        box.stop()


def test_no_archive_holds_tokens_and_restoring_leaves_those_there_are(
    house: House, tmp_path: Path
) -> None:
    file = tmp_path / "box.tar"
    house.box.cli("extract", str(file))
    assert b"meta/tokens" not in file.read_bytes()
    other = RealBox(tmp_path / "home").start()
    try:
        token = other.client.create_token("own", "reader")
        other.cli("restore", str(file))
        assert [t.name for t in other.client.list_token()] == ["own"]
        with Client(other.client.status().address, token=token) as client:
            assert client.get_file("hidden@master:/f") == b"content of hidden"
        with (
            Client(other.client.status().address, token=house.tokens["admin"]) as client,
            pytest.raises(Unauthenticated),
        ):
            client.list_project().all()
    finally:
        other.stop()
