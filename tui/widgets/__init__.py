"""Widgets of the app, one thing on the screen each."""
