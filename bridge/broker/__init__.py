"""The queue: what it looks like (topology), how to put something into it (publisher), and the embedded one."""
