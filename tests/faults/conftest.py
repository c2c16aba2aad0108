"""Fixtures of the fault scenarios: those of the graph's own tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ros"))

from graph_fixtures import domain, small_policy

__all__ = ["domain", "small_policy"]
