"""How a cluster is found, what its answers mean, and which node is this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException

from pachybox.errors import InvalidArgument, Refused
from pachybox.pps.runners.base import Transform, WorkerSpec, WorkerWaits
from pachybox.pps.runners.pods import access, inside, node, troubles
from pachybox.pps.runners.pods.access import Access, Settings
from pachybox.pps.runners.pods.claims import Claims
from pachybox.pps.runners.pods.manifest import Place
from pachybox.pps.runners.pods.troubles import Exists, Forbidden, Gone, Missing, Unanswered
from pachybox.worker import container, kernel

HERE = Access(SimpleNamespace(host="https://c:6443"), "/etc/kc", "box")


def test_the_kubeconfig_is_looked_for_in_order(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    own, named, set_ = home / ".kube" / "config", tmp_path / "named", tmp_path / "set"
    environ = {"HOME": str(home)}
    for path in (own, named, set_):
        path.touch()
    assert access.kubeconfig(Settings(), environ) == str(own)
    environ["KUBECONFIG"] = f"{named}:{tmp_path / 'none'}"
    assert access.kubeconfig(Settings(), environ) == str(named)
    assert access.kubeconfig(Settings(str(set_)), environ) == str(set_)
    with pytest.raises(Refused, match="no kubeconfig /none"):
        access.kubeconfig(Settings("/none"), environ)
    with pytest.raises(Refused, match="no kubeconfig /none"):
        access.kubeconfig(Settings(), environ | {"KUBECONFIG": "/none"})
    with pytest.raises(Refused, match="pachybox k3s install"):
        access.kubeconfig(Settings(), {"HOME": str(tmp_path)})


@pytest.mark.parametrize("text", ["", "{", "users: 5", "contexts: []", "current-context: x"])
def test_a_kubeconfig_that_is_none_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kc"
    path.write_text(text)
    with pytest.raises(Refused, match=f"kubeconfig {path} cannot be used"):
        access.find(Settings(str(path)))


def test_an_account_of_a_pod_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a cluster that gives no certificate of its own to its Pods."""
    (tmp_path / "token").write_text("t")
    monkeypatch.setattr(access, "_ACCOUNT", tmp_path)
    monkeypatch.setattr(access, "K3S", tmp_path / "none")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(Refused, match=f"account of the box's Pod, {tmp_path}, cannot be used: "):
        access.find(Settings())


def test_what_a_kubeconfig_holds_secret_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "kc"
    path.write_text("users:\n- {name: a, user: {token: hunter2}}\ncurrent-context: [hunter2\n")
    with pytest.raises(Refused) as raised:
        access.find(Settings(str(path)))
    assert "hunter2" not in str(raised.value)


_WITHOUT = """
import sys
from pathlib import Path
from pachybox.box import Box
from pachybox.config import Config
home = Path(sys.argv[1])
box = Box(Config(home=home, http_port=0, grpc_port=0))
box.start()
box.machinery.pods.runner.sweep()
box.machinery.pods.runner.forget("nothing")
box.status()
box.close()
assert not (home / "run" / "pods").exists()
sys.exit("kubernetes" in sys.modules)
"""


def test_a_box_without_pods_knows_no_cluster(tmp_path: Path) -> None:
    environ = {**os.environ, "KUBECONFIG": "/none"}
    done = subprocess.run([sys.executable, "-c", _WITHOUT, tmp_path], env=environ, check=False)
    assert done.returncode == 0


def answer(status: int, message: str = "", kind: str = "", **headers: str) -> Any:
    body = json.dumps({"message": message, "details": {"kind": kind}})
    return troubles.of("create pod", HERE, status, body, headers)


