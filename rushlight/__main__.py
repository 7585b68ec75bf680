"""`python -m rushlight`: the command line."""

from .cli import main

main()
