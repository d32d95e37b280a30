"""Telling other programs what happened, by HTTP."""
