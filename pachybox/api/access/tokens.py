"""Tokens that were made: who holds them, until when, and what for.

A token is ``pb_`` and 256 random bits. Of it only the SHA-256 is kept: there is nothing to guess,
so nothing slower is needed. One that S3 is to know by its name is kept sealed beside it, since
signatures are compared with the secret itself.

Once a token was made, callers must show one, also when all have been revoked: who held one does not
come in without. Only ``forget_all`` opens the box again.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from time import monotonic, time

from pachybox.api.access.principal import RESERVED, Grant, Principal, Role
from pachybox.errors import AlreadyExists, Exhausted, InvalidArgument, NotFound, PachyboxError
from pachybox.meta.tables import TOKENS, TokenRecord
from pachybox.meta.tx import Tx
from pachybox.meta.writer import Meta, utc_now
from pachybox.model.ids import check_name
from pachybox.model.refs import parse_repo
from pachybox.pps.secrets import Secrets

PREFIX = "pb_"
_MOST = 10_000
_LONGEST = timedelta(days=36_500)
_USED_S = 60.0  # how exactly the time of the last use is known
_TURN_S = 1.0


@dataclass(slots=True)
class _Holder:
    """A token that holds, and who shows it."""

    record: TokenRecord
    principal: Principal
    noted: float = 0.0  # when its use was last written down; monotonic


@dataclass(slots=True)
class _Known:
    """The tokens by what is shown, as of one state of the table."""

    mark: object
    by_hash: dict[bytes, _Holder] = field(default_factory=dict)
    by_name: dict[str, _Holder] = field(default_factory=dict)


class Tokens:
    """The tokens of one box. Callable from any thread."""

    def __init__(self, meta: Meta, box_secrets: Secrets) -> None:
        """``box_secrets`` seals what S3 needs."""
        self._meta = meta
        self._secrets = box_secrets
        self._lock = threading.Lock()
        self._known = _Known(None)
        self._used: dict[str, datetime] = {}
        self._stop = threading.Event()
        self._ends: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, name="tokens", daemon=True)

    def start(self) -> None:
        """Begin to note when tokens were used, and to end what goes on by those that are over."""
        self._thread.start()

    def stop(self) -> None:
        """Write down what waits. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def on_end(self, look: Callable[[], None]) -> None:
        """Have ``look`` called soon after a token was revoked or has expired: it ends whatever goes
        on for a principal that is not ``live`` any more."""
        self._ends.append(look)

    # ---- what doors ask

    @property
    def closed(self) -> bool:
        """Whether any was made, and not all forgotten."""
        return bool(self._meta.resident(TOKENS))

    def find(self, token: str) -> Principal | None:
        """Whose ``token`` it is, if it holds."""
        digest = sha256(token.encode("utf-8", "replace")).digest()
        holder = self._current().by_hash.get(digest)
        if holder is None or not hmac.compare_digest(digest, holder.record.hash):
            return None
        return self._use(holder)

    def secret(self, access_key: str) -> tuple[Principal, str] | None:
        """Whose access key of S3 it is, and the secret key: of tokens that were made for S3."""
        holder = self._current().by_name.get(access_key)
        if holder is None or not holder.record.sealed or (principal := self._use(holder)) is None:
            return None
        return principal, self._secrets.open(holder.record.sealed, f"token {access_key}").decode()

    def _use(self, holder: _Holder) -> Principal | None:
        if not holder.principal.live:
            return None
        now = monotonic()
        if now - holder.noted > _USED_S or not holder.noted:
            holder.noted = now
            with self._lock:
                self._used[holder.record.name] = utc_now()
        return holder.principal

    def _current(self) -> _Known:
        mark = self._meta.mark(TOKENS)
        if self._known.mark is not mark:
            with self._lock:
                if self._known.mark is not mark:
                    self._known = self._renew(mark)
        return self._known

    def _renew(self, mark: object) -> _Known:
        """The tokens as they are now. A principal stays the same object while it holds."""
        before, known = self._known, _Known(mark)
        for record in self._meta.all(TOKENS):
            if record.revoked is not None:
                continue
            old = before.by_name.get(record.name)
            if old is not None and old.record.hash == record.hash:
                holder = _Holder(record, old.principal, old.noted)
            else:
                holder = _Holder(record, _principal(record))
            known.by_hash[record.hash] = known.by_name[record.name] = holder
        for holder in before.by_name.values():
            now = known.by_name.get(holder.record.name)
            if (now is None or now.principal is not holder.principal) and holder.principal.grant:
                holder.principal.grant.over = True
        return known

    # ---- what administrators do

    def create(
        self, name: str, role: Role, repos: Sequence[str] = (), lasts: timedelta | None = None,
        *, s3: bool = False,
    ) -> tuple[TokenRecord, str]:  # fmt: skip
        """A new token, and what was kept of it. ``repos`` (``[project/]name``) bind it; ``lasts``
        None: for ever.

        Raises AlreadyExists, InvalidArgument, Exhausted.
        """
        check_name("token", name)
        if name in RESERVED or name.startswith(PREFIX):
            raise InvalidArgument(f"a token cannot be called {name!r}", "choose another name")
        if lasts is not None and not timedelta() < lasts <= _LONGEST:
            raise InvalidArgument(f"a token cannot last {lasts}", "give a time such as 90d")
        bound = tuple(sorted({_bound(text) for text in repos})) if repos else None
        token = f"{PREFIX}{secrets.token_urlsafe(32)}"
        sealed = self._secrets.seal(token.encode(), f"token {name}") if s3 else b""
        digest = sha256(token.encode()).digest()

        def change(tx: Tx) -> TokenRecord:
            if tx.get(TOKENS, name) is not None:
                raise AlreadyExists(
                    f"token {name} already exists",
                    "choose another name, or remove it for good: delete token --purge",
                )
            if len(tx.all(TOKENS)) >= _MOST:
                raise Exhausted(f"the box keeps {_MOST} tokens at most", "purge revoked ones")
            record = TokenRecord(
                name, digest, str(role), bound, tx.now, tx.now + lasts if lasts else None,
                sealed=sealed,
            )  # fmt: skip
            tx.put(TOKENS, record)
            return record

        made = self._meta.write(change)
        self._end()  # the first closes the box
        return made, token

    def list(self) -> list[TokenRecord]:
        """Every token, by name, revoked ones too."""
        self._write_used()
        return sorted(self._meta.all(TOKENS), key=lambda t: t.name)

    def revoke(self, name: str, *, purge: bool = False) -> None:
        """End a token at once; with ``purge`` forget that it was. Raises NotFound, and
        InvalidArgument when nothing would keep callers out any more."""

        def change(tx: Tx) -> None:
            record = tx.get(TOKENS, name)
            if record is None:
                raise NotFound(f"token {name} not found", "list token shows what there is")
            if purge and len(tx.all(TOKENS)) == 1:
                raise InvalidArgument(
                    f"{name} is the only token: without any the box is open to this machine",
                    "leave it revoked; or if that is wanted: delete token --all",
                )
            if purge:
                tx.remove(TOKENS, name)
            elif record.revoked is None:
                tx.put(TOKENS, replace(record, revoked=tx.now, sealed=b""))

        self._meta.write(change)
        self._end()

    def forget_all(self) -> None:
        """Forget all tokens: the box is as open as before the first."""

        def change(tx: Tx) -> None:
            for record in tx.all(TOKENS):
                tx.remove(TOKENS, record.name)

        self._meta.write(change)
        self._end()

    # ---- the thread

    def _end(self) -> None:
        self._current()
        for look in self._ends:
            look()

    def _run(self) -> None:
        seen = 0.0
        while not self._stop.wait(_TURN_S):
            now = time()
            expiries = [h.principal.grant for h in self._current().by_name.values()]
            if any(g is not None and seen < g.expires <= now for g in expiries):
                for look in self._ends:
                    look()
            seen = now
            self._write_used()
        self._write_used()

    def _write_used(self) -> None:
        with self._lock:
            used, self._used = self._used, {}
        if not used:
            return

        def change(tx: Tx) -> None:
            for name, when in used.items():
                if (record := tx.get(TOKENS, name)) is not None:
                    tx.put(TOKENS, replace(record, used=when))

        try:
            self._meta.write(change)
        except PachyboxError:
            pass  # a full disk: it is known in about only, and nobody waits for it


def _principal(record: TokenRecord) -> Principal:
    grant = Grant(record.expires.timestamp() if record.expires is not None else 0.0)
    repos = None if record.repos is None else frozenset(record.repos)
    return Principal(record.name, Role.named(record.role), repos, grant)


def _bound(text: str) -> tuple[str, str]:
    repo = parse_repo(text)
    return repo.project, repo.name
