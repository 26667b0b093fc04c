"""Where figures were made."""

import os
import platform
import subprocess

import redis


def describe_machine() -> dict[str, str]:
    """Where the figures were made."""

    def ask(*command: str) -> str:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return ""
        return done.stdout.strip()

    return {
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "redis-py": redis.__version__,
        "redis": ask("redis-server", "--version").partition("v=")[2].partition(" ")[0],
        "docker": ask("docker", "version", "--format", "{{.Server.Version}}"),
        "commit": ask("git", "rev-parse", "--short", "HEAD"),
    }
