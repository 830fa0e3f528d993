"""How good a dictionary is, each measure beside its controls."""
