"""The graph of what was said, as widgets. `MemoryView` asks the memory; the others only show."""
