"""Records over HTTP: taken when they are durable, committed once, refused with reasons."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pachybox.errors import InvalidArgument
from tests.boxes import RealBox, eventually
from tests.flow.posting import Answer, Poster, committed, files, records, source

LINES = "application/x-ndjson"


@pytest.fixture(scope="module")
def post(shared_box: RealBox) -> Iterator[Poster]:
    made = Poster(shared_box)
    yield made
    made.close()


def test_records_come_out_as_they_went_in(shared_box: RealBox, post: Poster) -> None:
    """An object, an array's elements, lines, gzip: each text as it was sent."""
    c = shared_box.client
    branch = source(c, "shapes")
    told = post("shapes", b'{"a": 1.10,\n "b": [1e3, 12345678901234567890]}')
    assert told.status == 200
    assert told.json == {"accepted": 1, "duplicate": False, "position": told.json["position"]}
    assert (
        post("default/shapes", b' [ {"x":"\\u00e9,]"} ,\n2, "s", null, [3] ] ').json["accepted"]
        == 5
    )
    assert post("shapes", b'{"l":1}\r\n\n{"l":2}\n{"l":3}', LINES).json["accepted"] == 3
    packed = gzip.compress(b'{"z":1}\n') + gzip.compress(b'{"z":2}\n')
    assert post("shapes", packed, LINES, {"Content-Encoding": "gzip"}).json["accepted"] == 2
    assert post("shapes", b'\x1e{"q":1}\n\x1e{"q":2}\n', "application/json-seq").status == 200
    nothing = post("shapes", b"[]", key="none").json
    assert (nothing["accepted"], nothing["duplicate"]) == (0, False)
    assert post("shapes", b"\n", LINES).json == nothing  # leaves nothing that must be committed
    committed(c, "shapes", 13)
    assert records(c, branch) == [
        b'{"a": 1.10,  "b": [1e3, 12345678901234567890]}',
        b'{"x":"\\u00e9,]"}', b"2", b'"s"', b"null", b"[3]",
        b'{"l":1}', b'{"l":2}', b'{"l":3}', b'{"z":1}', b'{"z":2}', b'{"q":1}', b'{"q":2}',
    ]  # fmt: skip
    path = next(iter(files(c, branch)))
    assert re.fullmatch(r"/\d{4}-\d\d-\d\d/\d\d/shapes-00000000\d\.jsonl", path)


def test_lines_are_any_text(shared_box: RealBox, post: Poster) -> None:
    c = shared_box.client
    branch = source(c, "texts", format="lines", path="/{source}/{format}")
    assert post("texts", b"one\r\n\n\xff\x00three", "text/plain").json["accepted"] == 3
    assert post("texts", b"whole", "application/octet-stream").json["accepted"] == 1
    refused = post("texts", b"two\nlines", "application/octet-stream")
    assert (refused.status, "line break" in refused.error) == (400, True)
    committed(c, "texts", 4)
    assert files(c, branch) == {"/texts/txt": b"one\n\n\xff\x00three\nwhole\n"}


def test_records_go_where_they_say(shared_box: RealBox, post: Poster) -> None:
    """Fields and a time of the record's own; what has none goes to the dead letters."""
    c = shared_box.client
    branch = source(
        c, "parts", path="/{field:kind}/{date}T{hour}{minute}", time_field="at",
    )  # fmt: skip
    sent = [
        {"kind": "a", "at": "2026-01-02T03:04:59+01:00"},
        {"kind": "../b", "at": 1767323099},
        {"at": 1767323099123},
        {"kind": "a", "at": "2026-01-02T02:04:00Z"},
        {"kind": "a", "at": "yesterday"},
        7,
    ]
    assert post("parts", sent).json["accepted"] == 6
    eventually(lambda: c.inspect_ingest("parts").dead_letters, "there are dead letters")
    assert {path: len(data.splitlines()) for path, data in files(c, branch).items()} == {
        "/a/2026-01-02T0204": 2, "/.._b/2026-01-02T0304": 1, "/none/2026-01-02T0304": 1,
    }  # fmt: skip
    dead = files(c, "parts@dead-letters")
    (letter,) = [path for path in dead if not path.endswith(".reason.json")]
    assert dead[letter].splitlines() == [json.dumps(one).encode() for one in sent[4:]]
    assert (
        "2 records are without a time in at; the first: 'yesterday'"
        in json.loads(dead[f"{letter}.reason.json"])["reason"]
    )


