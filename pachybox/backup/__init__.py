"""The whole box as one portable file, and back.

archive.py knows the bytes of the file; extract.py writes one from a box that works, restore.py
makes an empty box what the file says.
"""
