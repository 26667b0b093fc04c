"""Peers: runners of plain functions over Redis, measured in the same call on the same machine.

They isolate and measure nothing. Each has a file that runs inside an environment of its own
(`requirements.txt`), so nothing of theirs is installed with Hearth.
"""
