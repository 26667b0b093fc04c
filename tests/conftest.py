"""Fixtures for all tests: real servers, started once."""

pytest_plugins = ["tests.fixtures_redis"]
