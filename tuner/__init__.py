"""Profiles to a recommendation."""
