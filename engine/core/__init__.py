"""The engine core: the process that alone loads libllama and owns the context."""
