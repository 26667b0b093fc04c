"""Code store, sandboxes, warm pool, runtimes' host side."""
