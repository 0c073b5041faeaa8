"""The C library that runs plans: its sources, and where a compiled one comes from."""
