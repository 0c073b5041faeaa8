"""`python -m xpnet` is the command `xpnet`."""

from xpnet.cli import main

if __name__ == "__main__":
    main()
