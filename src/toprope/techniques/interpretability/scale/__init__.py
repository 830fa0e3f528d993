"""Dictionaries too wide for one process: a trainer over several, and what a width costs."""
