"""Generated conversations with questions, to tune and measure recall."""
