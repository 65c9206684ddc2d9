"""Strict, stateful stand-ins for the platforms, served on loopback: they refuse what they were not told."""