def test_a_certificate_that_is_not_trusted_is_told_as_that() -> None:
    said = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed (_ssl.c:1006)"
    words = (
        r"c:6443 is not trusted: \[SSL.* self-signed; have /etc/kc name the cluster's certificate"
    )
    with pytest.raises(Unanswered, match=words), troubles.told("list pod", HERE):
        raise ApiException(status=0, reason=f"SSLError\n{said}")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (answer(401), Forbidden, "renew the credentials in /etc/kc"),
        (answer(403, "no"), Forbidden, "forbids: create pod in namespace box (no); give it the"),
        (
            answer(403, 'pods "p" is forbidden: no PriorityClass with name x was found'),
            Forbidden,
            "no PriorityClass with name x was found; mend what it names in scheduling_spec",
        ),
        (
            answer(403, 'pods "p" is forbidden: User "u" cannot get resource "pods" in API group'),
            Forbidden,
            "give it the rights of k3s/manifests",
        ),
        (answer(403, "exceeded quota: q"), Unanswered, "the quota of namespace box is used up"),
        (answer(403, "it is being terminated"), Unanswered, "namespace box is being deleted"),
        (answer(403, "violates PodSecurity"), Forbidden, "pod-security.kubernetes.io/enforce"),
        (answer(404, "gone", "pods"), Missing, "gone"),
        (answer(404, "gone", "namespaces"), Missing, "kubectl create namespace box"),
        (answer(409, "there"), Exists, "there"),
        (answer(410, "old"), Gone, "old"),
        (answer(422, "spec.x: bad"), InvalidArgument, "spec.x: bad"),
        (answer(429, "busy"), Unanswered, "status 429: busy"),
        (answer(503, "down"), Unanswered, "status 503: down"),
        (troubles.of("get pod", HERE, 502, b"<html>", {}), Unanswered, "status 502: <html>"),
    ],
)
def test_what_an_answer_means(error: Exception, kind: type, words: str) -> None:
    assert type(error) is kind
    assert words in str(error)


def test_a_wait_that_is_asked_for_is_known() -> None:
    assert answer(429, **{"Retry-After": "7"}).retry_after_s == 7
    assert answer(429, **{"Retry-After": "soon"}).retry_after_s == 0


def a_node(name: str, boot: str = "", address: str = "", host: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {node.LABEL: host or name}},
        "status": {"nodeInfo": {"bootID": boot}, "addresses": [{"address": address}]},
    }


class Nodes:
    """Stands for the API."""

    def __init__(self, *nodes: dict[str, Any], forbidden: bool = False) -> None:
        self._nodes, self._forbidden = nodes, forbidden

    def nodes(self) -> list[dict[str, Any]]:
        if self._forbidden:
            raise Forbidden("no")
        return list(self._nodes)


def label(wanted: str, *nodes: dict[str, Any], forbidden: bool = False) -> str:
    return node.hostname(Nodes(*nodes, forbidden=forbidden), wanted)  # type: ignore[arg-type]


def test_the_node_that_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    one, other = a_node("one", "x", "10.0.0.1"), a_node("other", boot, "10.0.0.2", "host")
    assert label("", one) == ""
    assert label("", one, other) == "host"
    assert label("one", one, other) == "one"
    assert label("10.0.0.2", one, other) == "host"
    assert label("one", forbidden=True) == "one"
    assert label("", forbidden=True) == ""
    monkeypatch.setattr("socket.gethostname", lambda: "one")
    assert label("", one, a_node("two", "y")) == "one"
    monkeypatch.setattr("socket.gethostname", lambda: "nowhere")
    with pytest.raises(Refused, match="no node of the cluster is this machine"):
        label("", one, a_node("two", "y"))
    with pytest.raises(Refused, match="no node three"):
        label("three", one, other)


def a_spec(pipeline: str = "p", image: str = "i") -> WorkerSpec:
    return WorkerSpec(pipeline, Transform(("x",)), Path("/w"), image=image, pod={"version": 2})


def test_a_pod_that_is_waited_for_is_whose_asks_next() -> None:
    there: set[str] = set()
    claims, place = Claims(lambda: there), Place("mark", "ns", "/shim")
    first = claims.claim(place, a_spec())
    second = claims.claim(place, a_spec())
    assert [one.name[-5:] for one in (first, second)] == ["-v2-0", "-v2-1"]
    assert first.nonce != second.nonce
    claims.release(first)
    assert claims.claim(place, a_spec(image="other")) is not first
    assert claims.claim(place, a_spec()) is first
    claims.drop(first)
    there.add(first.name)
    assert claims.claim(place, a_spec()).name.endswith("-v2-3")
    claims.rename(place, second)
    assert second.name.endswith("-v2-4")
    assert second.body["metadata"]["name"] == second.name


