"""Where the command line finds settings and the embedded stack."""

from pathlib import Path

import pytest

from cli.main import find_stack, read_env_file
from shared.settings import Settings, adopt, load_from_process


def test_the_env_file_beside_the_procfile_is_read(tmp_path: Path) -> None:
    """As honcho reads it; one in any other folder is somebody else's."""
    (tmp_path / ".env").write_text("# where\nREDIS_URL=redis://there/0\nS3_CODE_BUCKET='mine'\n")
    elsewhere = read_env_file(tmp_path)
    (tmp_path / "Procfile").touch()

    assert {} == elsewhere
    assert {"REDIS_URL": "redis://there/0", "S3_CODE_BUCKET": "mine"} == read_env_file(tmp_path)


def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says itself stays."""
    monkeypatch.setenv("REDIS_URL", "redis://here/0")
    monkeypatch.setenv("S3_CODE_BUCKET", "to be removed afterwards")
    monkeypatch.delenv("S3_CODE_BUCKET")

    adopt({"REDIS_URL": "redis://there/0", "S3_CODE_BUCKET": "mine"})

    settings = load_from_process()
    assert ("redis://here/0", "mine") == (settings.redis_url, settings.s3_code_bucket)


def test_the_embedded_redis_is_found_by_its_socket_or_its_port(tmp_path: Path) -> None:
    """The socket is quicker, and there in one folder only."""
    settings = Settings(state_dir=str(tmp_path), local_redis_port=7_001)
    by_port = find_stack(settings).redis_address
    settings.redis_socket.touch()

    assert "redis://127.0.0.1:7001/0" == by_port
    assert f"unix://{tmp_path}/redis.sock" == find_stack(settings).redis_address


def test_a_named_redis_is_taken_as_it_is(tmp_path: Path) -> None:
    """Whatever lies in the state folder."""
    settings = Settings(state_dir=str(tmp_path), redis_host="cache")

    assert settings == find_stack(settings)
