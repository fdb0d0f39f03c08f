"""CONTRACTS: what crosses a border, as marshmallow schemas. A leaf: imports nothing of ours."""
