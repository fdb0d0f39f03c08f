"""The outside world: e-mail to the office, signed webhooks to the city."""
