"""The log, looked at in a browser; read-only but for dead letters."""
