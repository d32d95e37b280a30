"""Logins of registries are found where podman, Docker and Kubernetes keep them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pachybox.containers.credentials import Credential, files, fitting, of_files, of_secret
from pachybox.containers.names import parse
from pachybox.errors import InvalidArgument

KIND = "kubernetes.io/dockerconfigjson"


def packed(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def users(found: list[Credential]) -> list[str]:
    return [one.username for one in found]


def test_the_most_exact_login_that_fits_comes_first() -> None:
    known = [Credential(scope, scope, "x") for scope in (
        "reg.example.com", "reg.example.com/team", "*.example.com", "reg.example.com/other",
        "reg.example.com/team/app", "example.com", "reg.example.com:5000",
    )]  # fmt: skip
    assert users(fitting(known, parse("reg.example.com/team/app:1"))) == [
        "reg.example.com/team/app", "reg.example.com/team", "reg.example.com", "*.example.com",
    ]  # fmt: skip
    assert users(fitting(known, parse("reg.example.com/teams/app"))) == [
        "reg.example.com",
        "*.example.com",
    ]
    assert users(fitting(known, parse("reg.example.com:5000/a"))) == ["reg.example.com:5000"]


@pytest.mark.parametrize(
    "place", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"]
)
def test_the_hub_has_many_names(place: str) -> None:
    body = {"auths": {place: packed("ann", "p:w")}}
    [found] = of_secret("hub", KIND, {".dockerconfigjson": json.dumps(body).encode()})
    assert fitting([found], parse("ubuntu")) == [found]
    assert (found.username, found.password) == ("ann", "p:w")


def test_a_secret_of_either_type_holds_logins() -> None:
    login = {"r.io": {"username": "u", "password": "secret-word"}}
    new = of_secret("s", KIND, {".dockerconfigjson": json.dumps({"auths": login}).encode()})
    old = of_secret("s", "kubernetes.io/dockercfg", {".dockercfg": json.dumps(login).encode()})
    assert new == old == [Credential("r.io", "u", "secret-word")]
    assert "secret-word" not in repr(new)
    assert "u" in json.loads(base64.urlsafe_b64decode(new[0].header()))["username"]


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("Opaque", {"a": b"b"}, "of type Opaque"),
        (KIND, {"a": b"b"}, "no key .dockerconfigjson"),
        (KIND, {".dockerconfigjson": b"hush"}, "not in the form"),
        (KIND, {".dockerconfigjson": b"[1]"}, "not in the form"),
        (KIND, {".dockerconfigjson": b'{"auths": {"r.io": {"auth": "hush"}}}'}, "not in the form"),
        (KIND, {".dockerconfigjson": b'{"auths": {"r.io": "hush"}}'}, "not in the form"),
    ],
)
def test_a_secret_without_logins_is_refused_and_not_quoted(
    kind: str, values: dict[str, bytes], words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words) as error:
        of_secret("mine", kind, values)
    assert "secret mine" in str(error.value)
    assert "hush" not in str(error.value)


def write(path: Path, body: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body if isinstance(body, str) else json.dumps(body))


def test_files_are_asked_in_order(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    first, second, third = files(env)
    for number, path in enumerate((first, second, third)):
        write(path, {"auths": {"r.io": packed(f"user{number}", "x"), "other.io": packed("o", "x")}})
    assert users(of_files(parse("r.io/a"), env)) == ["user0", "user1", "user2"]
    write(first, "broken {")
    second.unlink()
    assert users(of_files(parse("r.io/a"), env)) == ["user2"]
    assert of_files(parse("none.io/a"), env) == []
    env["REGISTRY_AUTH_FILE"] = str(tmp_path / "named.json")
    write(tmp_path / "named.json", {"auths": {"r.io": packed("named", "x")}})
    assert users(of_files(parse("r.io/a"), env)) == ["named"]


def test_helpers_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "bin/docker-credential-test"
    answer = json.dumps({"ServerURL": "r.io:1", "Username": "u", "Secret": "s"})
    check = 'read host; [ "$1 $host" = "get r.io:1" ] || exit 1'
    write(helper, f"#!/bin/sh\n{check}\necho '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    write(tmp_path / ".docker/config.json", {"credHelpers": {"r.io:1": "test", "s.io": "test"}})
    assert of_files(parse("r.io:1/a"), env) == [Credential("r.io:1", "u", "s")]
    assert of_files(parse("s.io/a"), env) == []  # it knows nothing of this one
    write(tmp_path / ".docker/config.json", {"credsStore": "test"})
    assert of_files(parse("r.io:1/a"), env) == [Credential("r.io:1", "u", "s")]
    write(tmp_path / ".docker/config.json", {"credsStore": "../evil"})
    assert of_files(parse("r.io:1/a"), env) == []
