"""Tools that show what Rushlight does: `explain` prints programs, flushes and their reasons."""
