"""Activations of a model on a corpus, captured once to disk, and read in batches by whoever learns
from them."""
