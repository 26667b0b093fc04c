"""Settings: typed once, wrong ones named, relations checked, the embedded default told apart."""

from pathlib import Path

import pytest

from shared.settings import SettingsError, load


def test_nothing_set_is_the_embedded_default() -> None:
    """An empty environment gives a stack of its own on the loopback."""
    settings = load({})

    assert settings.embedded_redis
    assert settings.embedded_aws
    assert settings.redis_address.startswith("unix://")
    assert settings.queue_url == "http://127.0.0.1:4566/123456789012/hearth-requests"
    assert (settings.code_bucket, settings.output_bucket) == ("hearth-code", "hearth-output")


def test_an_empty_value_counts_as_absent() -> None:
    """A line `REDIS_HOST=` in .env names no Redis."""
    assert load({"REDIS_HOST": "", "PARTITIONS": ""}) == load({})


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"REDIS_HOST": "r"}, "redis://r:6379/0"),
        ({"REDIS_HOST": "r", "REDIS_PORT": "7"}, "redis://r:7/0"),
        ({"REDIS_URL": "rediss://x/1", "REDIS_HOST": "r"}, "rediss://x/1"),
    ],
)
def test_a_named_redis(environ: dict[str, str], address: str) -> None:
    """The URL wins over host and port; then nothing is embedded."""
    settings = load(environ)

    assert settings.redis_address == address
    assert not settings.embedded_redis


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"REDIS_PORT": "six"}, "REDIS_PORT"),
        ({"REDIS_PORT": "70000"}, "REDIS_PORT"),
        ({"SANDBOX": "chroot"}, "SANDBOX"),
        ({"PARTITIONS": "0"}, "PARTITIONS"),
        ({"CLAIM_IDLE_MS": "1"}, "CLAIM_IDLE_MS"),
        ({"SQS_QUEUE_URL": "https://sqs"}, "S3_CODE_BUCKET"),
        ({"SQS_QUEUE_URL": "https://sqs", "S3_CODE_BUCKET": "b"}, "S3_OUTPUT_BUCKET"),
    ],
)
def test_a_wrong_or_missing_setting_is_named(environ: dict[str, str], word: str) -> None:
    """The message begins with the variable and ends with where to look."""
    with pytest.raises(SettingsError, match=f"^{word}: .*\\.env"):
        load(environ)


def test_a_real_queue_needs_no_endpoint() -> None:
    """With real AWS there is no stand-in."""
    settings = load({"SQS_QUEUE_URL": "https://q", "S3_CODE_BUCKET": "c", "S3_OUTPUT_BUCKET": "o"})

    assert not settings.embedded_aws
    assert settings.aws_endpoint is None
    assert settings.queue_url == "https://q"


def test_a_deep_folder_does_not_break_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Unix socket address holds 107 bytes."""
    monkeypatch.chdir("/")
    assert not load({"STATE_DIR": "x" * 95}).redis_socket.is_absolute()
    assert load({"STATE_DIR": "x"}).redis_socket == Path("/x/redis.sock")