def test_what_is_no_json_or_too_long_goes_to_the_dead_letters_with_the_reason(
    shared_box: RealBox, post: Poster
) -> None:
    c = shared_box.client
    branch = source(c, "bad", max_record="1KiB")
    long = b'{"x":"%s"}' % (b"x" * 1100)
    text = b'{"ok":1}\nnot json\n{"ok":NaN}\n' + long + b'\n{"ok":2} x\n\xff\n{"ok":3}\n'
    assert post("bad", text, LINES).json["accepted"] == 7
    eventually(lambda: c.inspect_ingest("bad").dead_letters == 2, "there are dead letters")
    assert records(c, branch) == [b'{"ok":1}', b'{"ok":3}']
    dead = files(c, "bad@dead-letters")
    found = {
        json.loads(dead[path])["reason"]: dead[path.removesuffix(".reason.json")]
        for path in dead
        if path.endswith(".reason.json")
    }
    assert found.pop("the record is longer than max_record (1024 bytes): 1108 bytes") == (
        long + b"\n"
    )
    [(reason, content)] = found.items()
    assert reason.startswith("4 records are not JSON; the first: Expecting value")
    assert content == b'not json\n{"ok":NaN}\n{"ok":2} x\n\xff\n'


def test_a_group_that_is_refused_goes_to_the_dead_letters_whole(
    shared_box: RealBox, post: Poster
) -> None:
    c = shared_box.client
    branch = source(c, "taken", path="/{field:to}")
    with c.put(branch) as put:
        put.data("/there/already", b"a file")
    assert post("taken", [{"to": "there", "n": 1}, {"to": "elsewhere", "n": 2}]).status == 200
    eventually(lambda: c.inspect_ingest("taken").dead_letters, "there are dead letters")
    assert set(files(c, branch)) == {"/there/already"}
    dead = files(c, "taken@dead-letters")
    assert {data for path, data in dead.items() if not path.endswith(".json")} == {
        b'{"to": "there", "n": 1}\n', b'{"to": "elsewhere", "n": 2}\n',
    }  # fmt: skip
    assert post("taken", {"to": "elsewhere", "n": 3}).status == 200
    committed(c, "taken", 1)
    assert files(c, branch)["/elsewhere"] == b'{"to": "elsewhere", "n": 3}\n'


def test_what_cannot_be_taken_is_refused_whole_with_the_remedy(
    shared_box: RealBox, post: Poster
) -> None:
    c = shared_box.client
    branch = source(c, "strict")
    c.create_ingest({"name": "tail", "to": branch, "command": {"cmd": ["sleep", "1000"]}})

    def refused(
        status: int, words: str, body: bytes = b"{}", kind: str = "application/json",
        name: str = "strict", **headers: str,
    ) -> Answer:  # fmt: skip
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = post(name, body, kind, given)
        assert (answer.status, words in answer.error) == (status, True), answer
        return answer

    refused(404, "no source nobody takes", name="nobody")
    refused(404, "it is a command", name="tail")
    refused(404, "POST to /ingest/NAME", name="a/b/c")
    refused(400, "not JSON: Expecting", b"{")
    refused(400, "more behind", b"{} {}")
    refused(400, "more behind", b"[1] 2")
    refused(400, "not JSON", b"[1,]")
    refused(400, "no value of JSON", b"[NaN]")
    refused(400, "nested too deeply", b"[" * 200_000)
    refused(413, "larger than 8 MiB", b"1" * ((8 << 20) + 1))
    refused(413, "larger than 8 MiB", gzip.compress(bytes(9 << 20)), Content_Encoding="gzip")
    refused(413, "more than 100000 records", b"\n1" * 100_002, LINES)
    refused(400, "cut short", gzip.compress(b"{}")[:-9], Content_Encoding="gzip")
    refused(400, "not gzip", b"{}", Content_Encoding="gzip")
    refused(415, "gzip", Content_Encoding="br")
    refused(415, "is not taken here", kind="application/x-www-form-urlencoded")
    refused(415, "UTF-8", kind="application/json; charset=latin-1")
    refused(400, "1 to 255 printable", Idempotency_Key="a\tb")
    refused(400, "1 to 255 printable", Idempotency_Key="k" * 256)
    refused(403, "sites", Origin="http://evil.example")
    assert post("strict", b"", method="DELETE").status == 405
    told = post("strict", b"", method="GET")
    assert told.json["accepts"] is True
    assert told.json["max_record"] == "1MiB"
    c.pause_ingest("strict")
    assert refused(503, "paused").headers["retry-after"]
    c.resume_ingest("strict")
    assert post("strict", {"last": 1}).status == 200
    committed(c, "strict", 1)
    assert records(c, branch) == [b'{"last": 1}']


