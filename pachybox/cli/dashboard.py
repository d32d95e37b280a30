"""``dashboard``: what Grafana and Prometheus are given, from wherever pachybox is installed."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag


def _run(app: App, args: Args) -> None:
    from appliance.grafana.__main__ import alerts, dashboard

    app.output.line((alerts() if args.alerts else dashboard()).rstrip("\n"))


def _arguments(parser: Parser) -> None:
    flag(parser, "--alerts", help="the rules of Prometheus instead")


COMMANDS = {
    "dashboard": Command(
        _arguments,
        _run,
        ("dashboard > pachybox.json", "dashboard --alerts > /etc/prometheus/pachybox.yaml"),
        "Import it into Grafana; it asks for the source of data. See docs/monitoring.md.",
    )
}
