"""The sources that records are posted to: which there are, who may, and their inboxes."""

from __future__ import annotations

import hmac
import json
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from pachybox.errors import Exhausted, NotFound, NotReady, PachyboxError, Refused
from pachybox.ingest.inbox import Closed, Inbox, Posted, Taken
from pachybox.meta.tables import INGESTS, SecretRecord
from pachybox.meta.writer import Meta
from pachybox.model.ingest import Ingest, IngestKind, IngestRecord
from pachybox.model.units import parse_decimal_size
from pachybox.pps.secrets import Secrets

log = logging.getLogger("pachybox.ingest")

SPOOL = "spool"
"""Of a source's state directory: the folder of its inbox."""

TOKEN_KEY = "token"
"""The key, in the secret that a source names, of what callers show."""

POSITION_MOST = 1 << 62

_Life = tuple[datetime, str]  # what an inbox was opened for: when its source was made, its bound


class Pushes:
    """All of them. Thread-safe; ``home`` is where sources have their state directories."""

    def __init__(
        self, meta: Meta, home: Path, secrets: Secrets, held: Callable[[], str] = lambda: ""
    ) -> None:
        """``held`` tells why no source may bring in anything now ("": they may)."""
        self._meta = meta
        self._home = home
        self._secrets = secrets
        self._held = held
        self._lock = threading.Lock()
        self._open: dict[Ingest, tuple[_Life, Inbox]] = {}
        self._tokens: dict[str, tuple[SecretRecord, bytes]] = {}
        self._closed = False

    def start(self) -> None:
        """Open what was posted before, in a thread: a source with very many keys takes a second,
        for which nobody who posts is to wait."""
        threading.Thread(target=self._open_all, name="inboxes", daemon=True).start()

    def _open_all(self) -> None:
        for record in self._meta.all(INGESTS):
            if record.kind is not IngestKind.PUSH or not self._folder(record.ingest).is_dir():
                continue
            try:
                self._inbox(record).cut(committed(record))
            except (OSError, PachyboxError, Closed) as e:
                log.warning("spool of ingest %s not opened: %s", record.ingest, e)

    def _folder(self, ingest: Ingest) -> Path:
        return self._home / ingest.project / ingest.name / SPOOL

    def find(self, ingest: Ingest) -> IngestRecord:
        """Raises NotFound when nothing can be posted to ``ingest``."""
        record = self._meta.get(INGESTS, ingest)
        if record is None or record.kind is not IngestKind.PUSH:
            what = f" (it is a {record.kind.value})" if record is not None else ""
            raise NotFound(
                f"no source {ingest} takes records that are posted{what}",
                "list ingest shows what there is",
            )
        return record

    def opens(self, record: IngestRecord, token: str) -> bool:
        """Whether ``token`` is the source's own. Raises NotReady when that cannot be told."""
        name = secret_of(record)
        if not name:
            return False
        try:
            value = self._token(name)
        except NotFound as e:
            raise NotReady(
                f"ingest {record.ingest} wants a token that is not there: {e.message}",
                f"create secret {name} with the key {TOKEN_KEY}",
            ) from None
        # in constant time, so that a token cannot be guessed by its start
        return hmac.compare_digest(token.encode("latin-1", "replace"), value)

    def _token(self, name: str) -> bytes:
        """The value of a secret. Raises NotFound."""
        secret = self._secrets.inspect(name)
        known = self._tokens.get(name)
        if known is None or known[0] is not secret:
            # perf: opening it takes as long as all the rest of a request
            value = self._secrets.value(name, TOKEN_KEY).strip()
            known = self._tokens[name] = (secret, value)
        return known[1]

    def take(self, record: IngestRecord, posted: Sequence[Posted]) -> list[Taken | PachyboxError]:
        """Take requests for a source; what became of each, durable. Raises NotReady while it
        takes nothing."""
        self.require_open(record)
        for _ in range(3):
            try:
                inbox = self._inbox(record)
                if inbox.full:
                    inbox.cut(committed(record))
                made = inbox.take(posted)
            except Closed:
                continue  # the source was changed meanwhile
            except OSError as e:
                raise Exhausted(
                    f"what is posted to {record.ingest} cannot be kept: {e.strerror}",
                    "free some space",
                ) from e
            return [self._told(record, one) for one in made]
        raise NotReady(f"ingest {record.ingest} is being changed", "try again")

    def _told(self, record: IngestRecord, outcome: Taken | PachyboxError) -> Taken | PachyboxError:
        if isinstance(outcome, Exhausted) and self._is_full(record.ingest):
            return Exhausted(
                f"ingest {record.ingest} has more waiting than its spool holds "
                f"({push_spec(record)['spool']})",
                "send again later; inspect ingest tells why it does not get on",
            )
        return outcome

    def _is_full(self, ingest: Ingest) -> bool:
        found = self._open.get(ingest)
        return found is not None and found[1].full

    def require_open(self, record: IngestRecord) -> None:
        """Raises NotReady while the source takes nothing, with the reason."""
        if record.paused:
            raise NotReady(
                f"ingest {record.ingest} is paused",
                f"resume it with: resume ingest {record.ingest}",
            )
        if why := self._held():
            raise NotReady(f"ingest {record.ingest} is held: {why}", "free some space")

    def _inbox(self, record: IngestRecord) -> Inbox:
        """The inbox of a source as ``record`` has it. Raises Closed when it is not so any more,
        NotReady, OSError."""
        life = _life(record)
        found = self._open.get(record.ingest)
        if found is not None and found[0] == life and not found[1].broken:
            return found[1]
        with self._lock:
            if self._closed:
                raise NotReady("the box is stopping", "send again later")
            found = self._open.pop(record.ingest, None)
            if found is not None and found[0] == life and not found[1].broken:
                self._open[record.ingest] = found
                return found[1]
            if found is not None:
                found[1].close()
            self._sweep()
            ingest = record.ingest
            now = self._meta.get(INGESTS, ingest)
            if now is None or _life(now) != life:
                raise Closed  # one that is made anew must not find what is posted to this
            folder = self._folder(ingest)
            limit = parse_decimal_size(str(push_spec(record)["spool"]))
            try:
                inbox = Inbox(folder, limit, committed(record))
            except Refused as e:
                raise NotReady(e.message, e.hint) from e
            self._open[ingest] = (life, inbox)
            return inbox

    def _sweep(self) -> None:
        """Close the inboxes of sources that are gone."""
        for ingest in [one for one in self._open if self._meta.get(INGESTS, one) is None]:
            self._open.pop(ingest)[1].close()

    def advanced(self, record: IngestRecord) -> None:
        """The source has committed: what it has is cut away. Raises nothing."""
        found = self._open.get(record.ingest)
        if found is None:
            return
        try:
            found[1].cut(committed(record))
        except OSError as e:
            log.warning("spool of ingest %s not cut: %s", record.ingest, e)

    def forget(self, ingest: Ingest) -> None:
        """The source is gone."""
        with self._lock:
            found = self._open.pop(ingest, None)
        if found is not None:
            found[1].close()

    def close(self) -> None:
        """Give all inboxes up; nothing is taken any more."""
        with self._lock:
            self._closed = True
            for _, inbox in self._open.values():
                inbox.close()
            self._open.clear()


def _life(record: IngestRecord) -> _Life:
    return record.created, str(push_spec(record)["spool"])


def push_spec(record: IngestRecord) -> dict[str, object]:
    """What stands under ``push`` in the source's spec."""
    found: dict[str, object] = record.spec[IngestKind.PUSH.value]
    return found


def secret_of(record: IngestRecord) -> str:
    """The secret that opens the source; "" when the box's own rule does."""
    return str(push_spec(record)["secret"])


def committed(record: IngestRecord) -> int:
    """The position up to which the source has committed; 0 when its offset, which any client may
    set, tells none."""
    found = json.loads(record.offset).get("position") if record.offset else 0
    return found if type(found) is int and 0 <= found < POSITION_MOST else 0
