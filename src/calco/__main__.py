"""`python -m calco`."""

from calco.cli import main

main()