def test_pods_nobody_asks_for_are_given_up() -> None:
    claims, place = Claims(lambda: ()), Place("mark", "ns", "/shim")
    mine, other = claims.claim(place, a_spec("p")), claims.claim(place, a_spec("q"))
    claims.release(mine)
    claims.release(other)
    assert claims.unclaimed(60) == []
    assert claims.unclaimed(0, "p") == [mine]
    assert claims.unclaimed(0) == [other]
    assert claims.unclaimed(0) == []


def test_pods_that_end_at_once_are_not_made_without_end() -> None:
    claims, place = Claims(lambda: ()), Place("mark", "ns", "/shim")
    one = claims.claim(place, a_spec())
    claims.ended(one, WorkerWaits("the Pod of p was evicted"))
    with pytest.raises(WorkerWaits, match="was evicted"):
        claims.claim(place, a_spec())
    claims.claim(place, a_spec(image="other"))
    claims.serves(one)
    claims.claim(place, a_spec())


ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        (f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n", ID),
        (f"9:pids:/kubepods/burstable/pod1/{ID}\n1:name=systemd:/x\n", ID),
        ("0::/kubepods/pod1/odd\n", "odd"),
        ("0::/\n", ""),
    ],
)
def test_the_name_of_a_container_in_its_groups(groups: str, wanted: str) -> None:
    assert inside.container_id(groups) == wanted


def test_processes_are_found_by_their_nonce(tmp_path: Path) -> None:
    for number, words in (
        ("7", b"/.pachybox/shim\0hold\0aa\0"),
        ("8", b"/.pachybox/shim\0hold\0bb\0"),
        ("9", b"sh\0-c\0/.pachybox/shim hold cc\0"),
        ("self", b"/.pachybox/shim\0hold\0dd\0"),
    ):
        process(tmp_path / number, words)
    (tmp_path / "10").mkdir()
    found = inside.Processes(tmp_path)
    assert [found.find(one, UID) for one in ("aa", "bb", "cc", "dd", "")] == [
        7,
        8,
        None,
        None,
        None,
    ]


UID = "0b0ac4ee-1b3c-4d5e-8f60-718293a4b5c6"


def process(
    folder: Path, words: bytes, numbers: str = "7\t1", users: str = "users", pod: str = UID
) -> None:
    """As the kernel shows one."""
    (folder / "ns").mkdir(parents=True)
    (folder.parent / users).touch()
    (folder / "ns" / "user").symlink_to(folder.parent / users)
    (folder / "cmdline").write_bytes(words)
    (folder / "cgroup").write_text(
        f"0::/kubepods.slice/kubepods-pod{pod.replace('-', '_')}.slice/c"
    )
    (folder / "status").write_text(f"Name:\tx\nNSpid:\t{numbers}\n")


def test_what_only_says_that_it_holds_is_no_container(tmp_path: Path) -> None:
    process(tmp_path / "self", b"box")
    process(tmp_path / "5", b"/.pachybox/shim\0hold\0aa\0", "5")
    process(tmp_path / "6", b"/.pachybox/shim\0hold\0bb\0", "6\t2")
    process(tmp_path / "7", b"/.pachybox/shim\0hold\0cc\0", users="theirs")
    process(tmp_path / "8", b"/.pachybox/shim\0hold\0dd\0", pod=UID.replace("0", "1"))
    process(tmp_path / "9", b"/.pachybox/shim\0hold\0dd\0")
    found = inside.Processes(tmp_path)
    assert [found.find(one, UID) for one in ("aa", "bb", "cc", "dd")] == [None] * 3 + [9]
    (tmp_path / "9" / "cmdline").write_bytes(b"another\0")  # of its number, since it was looked for
    assert found.find("dd", UID) is None


def test_an_image_leads_nowhere_else_with_its_file_of_users(tmp_path: Path) -> None:
    def found() -> list[list[str]]:
        return container.rows(kernel.open_inside(str(tmp_path), "etc/passwd"))

    file = tmp_path / "etc" / "passwd"
    file.parent.mkdir()
    (tmp_path / "users").write_text("app:x:7:8::/home:\n")
    file.symlink_to("/users")
    assert found() == [["app", "x", "7", "8", "", "/home", ""]]
    file.unlink()
    file.symlink_to("../../../../../../../../../../etc/hostname")
    with pytest.raises(FileNotFoundError):
        found()
    file.unlink()
    os.mkfifo(file)
    assert found() == []
    file.unlink()
    file.mkdir()
    assert found() == []
