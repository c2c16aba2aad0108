"""Fixtures of the tests that run real nodes over real DDS."""

from graph_fixtures import domain, small_policy

__all__ = ["domain", "small_policy"]
