"""Dictionaries of activations, a file a kind; `dictionary.py` holds what they share."""
