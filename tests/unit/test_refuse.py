"""What the executor refuses before it looks for a sandbox."""

import pytest
from msgspec.structs import replace

from executor.frames import INIT, encode
from executor.invocation import ENV_VARS_BYTES_MAX, fit_to_host, refuse
from shared.events import Code, InvocationRequested, Runtime


def make_request(env_vars: dict[str, str]) -> InvocationRequested:
    return InvocationRequested(
        event_id="e",
        invocation_id="r",
        causation_id="c",
        occurred_at_ms=1,
        function_id="f",
        runtime=Runtime.PYTHON,
        handler="h" * 128,
        code=Code(bucket="b", key="k"),
        memory_mb=128,
        timeout_ms=1_000,
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


def test_what_the_tuner_chose_is_fitted_to_the_host() -> None:
    """More than the host grants is refused, but not where the sender left the size to the tuner."""
    asked = replace(make_request({}), memory_mb=4_096)
    tuned = replace(asked, memory_auto=True)

    assert (4_096, 1_024) == tuple(fit_to_host(one, 1_024).memory_mb for one in (asked, tuned))
    assert 2_048 == fit_to_host(replace(tuned, memory_mb=2_048), 8_192).memory_mb
