"""Commands on the box's certificate. They work on its data directory; no box need run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, records
from pachybox.errors import NotFound

if TYPE_CHECKING:
    from appliance.cert import Shown
    from pachybox.config import Config

_DAYS = 825


def _make(app: App, args: Args) -> None:
    from appliance import cert

    config = _config()
    names = args.name or cert.own_names()
    made = cert.make(config.home, names, args.days, force=args.force)
    settled = cert.settle(config)
    _print(app, made, config)
    if settled:
        note = "box.toml names them; a box that runs speaks TLS when it is started again"
    else:
        note = "a box that runs with them uses the new ones within a second"
    sys.stderr.write(f"{note}\n")


def _show(app: App, args: Args) -> None:
    from appliance import cert

    config = _config()
    if not config.tls_cert:
        raise NotFound("the box has no certificate", "make one: pachybox cert")
    shown = cert.show(config.tls_files[0], config.home / cert.FOLDER / cert.CA)
    _print(app, shown, config)


def _renew(app: App, args: Args) -> None:
    from appliance import cert

    config = _config()
    _print(app, cert.renew(config.home, args.name, args.days), config)


def _config() -> Config:
    from pachybox.config import load

    return load()


def _print(app: App, shown: Shown, config: Config) -> None:
    out = app.output
    ca = shown.ca
    where = next((n for n in shown.names if n not in ("localhost", "127.0.0.1", "::1")), "")
    where = (where or next(iter(shown.names), "HOST")).replace("*", "HOST")
    host = f"[{where}]" if ":" in where else where
    port = config.http_port or "PORT"
    trust = [
        ("Clients", f"PACHYBOX_CA=ca.pem PACHYBOX_ADDRESS=https://{host}:{port}"),
        ("S3", f"AWS_CA_BUNDLE=ca.pem aws --endpoint-url https://{host}:{port} s3 ls"),
        ("gRPC", f"grpcs://{host}:{config.grpc_port or 'PORT'}, root_certs = what ca.pem holds"),
        ("This machine", "copy ca.pem to /usr/local/share/ca-certificates/pachybox.crt, "
                         "then: update-ca-certificates"),
    ]  # fmt: skip
    out.fields(
        shown,
        [
            ("Certificate", shown.file),
            ("Names", ", ".join(shown.names)),
            ("Good until", f"{shown.not_after:%Y-%m-%d} ({shown.days_left} days)"),
            ("Issuer", shown.issuer),
            ("SHA-256", shown.sha256),
            *([("CA", ca), *trust] if ca else []),
        ],
    )


def _names(parser: Parser, default: str) -> None:
    parser.add_argument(
        "name", metavar="NAME", nargs="*", help=f"a host's name or address (default: {default})"
    )
    parser.add_argument(
        "--days", type=int, default=_DAYS, metavar="N", help=f"good for so long (at most {_DAYS})"
    )


def _making(parser: Parser) -> None:
    _names(parser, "those of this machine")
    flag(parser, "--force", help="also when there is one: clients must trust the new CA")
    records(parser, times=False)


def _showing(parser: Parser) -> None:
    records(parser, times=False)


def _renewing(parser: Parser) -> None:
    _names(parser, "those of the old one")
    records(parser, times=False)


_ABOUT = """\
Writes a small CA and a certificate signed by it to tls/ in the data directory, readable by its
owner alone, and has box.toml name them. Give clients ca.pem, and nothing else of that directory.
A certificate of another CA works as well: set tls_cert and tls_key in box.toml."""

COMMANDS = {
    "cert": Command(
        _making, _make, ("cert", "cert lab.example.org 192.168.1.20", "cert --force"), _ABOUT
    ),
    "cert show": Command(_showing, _show, ("cert show", "cert show --raw")),
    "cert renew": Command(
        _renewing,
        _renew,
        ("cert renew", "cert renew lab.example.org --days 90"),
        "The CA stays, so clients need not be told; a box that runs uses the new certificate\n"
        "within a second.",
    ),
}
