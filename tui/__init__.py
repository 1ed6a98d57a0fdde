"""The terminal: the app and the command line."""
