"""FACTS: the only SQL. One relational database holds them; a change and what it causes commit together."""
