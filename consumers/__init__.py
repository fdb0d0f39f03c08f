"""ACTIONS: a file per step, named by what it does. `ls` reads as a report's journey."""
