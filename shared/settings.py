"""The settings: one typed, frozen value, made once per process from the environment.

The only file that looks at the environment. Each field is the lower-case spelling of its variable;
`docs/operations.md` explains each one, and a test compares the two.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from msgspec import Meta, Struct, ValidationError, convert

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]

LOCAL_ACCOUNT = "123456789012"  # the account id that the AWS stand-in answers for
LOCAL_QUEUE = "hearth-requests"
TOKEN_CHARACTERS_MIN = 16


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it and the next step."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set from outside."""

    # where things are
    redis_url: str = ""
    redis_host: str = ""
    redis_port: Port = 6379
    redis_ca_file: str = ""
    sqs_queue_url: str = ""
    s3_code_bucket: str = ""
    s3_output_bucket: str = ""
    aws_region: str = "us-east-1"
    aws_endpoint_url: str = ""
    state_dir: str = ".hearth"
    worker_id: str = ""
    # the embedded default
    local_bind: str = "127.0.0.1"
    local_redis_port: Port = 6390
    local_aws_port: Port = 4566
    # the log
    partitions: Positive = 1
    attempts_max: Positive = 5
    claim_idle_ms: Annotated[int, Meta(ge=100)] = 15_000
    batch_max: Positive = 128
    # ingest
    receivers: Positive = 1
    backlog_max: Positive = 256
    visibility_timeout_s: Annotated[int, Meta(ge=2, le=43_200)] = 60
    lead_ttl_ms: Annotated[int, Meta(ge=300)] = 5_000
    accepted_ttl_s: Positive = 86_400
    # executor
    sandbox: Literal["auto", "docker", "bubblewrap"] = "auto"
    sandboxes_max: Positive = 8
    memory_budget_mb: Annotated[int, Meta(ge=0)] = 0
    pool_policy: Literal["balanced", "fixed", "histogram", "greedy_dual"] = "balanced"
    generic_sandboxes_max: Annotated[int, Meta(ge=0)] = 2
    cpu_policy: Literal["proportional", "fixed"] = "proportional"
    cpu_fixed: Annotated[float, Meta(gt=0)] = 1.0
    tmp_mb: Positive = 512
    drain_seconds: Annotated[int, Meta(ge=0)] = 25
    pids_max: Positive = 256
    code_check_seconds: Annotated[int, Meta(ge=0)] = 60
    code_cache_mb: Positive = 2_048
    output_inline_bytes_max: Annotated[int, Meta(ge=0, le=131_072)] = 131_072
    logs_inline_bytes_max: Annotated[int, Meta(ge=0, le=32_768)] = 16_384
    logs_bytes_max: Annotated[int, Meta(ge=0)] = 16_777_216
    input_window_mb: Annotated[int, Meta(ge=8)] = 32
    output_dir_mb: Positive = 2_048
    disk_reserve_mb: Annotated[int, Meta(ge=0)] = 1_024
    # tuner
    tip_language: Literal["en", "ko"] = "en"
    tuner_objective: Literal["cost", "balanced", "speed", "latency"] = "balanced"
    tuner_latency_ms_max: Annotated[int, Meta(ge=0)] = 0
    price_book: str = "lambda-x86-us-east-1"
    replay_cron: str = "17 3 * * *"
    archive_dir: str = ""
    # publisher
    result_ttl_s: Positive = 86_400
    s3_writers: Positive = 8
    # operations
    metrics_port: Port = 8000
    metrics_own: bool = False
    metrics_bind: str = "127.0.0.1"
    console_port: Port = 8001
    console_bind: str = "127.0.0.1"
    console_token: str = ""
    otel_exporter_otlp_endpoint: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def embedded_redis(self) -> bool:
        """No Redis is named: `local` starts one."""
        return not (self.redis_url or self.redis_host)

    @property
    def embedded_aws(self) -> bool:
        """Neither a queue nor an AWS endpoint is named: `local` stands in for AWS."""
        return not (self.sqs_queue_url or self.aws_endpoint_url)

    @property
    def redis_address(self) -> str:
        """The URL of the Redis that holds the log."""
        if self.redis_url and self.redis_ca_file:
            joint = "&" if "?" in self.redis_url else "?"
            return f"{self.redis_url}{joint}ssl_ca_certs={quote(self.redis_ca_file)}"
        if self.redis_url:
            return self.redis_url
        if self.redis_host:
            return f"redis://{self.redis_host}:{self.redis_port}/0"
        # Relative, so that a deep folder does not pass the 107 bytes of a Unix socket address.
        return f"unix://{self.redis_socket}"

    @property
    def redis_socket(self) -> Path:
        """Where the embedded Redis listens besides its port; the faster way."""
        absolute = Path(self.state_dir).absolute() / "redis.sock"
        return absolute if len(str(absolute)) < 100 else Path(self.state_dir) / "redis.sock"

    @property
    def aws_endpoint(self) -> str | None:
        """The endpoint that stands in for AWS; None for AWS itself."""
        if self.aws_endpoint_url:
            return self.aws_endpoint_url
        return f"http://127.0.0.1:{self.local_aws_port}" if self.embedded_aws else None

    @property
    def queue_url(self) -> str:
        """The SQS queue that messages arrive on."""
        return self.sqs_queue_url or f"{self.aws_endpoint}/{LOCAL_ACCOUNT}/{LOCAL_QUEUE}"

    @property
    def code_bucket(self) -> str:
        """The bucket of function archives where a message names none."""
        return self.s3_code_bucket or "hearth-code"

    @property
    def output_bucket(self) -> str:
        """The bucket of results, large outputs and output files."""
        return self.s3_output_bucket or "hearth-output"

    @property
    def worker(self) -> str:
        """The name of this host in results."""
        return self.worker_id or socket.gethostname()


