"""What xpnet knows of each array library, its devices and its installation."""
