"""The memory: what was said becomes a graph that agents and people can ask."""
