"""From arrays to numbers with an error and a window: every function takes arrays and returns a frozen result."""
