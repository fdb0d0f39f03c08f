"""Jembatan: the bridge between a city's reporting app and the body that settles consumer disputes."""
