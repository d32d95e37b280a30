"""The panels of the dashboard and the alerts, as data: what is asked, in which unit, under which
title. A test holds each query against the metrics that there are."""

from __future__ import annotations

from typing import NamedTuple


class Query(NamedTuple):
    """A PromQL query, and what its lines are called (Grafana's ``{{label}}``)."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """One panel: ``kind`` is Grafana's (stat, timeseries, table), ``width`` of 24 columns;
    ``red``: from which value on a stat is red."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    red: float | None = None
    about: str = ""


class Alert(NamedTuple):
    """A rule of Prometheus: it holds for ``pending``, then it is told as ``text``."""

    name: str
    expr: str
    pending: str
    severity: str
    text: str


BOX = '{instance=~"$instance"}'


def _stat(title: str, expr: str, unit: str = "short", red: float | None = None) -> Panel:
    return Panel(title, (Query(expr),), unit, "stat", 4, red)


def _age(metric: str) -> str:
    return f"time() - {metric}"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Now",
        (
            _stat("Alive", f"pachybox_alive{BOX}"),
            _stat("Ready", f"pachybox_ready{BOX}"),
            _stat("Warnings", f"pachybox_warnings{BOX}", red=1),
            _stat("Disk used", f"pachybox_disk_used_percent{BOX}", "percent", 92),
            _stat("Late sources", f"pachybox_ingest_late{BOX}", red=1),
            _stat("Up since", f"{_age(f'process_start_time_seconds{BOX}')}", "s"),
        ),
    ),
    (
        "Requests",
        (
            Panel(
                "Requests by outcome",
                (Query(f"sum by (code) (rate(pachybox_requests_total{BOX}[5m]))", "{{code}}"),),
                "reqps",
            ),
            Panel(
                "Busiest methods",
                (
                    Query(
                        f"topk(8, sum by (method) (rate(pachybox_requests_total{BOX}[5m])))",
                        "{{method}}",
                    ),
                ),
                "reqps",
            ),
            Panel(
                "Time of a request",
                tuple(
                    Query(
                        f"histogram_quantile({q}, sum by (le) "
                        f"(rate(pachybox_request_seconds_bucket{BOX}[5m])))",
                        f"{q}",
                    )
                    for q in (0.5, 0.95, 0.99)
                ),
                "s",
                about="Streams are counted to their end.",
            ),
            Panel("Clients connected", (Query(f"pachybox_connections{BOX}"),)),
        ),
    ),
    (
        "Pipelines",
        (
            Panel(
                "Jobs that ended",
                (
                    Query(
                        f"sum by (outcome) (increase(pachybox_jobs_total{BOX}[15m]))",
                        "{{outcome}}",
                    ),
                ),
            ),
            Panel(
                "Failed jobs by pipeline",
                (
                    Query(
                        "sum by (project, pipeline) (increase(pachybox_jobs_total"
                        '{instance=~"$instance",outcome!="success"}[15m])) > 0',
                        "{{project}}/{{pipeline}}",
                    ),
                ),
            ),
            Panel(
                "Jobs not over",
                (
                    Query(f"sum(pachybox_pipeline_jobs_open{BOX})", "open"),
                    Query(f"pachybox_jobs_running{BOX}", "running"),
                ),
            ),
            Panel(
                "Datums",
                (Query(f"sum by (outcome) (rate(pachybox_datums_total{BOX}[5m]))", "{{outcome}}"),),
            ),
            Panel(
                "Places for datums",
                (
                    Query(f"pachybox_datum_slots_busy{BOX}", "busy"),
                    Query(f"pachybox_datum_slots{BOX}", "all"),
                ),
            ),
            Panel(
                "Time of a job",
                (
                    Query(
                        f"sum by (project, pipeline) (rate(pachybox_job_seconds_total{BOX}[15m])) "
                        f"/ sum by (project, pipeline) (rate(pachybox_jobs_total{BOX}[15m]))",
                        "{{project}}/{{pipeline}}",
                    ),
                ),
                "s",
            ),
            Panel(
                "Since the last success",
                (
                    Query(
                        _age(f"pachybox_pipeline_last_success_timestamp_seconds{BOX}"),
                        "{{project}}/{{pipeline}}",
                    ),
                ),
                "s",
            ),
            Panel(
                "Pipelines by state",
                (Query(f"pachybox_pipelines_in_state{BOX}", "{{state}}"),),
            ),
        ),
    ),
    (
        "Ingest",
        (
            Panel(
                "Records",
                (
                    Query(
                        f"sum by (project, ingest) (rate(pachybox_ingest_records_total{BOX}[5m]))",
                        "{{project}}/{{ingest}}",
                    ),
                ),
            ),
            Panel(
                "Lag",
                (Query(f"pachybox_ingest_lag_seconds{BOX}", "{{project}}/{{ingest}}"),),
                "s",
                about="Of a cron: how late its next tick is.",
            ),
            Panel(
                "Since the last commit",
                (
                    Query(
                        _age(f"pachybox_ingest_last_commit_timestamp_seconds{BOX}"),
                        "{{project}}/{{ingest}}",
                    ),
                ),
                "s",
            ),
            Panel(
                "Errors, restarts, dead letters",
                (
                    Query(f"sum(increase(pachybox_ingest_errors_total{BOX}[15m]))", "errors"),
                    Query(f"sum(increase(pachybox_ingest_restarts_total{BOX}[15m]))", "restarts"),
                    Query(
                        f"sum(increase(pachybox_ingest_dead_letters_total{BOX}[15m]))",
                        "dead letters",
                    ),
                ),
            ),
        ),
    ),
    (
        "Disk and content",
        (
            Panel(
                "Stored",
                (
                    Query(f"pachybox_store_bytes{BOX}", "content"),
                    Query(f"pachybox_store_dead_bytes{BOX}", "of it dead"),
                ),
                "bytes",
            ),
            Panel(
                "Disk",
                (
                    Query(f"pachybox_disk_free_bytes{BOX}", "free"),
                    Query(f"pachybox_disk_total_bytes{BOX}", "all"),
                ),
                "bytes",
            ),
            Panel(
                "Commits and repos",
                (
                    Query(f"pachybox_commits{BOX}", "commits"),
                    Query(f"pachybox_repos{BOX}", "repos"),
                ),
            ),
            Panel(
                "Scrub",
                (
                    Query(
                        f"pachybox_scrub_done_bytes{BOX} / (pachybox_scrub_total_bytes{BOX} > 0)",
                        "proven",
                    ),
                ),
                "percentunit",
            ),
            Panel(
                "Since the last good work",
                (Query(_age(f"pachybox_part_ok_seconds{BOX}"), "{{part}}"),),
                "s",
                about="Of the janitor, the scrub, backups, webhooks.",
            ),
            _stat("Damaged content", f"pachybox_scrub_damaged{BOX}", red=1),
        ),
    ),
    (
        "Metadata and process",
        (
            Panel(
                "Files of the metadata",
                (
                    Query(f"pachybox_meta_bytes{BOX}", "database"),
                    Query(f"pachybox_meta_wal_bytes{BOX}", "log"),
                    Query(f"pachybox_meta_hashes_bytes{BOX}", "index"),
                ),
                "bytes",
            ),
            Panel(
                "Writer",
                (
                    Query(f"rate(pachybox_meta_groups_total{BOX}[5m])", "groups a second"),
                    Query(f"rate(pachybox_meta_seconds_total{BOX}[5m])", "share of time"),
                    Query(f"pachybox_meta_waiting{BOX}", "waiting"),
                    Query(f"rate(pachybox_meta_checkpoints_total{BOX}[5m])", "checkpoints"),
                ),
            ),
            Panel("Memory", (Query(f"process_resident_memory_bytes{BOX}"),), "bytes"),
            Panel(
                "Processor",
                (
                    Query(f"rate(process_cpu_seconds_total{BOX}[5m])", "daemon"),
                    Query(f"rate(pachybox_children_cpu_seconds_total{BOX}[5m])", "ended programs"),
                ),
            ),
            Panel(
                "Open files and threads",
                (
                    Query(f"process_open_fds{BOX}", "files"),
                    Query(f"process_max_fds{BOX}", "most files"),
                    Query(f"process_threads{BOX}", "threads"),
                ),
            ),
            Panel(
                "Webhooks",
                (
                    Query(
                        "sum by (webhook, outcome) "
                        f"(increase(pachybox_webhook_deliveries_total{BOX}[15m]))",
                        "{{webhook}} {{outcome}}",
                    ),
                ),
            ),
        ),
    ),
)

