"""The engine: one model, one context, many sequences; knows nothing of agents or screens."""
