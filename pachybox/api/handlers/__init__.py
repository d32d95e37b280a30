"""Handlers: each translates a message, calls one service verb, translates the answer back."""
