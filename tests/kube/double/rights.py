"""Who may do what: the rules of Roles and ClusterRoles, asked before every request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.kube.double import answers
from tests.kube.double.answers import ApiError, Object

USER = "system:serviceaccount:pachybox:pachybox"


@dataclass(frozen=True)
class Asked:
    """One request, as the rules see it; ``subresource`` such as ``log``."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def target(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Rights:
    """Rules as of ``documents``, or of the YAML files at a path; None allows everything.

    A Role counts in its namespace (in any, when it names none), a ClusterRole everywhere.
    """

    def __init__(self, documents: Path | Iterable[Object] | None, user: str = USER) -> None:
        self.user = user
        self._all = documents is None
        if isinstance(documents, Path):
            documents = read(documents)
        self._roles = [
            one for one in documents or () if one and one.get("kind") in ("Role", "ClusterRole")
        ]

    def allow(self, asked: Asked) -> bool:
        if self._all or asked.resource.startswith("selfsubject"):
            return True
        for role in self._roles:
            home = (role.get("metadata") or {}).get("namespace")
            if role["kind"] == "Role" and (
                not asked.namespace or home not in (None, asked.namespace)
            ):
                continue
            if any(_covers(rule, asked) for rule in role.get("rules") or ()):
                return True
        return False

    def require(self, asked: Asked) -> None:
        """Raises ApiError 403 in Kubernetes' words."""
        if not self.allow(asked):
            raise self.refusal(asked)

    def refusal(self, asked: Asked) -> ApiError:
        where = (
            f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        )
        what = f'User "{self.user}" cannot {asked.verb} resource "{asked.target}"'
        full = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
        why = f'{what} in API group "{asked.group}" {where}'
        return answers.forbidden(full, asked.name, why)


def _covers(rule: Object, asked: Asked) -> bool:
    def among(field: str, value: str) -> bool:
        return value in (rule.get(field) or ()) or "*" in (rule.get(field) or ())

    names = rule.get("resourceNames") or ()
    return (
        among("verbs", asked.verb)
        and among("apiGroups", asked.group)
        and among("resources", asked.target)
        and (not names or asked.name in names)
    )


def read(path: Path) -> list[Object]:
    """The documents of a YAML file, or of all those below a folder."""
    files = sorted(path.rglob("*.y*ml")) if path.is_dir() else [path]
    return [one for file in files for one in yaml.safe_load_all(file.read_text()) if one]
