"""Executors: each runs a Program in its own way."""
