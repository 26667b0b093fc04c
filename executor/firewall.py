"""Keeps sandboxes with network access from the host itself and from the cloud's metadata address.

Not here: the network (`docker_sandbox`), and sandboxes from one another: its bridge does that.

Without these rules a function would reach through the bridge's gateway whatever listens on all
addresses of the host: Redis, the metrics, a Docker Engine on TCP. Behind the metadata address lie
the host's credentials. The way out to the rest of the world stays open. The rules name the bridge,
so nobody else's packets meet them, and they may stay when the executor is gone.
"""

import logging
import subprocess
from collections.abc import Sequence

from shared.logging import log_event

LOG = logging.getLogger(__name__)
METADATA_ADDRESSES = (
    "169.254.169.254",  # EC2, Google, Azure
    "169.254.170.2",  # roles of ECS tasks
    "169.254.170.23",  # roles of EKS pods
)
_REFUSE = ("-j", "REJECT")  # and not DROP: the function is told at once


def decide_rules(bridge: str) -> list[tuple[str, ...]]:
    """The rules, each as iptables takes it after -C or -I."""
    return [
        # What is routed: Docker leaves this chain to others and keeps it over restarts.
        *(("DOCKER-USER", "-i", bridge, "-d", one, *_REFUSE) for one in METADATA_ADDRESSES),
        # What is for the host, by whichever of its addresses.
        ("INPUT", "-i", bridge, *_REFUSE),
    ]


def close_host(bridge: str) -> bool:
    """Refuse the host to what is behind `bridge`; says so in the log where it cannot.

    May be called again, also by other executors.
    """
    failures = [_insert("iptables", rule) for rule in decide_rules(bridge)]
    # The network has no IPv6; this is for the day when somebody gives it some.
    _insert("ip6tables", ("INPUT", "-i", bridge, *_REFUSE))
    reasons = list(filter(None, failures))
    if reasons:
        log_event(
            LOG,
            "sandbox.host_open",
            level=logging.WARNING,
            reason=reasons[0],
            advice=f"functions with network access reach the host: run the executor on the host as "
            f"root with iptables, or there: iptables -I INPUT -i {bridge} -j REJECT; and require "
            "IMDSv2 with hop limit 1",
        )
    return not reasons


def _insert(program: str, rule: Sequence[str]) -> str | None:
    """Add the rule unless it is there; why that was not possible."""
    look, insert = ([program, "-w", flag, *rule] for flag in ("-C", "-I"))
    try:
        if subprocess.run(look, check=False, capture_output=True).returncode == 0:
            return None
        done = subprocess.run(insert, check=False, capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return f"{program}: {done.stderr.strip()}" if done.returncode else None
