"""The embedded default, the stack as child processes, the demo."""
