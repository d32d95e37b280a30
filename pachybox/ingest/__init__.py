"""Sources that bring data in by themselves: their specs, their states, their commits.

The programs that read the sources are in ``spouts/``, a process each; the box starts them, learns
how they do, and takes what they bring.
"""
