"""Speed and cost, on the stores that the environment names or on SQLite: ``make bench``."""
