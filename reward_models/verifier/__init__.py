"""Verifiers: did it work? Asked of the pictures of an attempt (RUM, 1.5)."""