def test_specs_are_checked(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("checked")
    for part, words in (
        ({"path": "/{when}"}, "push.path: '{when}' is not known"),
        ({"path": "/{date}/"}, "names no file"),
        ({"format": "csv"}, "push.format"),
        ({"format": "lines", "time_field": "at"}, "lines have no fields"),
        ({"group": {"time": "10ms"}}, "push.group.time: 10ms is out of range"),
        ({"spool": "1MB"}, "push.spool"),
        ({"token": "x"}, "push.token: unknown field"),
    ):
        with pytest.raises(InvalidArgument, match=re.escape(words)):
            c.create_ingest({"name": "checked", "to": "checked@master", "push": part})


def test_a_request_with_a_key_is_taken_once(shared_box: RealBox, post: Poster) -> None:
    c = shared_box.client
    branch = source(c, "keyed")
    body = [{"n": 1}, {"n": 2}]
    first = post("keyed", body, key="order 7")
    again = post("keyed", body, key="order 7")
    assert first.json["duplicate"] is False
    assert again.json == {**first.json, "duplicate": True}
    other = post("keyed", [{"n": 3}], key="order 7")
    assert (other.status, "'order 7' came with another body" in other.error) == (422, True)
    answers: list[Answer] = []

    def retry() -> None:
        poster = Poster(shared_box)
        for n in range(10):
            answers.append(poster("keyed", {"n": 10 + n}, key=f"k{n}"))
        poster.close()

    threads = [threading.Thread(target=retry) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a.status for a in answers] == [200] * 60
    assert sum(not a.json["duplicate"] for a in answers) == 10
    committed(c, "keyed", 12)
    assert sorted(json.loads(r)["n"] for r in records(c, branch)) == [1, 2, *range(10, 20)]


def test_many_post_to_several_sources_at_a_time(shared_box: RealBox) -> None:
    """Each client's records come once, and in the order in which it sent them."""
    c = shared_box.client
    names = ("crowd-a", "crowd-b", "crowd-c")
    branches = [source(c, name, path="/all") for name in names]

    def client(number: int) -> None:
        post = Poster(shared_box)
        for n in range(25):
            told = post(names[number % 3], {"client": number, "n": n}, key=f"{number}-{n}")
            assert (told.status, told.json["accepted"], told.json["duplicate"]) == (200, 1, False)
        post.close()

    with ThreadPoolExecutor(9) as threads:
        list(threads.map(client, range(9)))
    for at, branch in enumerate(branches):
        committed(c, names[at], 75)
        found = [json.loads(one) for one in records(c, branch)]
        assert len(found) == 75
        for number in range(at, 9, 3):
            assert [one["n"] for one in found if one["client"] == number] == list(range(25))


def test_a_source_of_its_own_token_opens_to_it_alone(shared_box: RealBox, post: Poster) -> None:
    c = shared_box.client
    branch = source(c, "closed", secret="feed")
    missing = Poster(shared_box, "s3cret")
    assert (missing("closed", b"{}").status, post("closed", b"{}").status) == (503, 401)
    c.create_secret(
        json.dumps({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "feed"},
                    "stringData": {"token": "s3cret\n"}})
    )  # fmt: skip
    assert post("closed", b"{}").status == 401
    wrong, right = Poster(shared_box, "s3cres"), Poster(shared_box, "s3cret")
    assert wrong("closed", b"{}").status == 401
    assert right("closed", b"{}").status == 200
    committed(c, "closed", 1)
    assert records(c, branch) == [b"{}"]
    for one in (missing, wrong, right):
        one.close()


