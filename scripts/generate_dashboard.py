"""Writes deploy/grafana/hearth.json from the panels below; `--check` fails when it is stale.

A dashboard as Grafana saves it repeats every default in every panel; here a panel is what it says.
Not here: alerts (deploy/prometheus/rules.yml).
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

PATH = Path(__file__).parent.parent / "deploy" / "grafana" / "hearth.json"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS, HEIGHT = 24, 8


class Panel(NamedTuple):
    """One picture: its queries by legend."""

    title: str
    description: str
    unit: str  # of Grafana
    queries: dict[str, str]
    kind: str = "timeseries"
    width: int = 8


def _quantile(share: float, histogram: str, by: str = "") -> str:
    grouped = f"le, {by}" if by else "le"
    rate = f"rate({histogram}_bucket[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({grouped}) ({rate}))"


def _rate(counter: str, by: str) -> str:
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


def _log(gauge: str) -> str:
    return f"max by (stream) (hearth_stream_{gauge})"


JOBS = "worker_jobs_processed_total"
NO_WARM = f'sum(rate({JOBS}{{start=~"cold|generic"}}[$__rate_interval]))'
STARTED = f'sum(rate({JOBS}{{start!="none"}}[$__rate_interval]))'

ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        Panel("Invocations", "Ended, a second.", "reqps",
              {"": f"sum(rate({JOBS}[$__rate_interval]))"}, "stat", 4),
        Panel("Without warm sandbox", "Share of invocations that were a cold start.", "percentunit",
              {"": f"({NO_WARM} or vector(0)) / {STARTED}"}, "stat", 4),
        Panel("Oldest entry", "Of any stream; a running function counts.", "s",
              {"": "max(hearth_stream_oldest_age_seconds)"}, "stat", 4),
        Panel("Dead letters", "See `hearth dead list`.", "short",
              {"": 'max(hearth_stream_entries{stream="dead"})'}, "stat", 4),
        Panel("Savings promised", "By the advice in force, a month.", "currencyUSD",
              {"": "sum(hearth_savings_usd_per_month)"}, "stat", 4),
        Panel("Redis", "1: it answers.", "short", {"": "max(hearth_redis_up)"}, "stat", 4),
    ),
    "Invocations": (
        Panel("By outcome", "Ended, a second.", "reqps", {"{{outcome}}": _rate(JOBS, "outcome")}),
        Panel("Run phase", "From the call of the handler to its answer.", "s", {
            "{{runtime}} p50": _quantile(0.5, "worker_eval_duration_seconds", "runtime"),
            "{{runtime}} p99": _quantile(0.99, "worker_eval_duration_seconds", "runtime"),
        }),
        Panel("Until the result", "From acceptance to the announced result.", "s", {
            "p50": _quantile(0.5, "hearth_result_latency_seconds"),
            "p99": _quantile(0.99, "hearth_result_latency_seconds"),
        }),
        Panel("CPU", "Cores that invocations use.", "short",
              {"{{runtime}}": _rate("worker_cpu_usage_seconds_total", "runtime")}),
        Panel("Memory peak", "Of the invocation that was profiled last.", "bytes",
              {"{{runtime}}": "max by (runtime) (worker_memory_peak_bytes)"}),
        Panel("Messages", "SQS messages by what became of them, a second.", "reqps",
              {"{{outcome}}": _rate("hearth_messages_total", "outcome")}),
    ),
    "The log": (
        Panel("Lag", "Entries not delivered to their stage yet.", "short",
              {"{{stream}}": _log("lag_entries")}),
        Panel("Pending", "Entries delivered and not acknowledged.", "short",
              {"{{stream}}": _log("pending_entries")}),
        Panel("Oldest entry", "That is not acknowledged.", "s",
              {"{{stream}}": _log("oldest_age_seconds")}),
        Panel("Handled", "Entries by stage, a second.", "reqps",
              {"{{stage}}": _rate("hearth_handled_total", "stage")}),
        Panel("Not as it should be", "Fenced commits, claims, retries, buried entries, a second.",
              "reqps", {
                  "{{stage}} fenced": _rate('hearth_commits_total{outcome="fenced"}', "stage"),
                  "{{stage}} claimed": _rate("hearth_claimed_total", "stage"),
                  "{{stage}} buried": _rate("hearth_dead_lettered_total", "stage"),
                  "retries": "sum(rate(hearth_retries_total[$__rate_interval])) or vector(0)",
                  "held back": "sum(rate(hearth_receives_held_back_total[$__rate_interval]))",
              }),
        Panel("Redis memory", "Used, and what may be used.", "bytes", {
            "used": "max(hearth_redis_memory_bytes)",
            "may be used": "max(hearth_redis_memory_max_bytes)",
        }),
        Panel("Commits", "By stage, a second.", "reqps",
              {"{{stage}}": _rate('hearth_commits_total{outcome="committed"}', "stage")}),
        Panel("Length", "Entries in the streams.", "short", {"{{stream}}": _log("entries")}),
        Panel("Consumers", "In each group.", "short", {"{{stream}}": _log("consumers")}),
    ),
    "Sandboxes": (
        Panel("Sandboxes", "By state; the line is what there may be of functions.", "short", {
            "{{state}}": "sum by (state) (hearth_sandboxes)",
            "at most": "sum(hearth_sandboxes_max)",
        }),
        Panel("Memory budget", "What sandboxes may take, and what all may.", "bytes", {
            "{{owner}}": "sum by (owner) (hearth_sandbox_memory_reserved_bytes)",
            "budget": "sum(hearth_sandbox_memory_budget_bytes)",
        }),
        Panel("Waiting for a sandbox", "Invocations now; and how many wait on average.", "short", {
            "now": "sum(hearth_invocations_waiting)",
            "average": "sum(rate(hearth_sandbox_wait_seconds_total[$__rate_interval]))",
        }),
        Panel("Starts", "Warm, from a generic sandbox, cold, a second.", "reqps",
              {"{{start}}": _rate(JOBS, "start")}),
        Panel("Cold start", "Sandbox and init where none was warm.", "s", {
            "{{start}} p50": _quantile(0.5, "hearth_start_duration_seconds", "start"),
            "{{start}} p95": _quantile(0.95, "hearth_start_duration_seconds", "start"),
        }),
        Panel("Sandboxes destroyed", "By reason, a second.", "reqps",
              {"{{reason}}": _rate("hearth_sandbox_stops_total", "reason")}),
        Panel("Sandboxes started", "By kind and runtime, a second.", "reqps",
              {"{{kind}} {{runtime}}": _rate("hearth_sandbox_starts_total", "kind, runtime")}),
        Panel("Code cache", "Bytes unpacked on disk.", "bytes",
              {"{{instance}}": "hearth_code_cache_bytes"}),
        Panel("Code looked up", "For new sandboxes, a second; and looks at S3.", "reqps", {
            "{{outcome}}": _rate("hearth_code_cache_lookups_total", "outcome"),
            "S3 {{outcome}}": _rate("hearth_code_fetches_total", "outcome"),
        }),
    ),
    "AWS": (
        Panel("Calls", "By operation and outcome, a second.", "reqps", {
            "{{operation}} {{outcome}}":
                _rate("hearth_aws_call_duration_seconds_count", "operation, outcome"),
        }),
        Panel("Duration of calls", "The long poll of ReceiveMessage waits for messages.", "s", {
            "{{operation}} p95":
                _quantile(0.95, "hearth_aws_call_duration_seconds", "operation"),
        }),
        Panel("Results on the way to S3", "Announced, not written yet.", "short",
              {"documents": "sum(hearth_documents_unwritten)"}),
        Panel("Documents", "In S3, by status, a second.", "reqps",
              {"{{status}}": _rate("hearth_published_total", "status")}),
        Panel("Bytes", "Inputs, output files and result documents, a second.", "Bps", {
            "{{direction}}": _rate("hearth_streamed_bytes_total", "direction"),
            "documents": "sum(rate(hearth_document_bytes_total[$__rate_interval]))",
        }),
        Panel("Uploads of executors", "By kind, a second.", "reqps",
              {"{{kind}}": _rate("hearth_uploads_total", "kind")}),
    ),
    "Tuner": (
        Panel("Findings", "What was noticed, a second.", "reqps",
              {"{{kind}}": _rate("hearth_findings_total", "kind")}),
        Panel("Savings promised", "A month.", "currencyUSD",
              {"savings": "sum(hearth_savings_usd_per_month)"}),
        Panel("Changes", "Limits that the tuner set, and replays, an hour.", "short", {
            "{{action}}": "sum by (action) (increase(hearth_limit_changes_total[1h]))",
            "replay {{outcome}}": "sum by (outcome) (increase(hearth_replays_total[1h]))",
        }),
    ),
}  # fmt: skip


def _target(number: int, legend: str, query: str) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + number),
        "datasource": DATASOURCE,
        "expr": query,
        "legendFormat": legend or "__auto",
    }


def _draw(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT if panel.width > 4 else 4},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [_target(place, *query) for place, query in enumerate(panel.queries.items())],
    }


def make_dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place,
                       "collapsed": False, "panels": []})  # fmt: skip
        x, y = 0, y + 1
        for panel in row:
            drawn = _draw(panel, len(panels) + 1, x, y)
            panels.append(drawn)
            x += panel.width
            if x >= COLUMNS:
                x, y = 0, y + drawn["gridPos"]["h"]
        y += HEIGHT if x else 0
    return {
        "uid": "hearth",
        "title": "Hearth",
        "tags": ["hearth"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource",
                 "query": "prometheus", "refresh": 1},
            ]
        },
        "panels": panels,
    }  # fmt: skip


def main() -> int:
    """Write it, or say that it is stale."""
    text = json.dumps(make_dashboard(), indent=1, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv:
        PATH.write_text(text)
        return 0
    if PATH.exists() and PATH.read_text() == text:
        return 0
    print("deploy/grafana/hearth.json is stale: run scripts/generate_dashboard.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
