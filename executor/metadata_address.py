"""Keeps sandboxes from the cloud's metadata address: the host's credentials lie behind it.

Not here: the network itself (`docker_sandbox`).
"""

import logging
import subprocess

from shared.logging import log_event

LOG = logging.getLogger(__name__)
METADATA_ADDRESS = "169.254.169.254"


def close_metadata_address(bridge: str) -> bool:
    """Refuse that address to what is behind `bridge`; says so in the log where it cannot."""
    # Docker leaves the chain DOCKER-USER to rules like this one and keeps it over restarts.
    rule = ["DOCKER-USER", "-i", bridge, "-d", METADATA_ADDRESS, "-j", "REJECT"]
    look, insert = ["iptables", "-w", "-C", *rule], ["iptables", "-w", "-I", *rule]
    try:
        if subprocess.run(look, check=False, capture_output=True).returncode:
            subprocess.run(insert, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        log_event(
            LOG,
            "sandbox.metadata_address_open",
            level=logging.WARNING,
            reason=error,
            advice="run the executor as root with iptables, or require IMDSv2 with hop limit 1",
        )
        return False
    return True
