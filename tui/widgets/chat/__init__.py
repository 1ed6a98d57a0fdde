"""The chat: one agent's conversation, the prompt, and the grid of several conversations."""
