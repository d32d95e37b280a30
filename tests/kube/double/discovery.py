"""What the API says of itself."""

from __future__ import annotations

from tests.kube.double.answers import Object
from tests.kube.double.kinds import ABOUT_ME, GROUP_ABOUT_ME, KINDS

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def answer(path: str, version: str) -> Object | None:
    """The answer to a request for ``path``; None when that is about objects."""
    path = path.rstrip("/")
    if path == "/version":
        major, minor = version.split(".")
        return {
            "major": major, "minor": minor, "gitVersion": f"v{version}.0+double",
            "gitCommit": "", "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z",
            "goVersion": "", "compiler": "", "platform": "linux/amd64",
        }  # fmt: skip
    if path in ("/healthz", "/livez", "/readyz"):
        return {"status": "ok"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        groups = sorted({one.group for one in KINDS.values() if one.group} | {GROUP_ABOUT_ME})
        return {
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": [_group(name) for name in groups],
        }  # fmt: skip
    if path == "/api/v1":
        return _resources("", "v1")
    parts = path.split("/")
    if path.startswith("/apis/") and len(parts) == 4 and parts[3] == "v1":
        return _resources(parts[2], f"{parts[2]}/v1")
    return None


def _group(name: str) -> Object:
    one = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [one], "preferredVersion": one}


def _resources(group: str, version: str) -> Object | None:
    found: list[Object] = [
        {
            "name": one.resource, "singularName": one.name.lower(), "namespaced": one.namespaced,
            "kind": one.name, "verbs": _VERBS, "shortNames": list(one.short),
        }
        for one in KINDS.values()
        if one.group == group
    ]  # fmt: skip
    if group == "":
        found.append({
            "name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod",
            "verbs": ["get"],
        })  # fmt: skip
    if group == GROUP_ABOUT_ME:
        found.append({
            "name": ABOUT_ME, "singularName": "", "namespaced": False,
            "kind": "SelfSubjectAccessReview", "verbs": ["create"],
        })  # fmt: skip
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version,
        "resources": found,
    }
