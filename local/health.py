"""Asks once whether the embedded default answers: the health check of the container `local`.

Its exit status is 0 if everything answers that the settings leave to `local`.
"""

import sys

from local.aws_server import is_aws_up
from local.redis_server import is_redis_up
from shared.settings import Settings, load_from_process


def is_healthy(settings: Settings) -> bool:
    """What the settings leave to `local` answers; True where they leave nothing."""
    redis = not settings.embedded_redis or is_redis_up(settings)
    aws = not settings.embedded_aws or is_aws_up(settings)
    return redis and aws


if __name__ == "__main__":
    sys.exit(not is_healthy(load_from_process()))
