"""Interpretability: dictionaries of a model's activations (Gao et al. 2024, arXiv 2406.04093), and
models that label what is found in them (Paulo et al. 2024, arXiv 2410.13928)."""
