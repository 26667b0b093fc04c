"""Fixtures for all tests: real servers, started once."""

from hypothesis import settings

# No deadline for an example: it would measure the machine and its neighbours.
settings.register_profile("hearth", deadline=None)
settings.load_profile("hearth")

pytest_plugins = [
    "tests.fixtures_aws",
    "tests.fixtures_redis",
    "tests.fixtures_cluster",
    "tests.fixtures_stack",
    "tests.fixtures_executor",
]
