"""The box itself: its state, events, checks, and transactions."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from functools import partial

from pachybox.client.base import BOX, PFS, PPS, TRANSACTIONS, Base, Stream, pause
from pachybox.client.connection import current_scope
from pachybox.client.pipeline_values import BoxStatus
from pachybox.client.values import Json, time_of
from pachybox.errors import NotReady, Unreachable
from pachybox.model.events import Event

RESET = "reset"
"""The kind of the event that tells that others are missing."""
_AGAIN_S = 0.05  # between attempts to go on following
_EPOCH = datetime.fromtimestamp(0, UTC)


class Box(Base):
    """Methods on the box."""

    def status(self) -> BoxStatus:
        """What runs where, and how much there is."""
        return BoxStatus.from_json(self.call(BOX, "Status"))

    def version(self) -> Json:
        """The API version the box speaks (versionpb_v2.Version)."""
        return self.call("versionpb_v2.API", "GetVersion")

    def inspect_cluster(self) -> Json:
        """The box's ids and warnings as Pachyderm's clients ask for them."""
        return self.call("admin_v2.API", "InspectCluster")

    def healthy(self) -> bool:
        """Whether the box is up and serving. Raises Unreachable when nothing answers."""
        with self.transport.request("GET", "/healthz") as response:
            response.body()
            return response.status == 200

    def ready(self) -> list[str]:
        """Why the box would not take a write now; nothing when it would. Raises Unreachable when
        nothing answers."""
        with self.transport.request("GET", "/readyz") as response:
            text = response.body().decode()
            return [] if response.status == 200 else text.splitlines()

    def shutdown(self) -> None:
        """Ask the box to end; it finishes what is being written first."""
        self.call(BOX, "Shutdown")

    def doctor(self) -> Stream[Json]:
        """What the box's machine can do: records of check, level, detail, remedy
        and code (explained by ``pachybox doctor CODE``)."""
        return self.stream(BOX, "Doctor")

    def settings(self) -> Json:
        """What the box runs with: ``home``, and ``settings``, records of key, value (text) and
        origin (default, box.toml, environment or flag). Secrets are ``***``."""
        return self.call(BOX, "GetSettings")

    def fsck(self, *, fix: bool = False, quick: bool = False) -> Stream[Json]:
        """Check that all metadata is consistent and all content there; with ``fix`` mend it.
        ``quick``: the metadata and where the trees of heads begin, no content."""
        more = {"quick": True} if quick else {}  # of which a box from before knows nothing
        return self.stream(BOX, "Fsck", fix=fix, **more)

    def collect_garbage(self) -> Json:
        """Free content nothing names: scanned, freedBytes, packsRemoved, objectsRemoved."""
        return self.call(BOX, "CollectGarbage")

    def scrub(self, *, now: bool = False) -> Stream[Json]:
        """How far reading and proving all content is: began, doneBytes, totalBytes, ended,
        lastWhole, damaged; the last record has each ``damage``. With ``now`` all is read at once,
        a record some five times a second; leaving early leaves the rest to the box."""
        return self.stream(BOX, "Scrub", now=now)

    def list_webhook(self) -> Stream[Json]:
        """The webhooks of ``box.toml`` and how they do: number, url (what may be secret in it left
        out), events, signed, waiting, delivered, failed, dropped, error, lastTime."""
        return self.stream(BOX, "ListWebhook")

    def test_webhook(self, webhook: str = "all") -> Stream[Json]:
        """Send a test to a webhook (its number or its url), or to all: records of number, url,
        status and error, which is empty where it was taken. Raises NotFound."""
        return self.stream(BOX, "TestWebhook", webhook=webhook)

    def delete_all(self) -> None:
        """Remove every pipeline, repo and secret."""
        self.call(PPS, "DeleteAll")
        self.call(PFS, "DeleteAll")

    def events(
        self, *, after: int = 0, follow: bool = False, kinds: Iterable[str] = ()
    ) -> Stream[Event]:
        """Events numbered above ``after``, in order; with ``follow`` new ones as they happen.

        ``kinds`` are beginnings (``commit.``). Where events above ``after`` are no longer kept, or
        the box has not come so far (it was restored), the first one is of the kind ``reset``,
        whatever the kinds: look at everything anew. When the connection is lost while following,
        it is made again and continues with the next number, so none is missed or seen twice;
        after ``patience_s`` without an answer Unreachable is raised.
        """
        opened: list[Stream[Json]] = []
        wanted = list(kinds)

        def close() -> None:
            items.close()
            for stream in opened:
                stream.close()

        items = self._events(after, follow, wanted, opened)
        return Stream(items, close)

    def _events(
        self, after: int, follow: bool, kinds: list[str], opened: list[Stream[Json]]
    ) -> Generator[Event, None, None]:
        last = after
        while True:
            ask = partial(self.stream, BOX, "SubscribeEvents", follow=follow, kinds=kinds)
            stream = self._patiently(partial(ask, from_=str(last + 1)))
            opened[:] = [stream]
            try:
                for record in stream:
                    event = _event(record)
                    if event.seq > last or event.kind == RESET:
                        last = event.seq
                        yield event
                if not follow:
                    return
            except (Unreachable, NotReady):  # NotReady: what a box that is stopping says
                scope = current_scope()
                if not follow or (scope and scope.cancelled):
                    raise
                pause(_AGAIN_S, scope)


def _event(record: Json) -> Event:
    return Event(
        int(record.get("seq") or 0),
        time_of(record.get("time")) or _EPOCH,
        record.get("kind", ""),
        record.get("data") or {},
    )


class Transactions(Base):
    """Methods on transactions; ``transaction`` is the ``with`` block around them.

    By hand: set ``client.transaction_id`` to the id to queue into one.
    """

    def start_transaction(self) -> str:
        """Open a transaction, return its id."""
        answer = self.call(TRANSACTIONS, "StartTransaction")
        return str(answer.get("id", ""))

    def finish_transaction(self, id: str) -> Json:
        """Do all that was queued, atomically (transaction_v2.TransactionInfo)."""
        return self.call(TRANSACTIONS, "FinishTransaction", transaction={"id": id})

    def inspect_transaction(self, id: str) -> Json:
        """What is queued (transaction_v2.TransactionInfo)."""
        return self.call(TRANSACTIONS, "InspectTransaction", transaction={"id": id})

    def list_transaction(self) -> list[Json]:
        """All open transactions."""
        return list(self.call(TRANSACTIONS, "ListTransaction").get("transactionInfo") or ())

    def delete_transaction(self, id: str) -> None:
        """Drop a transaction with all that was queued."""
        self.call(TRANSACTIONS, "DeleteTransaction", transaction={"id": id})
