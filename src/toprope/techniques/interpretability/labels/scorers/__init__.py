"""Scorers: whether a label says on which text its latent fires."""
