"""The references: the same work done the usual way, by the fastest durable peer, and a publisher alone."""
