"""What the executor refuses before it looks for a sandbox, and of what one answers."""

import pytest
from msgspec.structs import replace

from executor.frames import INIT, encode
from executor.invocation import ENV_VARS_BYTES_MAX, check_output, fit_to_host, refuse
from shared.events import Code, InvocationRequested, Runtime


def make_request(
    env_vars: dict[str, str], memory_mb: int = 128, timeout_ms: int = 1_000
) -> InvocationRequested:
    return InvocationRequested(
        event_id="e",
        invocation_id="r",
        causation_id="c",
        occurred_at_ms=1,
        function_id="f",
        runtime=Runtime.PYTHON,
        handler="h" * 128,
        code=Code(bucket="b", key="k"),
        memory_mb=memory_mb,
        timeout_ms=timeout_ms,
        env_vars=env_vars,
    )


@pytest.mark.parametrize("character", ["x", "\x01", "안"])
def test_variables_fit_a_frame(character: str) -> None:
    """What is let through can be sent; more is the sender's to mend, not ours to crash on."""
    size = len(character.encode()) if character != "\x01" else 6
    fitting = {"A": character * ((ENV_VARS_BYTES_MAX - 8) // size)}
    head: dict[str, object] = {"handler": "h" * 128, "function_id": "f" * 128, "env": fitting}

    assert refuse(make_request(fitting), 1_024) is None
    assert encode(INIT, head)
    refused = refuse(make_request({"A": character * (ENV_VARS_BYTES_MAX // size + 1)}), 1_024)
    assert refused is not None
    assert "envVars" == refused.field


@pytest.mark.parametrize("size", [-(2**63), -1, 0, 7, 1_025, 2**63])
def test_sizes_without_sense(size: int) -> None:
    """An entry that ingest never made is refused in words; it must not stop the executor."""
    refused = refuse(make_request({}, memory_mb=size), 1_024)

    assert refused is not None
    assert (refused.field, str(size) in refused.reason) == ("memoryMb", True)


@pytest.mark.parametrize("timeout_ms", [-1, 0, 900_001, 2**64])
def test_times_without_sense(timeout_ms: int) -> None:
    """The same for the time-out."""
    refused = refuse(make_request({}, timeout_ms=timeout_ms), 1_024)

    assert refused is not None
    assert refused.field == "timeoutMs"


@pytest.mark.parametrize("body", [b"", b"{", b'"\xff"', b'{"\xff":1}', b"[" * 100_000, b"NaN"])
def test_an_output_that_is_no_json(body: bytes) -> None:
    """What a sandbox answers is the function's failure, whatever the bytes are."""
    failure = check_output(body)

    assert failure is not None
    assert failure.type == "Runtime.MarshalError"


def test_what_the_tuner_chose_is_fitted_to_the_host() -> None:
    """More than the host grants is refused, but not where the sender left the size to the tuner."""
    asked = replace(make_request({}), memory_mb=4_096)
    tuned = replace(asked, memory_auto=True)

    assert (4_096, 1_024) == tuple(fit_to_host(one, 1_024).memory_mb for one in (asked, tuned))
    assert 2_048 == fit_to_host(replace(tuned, memory_mb=2_048), 8_192).memory_mb
