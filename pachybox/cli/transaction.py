"""Commands on transactions. The open one is kept in the settings file, per box."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, records
from pachybox.client.box import Transactions
from pachybox.client.values import Json, job_name, time_of
from pachybox.errors import Refused


class _Record:
    """A raw record for the output."""

    def __init__(self, raw: Json) -> None:
        self.raw = raw


def _id(app: App, box: Transactions, args: Args) -> str:
    chosen = getattr(args, "transaction", None) or box.transaction_id
    if not chosen:
        raise Refused("no transaction is open", "start one with: pachybox start transaction")
    return str(chosen)


def _start(app: App, args: Args) -> None:
    box = app.box(Transactions)
    if box.transaction_id:
        raise Refused(
            f"transaction {box.transaction_id} is open",
            "end it with: pachybox finish transaction, or leave it with: pachybox stop transaction",
        )
    id = box.start_transaction()
    app.settings.set_transaction(box.address, id)
    app.output.line(id)


def _finish(app: App, args: Args) -> None:
    box = app.box(Transactions)
    id = _id(app, box, args)
    info = box.finish_transaction(id)
    if id == box.transaction_id:
        app.settings.set_transaction(box.address, "")
    app.output.line(f"Completed transaction with {len(info.get('requests') or ())} requests: {id}")


def _stop(app: App, args: Args) -> None:
    box = app.box(Transactions)
    _id(app, box, args)
    app.settings.set_transaction(box.address, "")


def _resume(app: App, args: Args) -> None:
    box = app.box(Transactions)
    box.inspect_transaction(args.transaction)  # it must be there
    app.settings.set_transaction(box.address, args.transaction)


def requests(info: Json) -> list[str]:
    """What is queued, a word and a name each: ``createRepo images``."""
    out = []
    for request in info.get("requests") or ():
        if not request:  # Pachyderm's message has no field for it
            out.append("delete or squash commit")
        for kind, message in request.items():
            if made := message.get("createPipelineRequest"):
                made = made.get("pipeline") or {}
                project = (made.get("project") or {}).get("name", "default")
                name = made.get("name", "")
                out.append(
                    f"createPipeline {name if project == 'default' else f'{project}/{name}'}"
                )
                continue
            if job := message.get("job"):
                out.append(f"{kind} {job_name(job)}")
                continue
            if found := message.get("commitSet"):
                out.append(f"{kind} {found.get('id', '')}")
                continue
            thing = message.get("repo") or message.get("branch") or message.get("commit") or {}
            branch = thing.get("branch") or {}
            repo = (thing.get("repo") or branch.get("repo") or {}).get("name", "")
            name = thing.get("id") or branch.get("name") or thing.get("name", "")
            out.append(f"{kind} {repo}@{name}" if repo else f"{kind} {name}".rstrip())
    return out


def _inspect(app: App, args: Args) -> None:
    box = app.box(Transactions)
    info = box.inspect_transaction(_id(app, box, args))
    app.output.fields(
        _Record(info),
        [
            ("ID", (info.get("transaction") or {}).get("id", "")),
            ("Started", app.output.time(time_of(info.get("started")))),
            ("Requests", "\n".join(requests(info))),
        ],
    )


def _list(app: App, args: Args) -> None:
    out = app.output
    out.records(
        map(_Record, app.box(Transactions).list_transaction()),
        ("TRANSACTION", "STARTED", "OPS"),
        lambda r: (
            (r.raw.get("transaction") or {}).get("id", ""),
            out.time(time_of(r.raw.get("started"))),
            str(len(r.raw.get("requests") or ())),
        ),
    )


def _delete(app: App, args: Args) -> None:
    box = app.box(Transactions)
    id = _id(app, box, args)
    box.delete_transaction(id)
    if id == box.transaction_id:
        app.settings.set_transaction(box.address, "")


def _nothing(parser: Parser) -> None:
    pass


def _optional(parser: Parser) -> None:
    parser.add_argument("transaction", metavar="ID", nargs="?", help="default: the open one")


def _named(parser: Parser) -> None:
    parser.add_argument("transaction", metavar="ID")


def _shown(parser: Parser) -> None:
    _optional(parser)
    records(parser)


COMMANDS = {
    "start transaction": Command(
        _nothing,
        _start,
        ("start transaction",),
        "Until it is finished or stopped, these are queued instead of done: create and delete\n"
        "repo, start and finish commit, create and delete branch, delete and squash commit,\n"
        "create and update pipeline, stop job. Each is tried when it is queued, and its errors\n"
        "are told then. Reading and writing files is never part of a transaction.",
    ),
    "finish transaction": Command(_optional, _finish, ("finish transaction",)),
    "stop transaction": Command(_nothing, _stop, ("stop transaction",)),
    "resume transaction": Command(_named, _resume, ("resume transaction ID",)),
    "inspect transaction": Command(_shown, _inspect, ("inspect transaction",)),
    "list transaction": Command(records, _list, ("list transaction",)),
    "delete transaction": Command(_optional, _delete, ("delete transaction",)),
}
