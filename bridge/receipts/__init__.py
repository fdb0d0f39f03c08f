"""Proof of acceptance: receipts, manifests, and the city's own list held against ours (docs/receipts.md)."""
