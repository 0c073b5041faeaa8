"""Passes: each makes a Program shorter, and leaves its results as they are."""
