"""halo-mini: the small recall model that ships with the app, from generator to GGUF."""
