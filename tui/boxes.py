"""Other boxes: the contexts of the command line's settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pachybox.client.contexts import Settings

if TYPE_CHECKING:
    from pachybox.client import AsyncClient


class Target(NamedTuple):
    """A box one can go to: its context's name, and where it is (None: as the environment says)."""

    name: str
    address: str | None = None
    token: str | None = None
    project: str = "default"
    ca: str | None = None

    def connect(self) -> AsyncClient:
        """A client of the box; nothing is sent yet."""
        from pachybox.client import AsyncClient

        return AsyncClient(self.address, token=self.token, ca=self.ca, project=self.project)

    def environment(self) -> dict[str, str]:
        """What makes ``pachybox`` in a shell talk to the same box."""
        found = {"PACHYBOX_ADDRESS": self.address} if self.address else {}
        found |= {"PACHYBOX_CA": self.ca} if self.ca else {}
        return found | ({"PACHYBOX_TOKEN": self.token} if self.token else {})


def targets() -> list[Target]:
    """All contexts. Raises InvalidArgument when the settings cannot be read."""
    settings = Settings.load()
    return [_target(name, context) for name, context in sorted(settings.contexts.items())]


def here() -> Target:
    """The box the command line would talk to. Raises NotFound, InvalidArgument."""
    settings = Settings.load()
    target = _target(settings.active, settings.context)
    token = os.environ.get("PACHYBOX_TOKEN") or target.token
    return target._replace(address=settings.address(), token=token, ca=settings.ca() or None)


def named(name: str) -> Target:
    """One context. Raises NotFound, InvalidArgument."""
    return _target(name, Settings.load().named(name))


def _target(name: str, context: dict[str, str]) -> Target:
    return Target(
        name,
        context.get("address") or None,
        context.get("token") or None,
        context.get("project") or "default",
        context.get("ca") or None,
    )
