"""The pages of the documentation, and the program that makes a site of them."""
