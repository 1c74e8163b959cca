"""Speed and cost, on the stores that the environment names or on SQLite, and what routing is worth: ``make bench``."""
