"""Benchmarks: every figure that the docs name is made here."""
