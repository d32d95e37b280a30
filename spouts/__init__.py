"""The programs that bring data in: one process a source, started and watched by the box.

A source reads what it is about (a folder, records spooled by the box's HTTP door, a command, the
pipe of a spout), and hands batches to the box by its client: data and offset in one transaction.
It keeps nothing that the box does not know but what it can find out again.
"""
