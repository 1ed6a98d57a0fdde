"""Measures settings on this machine and model, and keeps those that are faster than the default."""
