"""The views, a module each; what they share is in ``view``."""
