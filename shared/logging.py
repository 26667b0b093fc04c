"""Logging: stdlib records with stable dotted keys and fields, one line each.

log_event(LOG, "sandbox.started", function_id="thumb", sandbox_us=212000) writes
`sandbox.started function_id=thumb sandbox_us=212000`.
"""

import logging
import sys

from shared.settings import Settings


def set_up(settings: Settings, process: str) -> None:
    """Send the records of this process to stderr."""
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level,
        format=f"%(asctime)s %(levelname)s {process} %(message)s",
        force=True,
    )
    for noisy in ("botocore", "boto3", "urllib3", "docker", "apscheduler", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_event(
    log: logging.Logger, key: str, *, level: int = logging.INFO, **fields: object
) -> None:
    """One record: `key field=value field=value`."""
    if log.isEnabledFor(level):
        pairs = (f"{name}={value!s}" for name, value in fields.items())
        log.log(level, "%s", " ".join([key, *pairs]))
