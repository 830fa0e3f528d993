"""Debate and its kin: protocols in which a weaker judge gets at what a stronger model knows."""
