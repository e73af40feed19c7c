"""`python -m modalhash` is the command line."""

from modalhash.cli import main

main()