def test_a_source_that_is_made_again_is_another(shared_box: RealBox, post: Poster) -> None:
    c = shared_box.client
    branch = source(c, "again")
    assert post("again", {"n": 1}, key="k").status == 200
    committed(c, "again", 1)
    c.delete_ingest("again")
    assert post("again", {"n": 1}, key="k").status == 404
    c.create_ingest({"name": "again", "to": branch, "push": {"group": {"time": "100ms"}}})
    assert post("again", {"n": 1}, key="k").json["duplicate"] is False
    committed(c, "again", 1)
    assert records(c, branch) == [b'{"n": 1}'] * 2


def test_a_token_of_the_box_is_asked_for_and_that_of_a_source_opens_no_more(
    box: RealBox,
) -> None:
    box.stop()
    with open(box.home / "box.toml", "a") as settings:
        settings.write('token = "of-the-box"\n')
    c = box.start().client
    c.create_secret(
        json.dumps({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "feed"},
                    "stringData": {"token": "of-the-source"}})
    )  # fmt: skip
    source(c, "plain")
    source(c, "own", secret="feed")
    nobody, owner, feed = (Poster(box, token) for token in ("", "of-the-box", "of-the-source"))
    posters = (nobody, owner, feed)
    assert [one("plain", b"{}").status for one in posters] == [401, 200, 401]
    assert [one("own", b"{}").status for one in posters] == [401, 200, 200]
    assert [one("missing", b"{}").status for one in posters] == [401, 404, 401]
    for one in posters:
        one.close()


def test_what_was_taken_survives_the_box(box: RealBox) -> None:
    """Killed with records in the inbox, once before its source has committed them, once after."""
    c = box.client
    branch = source(c, "events", group={"time": "24h"})
    post = Poster(box)
    told = [post("events", {"n": n}, key=f"k{n}").json["accepted"] for n in range(20)]
    assert told == [1] * 20
    post.close()
    box.kill()
    c = box.start().client
    post = Poster(box)
    again = [post("events", {"n": n}, key=f"k{n}").json["duplicate"] for n in range(25)]
    assert again == [True] * 20 + [False] * 5
    assert c.inspect_ingest("events").records == 0
    c.run_ingest("events")
    committed(c, "events", 25)
    post.close()
    box.kill()
    c = box.start().client
    post = Poster(box)
    assert post("events", {"n": 3}, key="k3").json["duplicate"] is True
    assert post("events", {"n": 25}, key="k25").json["duplicate"] is False
    post.close()
    eventually(lambda: c.inspect_ingest("events").pending == 1, "the source has seen it")
    assert c.inspect_ingest("events").lag_s > 0
    assert box.stop() == 0, "it ends in order, and what is whole is committed"
    c = box.start().client
    committed(c, "events", 26)
    assert [json.loads(r)["n"] for r in records(c, branch)] == list(range(26))


def test_a_full_spool_refuses_until_there_is_room(shared_box: RealBox, post: Poster) -> None:
    """429 with Retry-After while the branch takes nothing; what was taken comes, and then more."""
    c = shared_box.client
    c.create_repo("full")
    c.start_commit("full@master")
    part = {"spool": "16MiB", "path": "/{batch}", "group": {"time": "100ms"}}
    c.create_ingest({"name": "full", "to": "full@master", "push": part})
    text = b'"%d' + b"x" * 999_000 + b'"\n'
    bodies = [b"".join(text % (7 * n + m) for m in range(7)) for n in range(4)]
    answers = [post("full", body, LINES, key=f"k{n}") for n, body in enumerate(bodies)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert "more waiting than its spool holds (16MiB)" in answers[3].error
    assert answers[3].headers["retry-after"]
    assert post("full", bodies[0], LINES, key="k0").json["duplicate"] is True
    eventually(lambda: c.inspect_ingest("full").pending == 21, "all that waits is counted")
    c.finish_commit("full@master")
    eventually(lambda: post("full", bodies[3], LINES, key="k3").status == 200, "there is room")
    committed(c, "full", 28)
    assert [one[:3].strip(b'"x') for one in records(c, "full@master")] == [
        b"%d" % n for n in range(28)
    ]
