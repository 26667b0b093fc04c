"""deploy/prometheus and deploy/grafana against the code and against promtool."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

from shared import metrics
from shared.log_figures import Figures
from shared.metrics_text import LogCollector
from tests.requirements import need

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"][0]["rules"]
ALERTS = [rule for rule in RULES if "alert" in rule]


def known_names() -> set[str]:
    """Every name that Prometheus may know from us."""
    assert metrics.HANDLED is not None
    families = [*REGISTRY.collect(), *LogCollector(Figures(up=True)).collect()]
    names = set()
    for family in families:
        names |= {
            "counter": {f"{family.name}_total"},
            "histogram": {f"{family.name}_{suffix}" for suffix in ("bucket", "sum", "count")},
        }.get(family.type, {family.name})
    return names | {rule["record"] for rule in RULES if "record" in rule}


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"(?:\w+:)?(?:hearth|worker)_\w+(?::\w+)?", expression))


def test_rules_and_dashboard_name_only_what_exists() -> None:
    """A metric that is renamed takes its alerts and panels along."""
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "hearth.json").read_text())
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", ())]
    named = set().union(*(names_in(one) for one in [*queries, *(rule["expr"] for rule in RULES)]))

    assert set() == named - known_names()
    assert len(named) > 30


def test_the_dashboard_shows_every_metric() -> None:
    """But what only alerts and people ask for."""
    dashboard = (ROOT / "deploy" / "grafana" / "hearth.json").read_text()
    elsewhere = {
        "hearth_waiting", "hearth_stage_started_timestamp_seconds", "hearth_sandbox_api_calls",
        "hearth_replay_last_success_timestamp_seconds", "hearth_visibility_extended",
        "hearth_traces", "hearth_code_cache_evictions", "hearth_hand_overs", "hearth_leases_lost",
        "hearth_archived_entries", "hearth_archive_lag_seconds", "hearth_trimmed_entries",
    }  # fmt: skip
    families = [*REGISTRY.collect(), *LogCollector(Figures(up=True)).collect()]
    ours = {one.name for one in families if one.name.startswith(("hearth_", "worker_"))}

    assert elsewhere == {name for name in ours if name not in dashboard}


def test_every_alert_has_its_part_of_the_page() -> None:
    """The link of each alert leads to a heading that says what to do."""
    page = (ROOT / "docs" / "operations.md").read_text()
    headings = {heading.lower() for heading in re.findall(r"^### (Hearth\w+)$", page, re.MULTILINE)}
    links = {rule["annotations"]["runbook_url"] for rule in ALERTS}

    assert links == {f"docs/operations.md#{heading}" for heading in headings}
    assert links == {f"docs/operations.md#{rule['alert'].lower()}" for rule in ALERTS}


def test_every_alert_is_seen_to_fire() -> None:
    """Each has an expectation in rules-test.yml that is not empty."""
    groups = yaml.safe_load((PROMETHEUS / "rules-test.yml").read_text())["tests"]
    fired = {
        one["alertname"]
        for group in groups
        for one in group.get("alert_rule_test", ())
        if one["exp_alerts"]
    }

    assert {rule["alert"] for rule in ALERTS} == fired


@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "config", "prometheus-compose.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules-test.yml"),
    ],
)
def test_promtool_accepts_the_files(command: tuple[str, ...]) -> None:
    """Configurations, rules, and what the rules say of made-up histories."""
    need(shutil.which("promtool") is not None, "promtool is missing: scripts/setup --test")

    done = subprocess.run(
        ["promtool", *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
