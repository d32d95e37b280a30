"""User metadata: keys and values on projects, repos, branches and commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pachybox.client.base import Base
from pachybox.client.names import branch_picker, commit_picker, repo_message
from pachybox.client.values import Json
from pachybox.errors import InvalidArgument

KINDS = ("project", "repo", "branch", "commit")


class Metadata(Base):
    """Methods on user metadata."""

    def edit_metadata(
        self,
        kind: str,
        name: str,
        *,
        add: Mapping[str, str] | None = None,
        edit: Mapping[str, str] | None = None,
        delete: Sequence[str] = (),
        replace: Mapping[str, str] | None = None,
    ) -> None:
        """Change what is kept of a project, repo, branch or commit.

        ``add`` refuses keys that exist, ``edit`` sets them in any case, ``delete`` refuses
        missing ones; ``replace``, which comes first, sets all of it.
        """
        changes: list[Json] = [] if replace is None else [{"replace": {"replacement": replace}}]
        changes += [{"add_key": {"key": k, "value": v}} for k, v in (add or {}).items()]
        changes += [{"edit_key": {"key": k, "value": v}} for k, v in (edit or {}).items()]
        changes += [{"delete_key": {"key": key}} for key in delete]
        target = self._picker(kind, name)
        self.call(
            "metadata.API", "EditMetadata", edits=[{**change, **target} for change in changes]
        )

    def _picker(self, kind: str, name: str) -> Json:
        if kind == "project":
            return {"project": {"name": name}}
        if kind == "repo":
            return {"repo": {"name": repo_message(name, self.project)}}
        if kind == "branch":
            return {"branch": branch_picker(name, self.project)}
        if kind == "commit":
            return {"commit": commit_picker(name, self.project)}
        raise InvalidArgument(f"no metadata is kept of a {kind}", f"use {', '.join(KINDS)}")
