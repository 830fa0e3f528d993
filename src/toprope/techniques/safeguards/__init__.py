"""Safeguards: classifiers that watch a model's exchanges and stop those that do harm (Sharma et al.
2025, arXiv 2501.18837; Cunningham et al. 2026, arXiv 2601.04603)."""