def load(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`; an empty value counts as absent.

    Raises SettingsError, naming the variable and what it may be.
    """
    given = {
        field: environ[field.upper()]
        for field in Settings.__struct_fields__
        if environ.get(field.upper(), "") != ""
    }
    try:
        settings = convert(given, Settings, strict=False)
    except ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        name = path.strip("`$.").upper() or "a setting"
        message = f"{name}: {reason}. Set it in .env; docs/operations.md lists what it may be."
        raise SettingsError(message) from error
    _check_relations(settings)
    return settings


def load_from_process() -> Settings:
    """The settings of this process."""
    return load(os.environ)


def adopt(named: Mapping[str, str]) -> None:
    """Take what a `.env` names into this process's environment, where that says nothing itself."""
    for name, value in named.items():
        os.environ.setdefault(name, value)


def wants_no_colour() -> bool:
    """Whether NO_COLOR asks for plain text (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def process_environment() -> dict[str, str]:
    """A copy of the environment, for child processes of `local` and the sandboxes' launcher."""
    return dict(os.environ)


def name_metrics_folder(folder: Path) -> None:
    """Tell prometheus_client where the processes of one host meet; before its first import."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def _check_relations(settings: Settings) -> None:
    if settings.redis_ca_file and not settings.redis_url.startswith("rediss"):
        message = (
            "REDIS_CA_FILE: given, but REDIS_URL does not begin with rediss. "
            "Set REDIS_URL in .env to rediss://... so that the connection is encrypted."
        )
        raise SettingsError(message)
    if settings.console_token and len(settings.console_token) < TOKEN_CHARACTERS_MIN:
        message = (
            f"CONSOLE_TOKEN: shorter than {TOKEN_CHARACTERS_MIN} characters, it could be guessed. "
            "Remove it and the console makes one, or set the output of: openssl rand -hex 24"
        )
        raise SettingsError(message)
    if settings.tuner_objective == "latency" and not settings.tuner_latency_ms_max:
        message = (
            "TUNER_LATENCY_MS_MAX: missing, but TUNER_OBJECTIVE is latency. "
            "Set the milliseconds in .env that nineteen calls of twenty should keep."
        )
        raise SettingsError(message)
    if settings.sqs_queue_url and not settings.aws_endpoint_url:
        for field in ("s3_code_bucket", "s3_output_bucket"):
            if not getattr(settings, field):
                message = (
                    f"{field.upper()}: missing, but SQS_QUEUE_URL names a queue. "
                    "Name the bucket in .env, or remove SQS_QUEUE_URL for the embedded default."
                )
                raise SettingsError(message)
