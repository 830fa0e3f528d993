"""Dictionaries in other tools' formats, out and in."""
