"""Secrets: keeping them, listing them, forgetting them. Nothing reads a value back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from pachybox.client.base import BOX, PPS, Base
from pachybox.client.pipeline_values import SecretInfo
from pachybox.client.values import Json


class Secrets(Base):
    """Methods on secrets."""

    def create_secret(
        self, file: bytes | str | Json, data: Mapping[str, str | bytes] | None = None
    ) -> None:
        """Keep a secret: a Kubernetes Secret as JSON or YAML text, or a dict.

        With ``data``, its keys and values, ``file`` is but the secret's name.
        """
        if data is not None:
            file = _secret(str(file), data)
        text = json.dumps(file) if isinstance(file, dict) else file
        whole = text.encode() if isinstance(text, str) else text
        self.call(PPS, "CreateSecret", file=base64.b64encode(whole).decode())

    def inspect_secret(self, name: str) -> SecretInfo:
        """One secret: its name, type and age."""
        return SecretInfo.from_json(self.call(PPS, "InspectSecret", secret={"name": name}))

    def list_secret(self) -> list[SecretInfo]:
        """Every secret, by name."""
        answer = self.call(PPS, "ListSecret")
        return [SecretInfo.from_json(s) for s in answer.get("secretInfo") or ()]

    def delete_secret(self, name: str, *, force: bool = False) -> None:
        """Forget a secret. Refused while a pipeline names it, unless ``force``."""
        self.call(BOX, "DeleteSecret", name=name, force=force)


def _secret(name: str, data: Mapping[str, str | bytes]) -> Json:
    raw = {k: v.encode() if isinstance(v, str) else v for k, v in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "data": {key: base64.b64encode(value).decode() for key, value in raw.items()},
    }
