"""Agents: who talks, what was said and who hears it; knows nothing of screens."""
