"""THE WAY IN: verifies, bounds, checks and publishes. No database anywhere below this package."""
