"""Fixtures for all tests: real servers, started once."""

pytest_plugins = [
    "tests.fixtures_aws",
    "tests.fixtures_redis",
    "tests.fixtures_stack",
    "tests.fixtures_executor",
]
