"""A folder for sys.path whose only package is `torch`: in new processes it becomes Rushlight.

`alias.install` puts it there, because worker processes that start afresh (spawn, forkserver) take
over sys.path, and import the main program before anything of Rushlight.
"""
