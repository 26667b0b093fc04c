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
    try:
        for rule in decide_rules(bridge):
            _insert("iptables", rule)
    except (OSError, subprocess.CalledProcessError) as error:
        log_event(
            LOG,
            "sandbox.host_open",
            level=logging.WARNING,
            reason=error,
            advice=f"functions with network access reach the host: run the executor on the host as "
            f"root with iptables, or there: iptables -I INPUT -i {bridge} -j REJECT; and require "
            "IMDSv2 with hop limit 1",
        )
        return False
    _close_ipv6(bridge)
    return True


def _close_ipv6(bridge: str) -> None:
    """The network has no IPv6; this is for the day when somebody gives it some."""
    try:
        _insert("ip6tables", ("INPUT", "-i", bridge, *_REFUSE))
    except (OSError, subprocess.CalledProcessError) as error:
        log_event(LOG, "sandbox.host_open_ipv6", level=logging.DEBUG, reason=error)


def _insert(program: str, rule: Sequence[str]) -> None:
    if subprocess.run([program, "-w", "-C", *rule], check=False, capture_output=True).returncode:
        subprocess.run([program, "-w", "-I", *rule], check=True, capture_output=True)
