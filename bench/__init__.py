"""Benchmarks on real parts; every performance claim of the project comes from here."""
