"""pachybox: versioned data and container pipelines for one machine.

The folders are the architecture; data goes one way through them:
doors (api) -> pps -> pfs -> meta and store. See docs/design.md.
"""

__version__ = "0.1.0"
