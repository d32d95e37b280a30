"""The user's settings: contexts (named boxes), and which transaction is open where.

``$XDG_CONFIG_HOME/pachybox/config.json``, mode 0600. What the environment says goes
before the active context.
"""

# ruff: noqa: PTH111, PTH118  # pathlib would cost every start 8 ms
from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from pachybox.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from pachybox.client.address import Address

Context = dict[str, str]
LOCAL = "local"
KEYS = ("address", "token", "project", "ca")


class Settings:
    """The settings file."""

    def __init__(self, path: str, data: dict[str, object]) -> None:
        self._path = path
        self._data = data

    @classmethod
    def load(cls) -> Settings:
        """Read the file; a missing one is empty. Raises InvalidArgument when it is broken."""
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        path = os.path.join(base, "pachybox", "config.json")
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
        except FileNotFoundError:
            return cls(path, {})
        except (OSError, ValueError) as e:
            raise InvalidArgument(f"cannot read {path}: {e}", "mend or remove the file") from e
        if not isinstance(data, dict):
            raise InvalidArgument(f"{path} is not a JSON object", "mend or remove the file")
        return cls(path, data)

    def save(self) -> None:
        """Write the file, atomically and for its owner only."""
        folder = os.path.dirname(self._path)  # noqa: PTH120
        os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
        temporary = f"{self._path}.{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(self._data, file, indent=2)
            file.write("\n")
        os.replace(temporary, self._path)  # noqa: PTH105

    @property
    def contexts(self) -> dict[str, Context]:
        """All contexts by name."""
        found = self._data.get("contexts")
        contexts = dict(found) if isinstance(found, dict) else {}
        contexts.setdefault(LOCAL, {})
        return contexts

    @property
    def active(self) -> str:
        """The name of the context in use."""
        name = os.environ.get("PACHYBOX_CONTEXT") or self._data.get("active_context") or LOCAL
        return str(name)

    @property
    def context(self) -> Context:
        """The context in use. Raises NotFound when it is gone."""
        return self.named(self.active)

    def named(self, name: str) -> Context:
        """One context. Raises NotFound."""
        contexts = self.contexts
        if name not in contexts:
            raise NotFound(f"context {name} not found", "see: pachybox config list context")
        return contexts[name]

    def address(self) -> str | None:
        """The address the context gives, unless the environment names a box itself."""
        if os.environ.get("PACHYBOX_ADDRESS") or os.environ.get("PACHYBOX_HOME"):
            return None
        return self.context.get("address") or None

    def ca(self) -> str:
        """The certificates the context's box is known by, unless the environment names a box."""
        return self.context.get("ca", "") if self.address() else ""

    def put_context(self, name: str, context: Context | None) -> None:
        """Set or (None) remove a context."""
        contexts = self.contexts
        if context is None:
            contexts.pop(name, None)
        else:
            contexts[name] = context
        self._data["contexts"] = contexts
        self.save()

    def activate(self, name: str) -> None:
        """Choose the context in use."""
        self.named(name)
        self._data["active_context"] = name
        self.save()

    def transaction(self, address: Address) -> str:
        """The transaction open at the box at ``address``; "" when none is."""
        open_ones = self._data.get("transactions")
        return str(open_ones.get(str(address), "")) if isinstance(open_ones, dict) else ""

    def set_transaction(self, address: Address, id: str) -> None:
        """Queue into transaction ``id`` from now on; "" for none."""
        found = self._data.get("transactions")
        open_ones = dict(found) if isinstance(found, dict) else {}
        open_ones.pop(str(address), None)
        if id:
            open_ones[str(address)] = id
        self._data["transactions"] = open_ones
        self.save()
