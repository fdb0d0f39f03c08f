"""Benchmarks: ours against references, alternating in one run on one machine; `script/bench` runs them."""
