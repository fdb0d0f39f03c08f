"""DECISIONS: pure functions of their inputs; no clock, no I/O, standard library only."""
