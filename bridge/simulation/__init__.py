"""A pretend city app: complaints that read like people's own, for demonstrations, load and tests."""
