"""The SafetyGate and its reasons."""
