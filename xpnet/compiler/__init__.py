"""Compile: a step recorded once, and replayed without Python."""
