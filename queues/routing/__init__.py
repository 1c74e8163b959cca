"""Who gets which call next: one pure pass over a frozen state. Standard library only; no clock, no rows."""
