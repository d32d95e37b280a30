"""Tokens, and who did what: for administrators of the box."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pachybox.client.base import BOX, Base, Stream
from pachybox.client.token_values import AuditEntry, Token


class Tokens(Base):
    """Methods on tokens and the audit log."""

    def create_token(
        self,
        name: str,
        role: str = "reader",
        *,
        repos: Iterable[str] = (),
        expires_s: float = 0,
        s3: bool = False,
    ) -> str:
        """Make a token and return it: it is told this once.

        ``role`` is reader, writer or admin, of ``repos`` or (none given) of the whole box. It holds
        for ``expires_s`` seconds, rounded up to whole ones, 0: until it is revoked. With ``s3`` its
        name is an access key of S3, whose secret key is the token; the token itself is both in any
        case.
        """
        answer = self.call(
            BOX,
            "CreateToken",
            name=name,
            role=role,
            repos=list(repos),
            expires_s=math.ceil(expires_s),
            s3=s3,
        )
        return str(answer["token"])

    def list_token(self) -> Stream[Token]:
        """Every token, by name, those revoked too."""
        return self.stream(BOX, "ListToken").map(Token.from_json)

    def delete_token(self, name: str, *, purge: bool = False) -> None:
        """Revoke a token: it is over at once, also for what goes on. With ``purge`` forget it."""
        self.call(BOX, "DeleteToken", name=name, purge=purge)

    def delete_all_tokens(self) -> None:
        """Forget all tokens: unless one is set in box.toml, the box is open to this machine."""
        self.call(BOX, "DeleteToken", all=True)

    def audit(
        self, *, since_s: float = 0, who: str = "", tail: int = 0, follow: bool = False
    ) -> Stream[AuditEntry]:
        """What was changed by whom, and what was refused to whom, oldest first.

        Of the last ``since_s`` seconds (0: all that is kept), by ``who`` alone if it is given, the
        last ``tail`` lines of it (0: all). With ``follow`` it goes on as things happen.
        """
        found = self.stream(
            BOX, "GetAudit", since_ms=int(since_s * 1000), who=who, tail=tail, follow=follow
        )
        return found.map(AuditEntry.from_json)