ALERTS: tuple[Alert, ...] = (
    Alert(
        "PachyboxDown", 'up{job="pachybox"} == 0', "2m", "critical",
        "Nothing answers at {{ $labels.instance }}",
    ),
    Alert(
        "PachyboxNotReady", "pachybox_ready == 0", "5m", "critical",
        "{{ $labels.instance }} takes no writes; see /readyz",
    ),
    Alert(
        "PachyboxDiskFills", "pachybox_disk_level == 1", "10m", "warning",
        "The disk of {{ $labels.instance }} fills up",
    ),
    Alert(
        "PachyboxDiskFull", "pachybox_disk_level >= 2", "1m", "critical",
        "The disk of {{ $labels.instance }} is nearly full: ingest is held, or writes are refused",
    ),
    Alert(
        "PachyboxDiskFullSoon",
        "predict_linear(pachybox_disk_free_bytes[6h], 86400) < 0", "1h", "warning",
        "The disk of {{ $labels.instance }} will be full within a day",
    ),
    Alert(
        "PachyboxJobsFail",
        'sum by (instance, project, pipeline) '
        '(increase(pachybox_jobs_total{outcome=~"failure|unrunnable"}[15m])) > 0',
        "0m", "warning",
        "Jobs of {{ $labels.project }}/{{ $labels.pipeline }} fail on {{ $labels.instance }}",
    ),
    Alert(
        "PachyboxPipelineFailed",
        'pachybox_pipeline_state{state=~"failure|crashing"}', "5m", "critical",
        "Pipeline {{ $labels.project }}/{{ $labels.pipeline }} is in state {{ $labels.state }}",
    ),
    Alert(
        "PachyboxSourceLate",
        "pachybox_ingest_late > 0", "10m", "warning",
        "Sources of {{ $labels.instance }} are late",
    ),
    Alert(
        "PachyboxSourceCrashes",
        'pachybox_ingest_state{state="crashing"} == 1', "5m", "warning",
        "Source {{ $labels.project }}/{{ $labels.ingest }} is crashing",
    ),
    Alert(
        "PachyboxDeadLetters",
        "increase(pachybox_ingest_dead_letters_total[1h]) > 0", "0m", "warning",
        "Source {{ $labels.project }}/{{ $labels.ingest }} has set something aside",
    ),
    Alert(
        "PachyboxContentDamaged", "pachybox_scrub_damaged > 0", "0m", "critical",
        "Content of {{ $labels.instance }} is damaged; see pachybox doctor",
    ),
    Alert(
        "PachyboxCareFails", "pachybox_part_ok == 0", "1h", "warning",
        "{{ $labels.part }} of {{ $labels.instance }} does not work; see pachybox doctor",
    ),
    Alert(
        "PachyboxBackupOld",
        'time() - pachybox_part_ok_seconds{part="backup"} > 2 * 86400', "1h", "critical",
        "The last good backup of {{ $labels.instance }} is two days old",
    ),
    Alert(
        "PachyboxCertificateEnds",
        "pachybox_certificate_expires_seconds - time() < 14 * 86400", "1h", "warning",
        "The certificate of {{ $labels.instance }} ends within two weeks: pachybox cert renew",
    ),
    Alert(
        "PachyboxTokensEnd", "pachybox_tokens_ending > 0", "1h", "warning",
        "Tokens of {{ $labels.instance }} end within two weeks: pachybox list token",
    ),
    Alert(
        "PachyboxWebhookFails", "pachybox_webhook_failing == 1", "30m", "warning",
        "Webhook {{ $labels.webhook }} of {{ $labels.instance }} is not heard",
    ),
    Alert(
        "PachyboxFilesRunOut", "process_open_fds{job=\"pachybox\"} "
        "/ process_max_fds{job=\"pachybox\"} > 0.9", "5m", "warning",
        "{{ $labels.instance }} has nearly as many files open as it may",
    ),
    Alert(
        "PachyboxSlow",
        "histogram_quantile(0.95, sum by (instance, le) "
        '(rate(pachybox_request_seconds_bucket{method="pfs_v2.API/InspectRepo"}[10m]))) > 1',
        "15m", "warning",
        "Small requests to {{ $labels.instance }} take more than a second",
    ),
)  # fmt: skip
