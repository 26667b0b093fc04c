"""`hearth`: the command line."""
