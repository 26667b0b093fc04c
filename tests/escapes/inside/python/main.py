"""The hostile function: runs the attempt that its event or its environment names.

Everything in this folder runs inside the sandbox. An attempt must be harmless where it succeeds: it
opens and does not write, it asks for what the kernel refuses to whoever lacks the right.
"""

import importlib
import os


def handler(event, context):
    """`attempt` is module.function; what comes back is what it got hold of and what was refused."""
    module, function = event["attempt"].split(".")
    result = getattr(importlib.import_module(module), function)(event, context)
    return result.verdict() if hasattr(result, "verdict") else result


if "ATTEMPT_AT_INIT" in os.environ:
    importlib.import_module("protocol").at_init(os.environ["ATTEMPT_AT_INIT"])
