"""Weak-to-strong generalization (Burns et al. 2023, arXiv 2312.09390).

A weak model's labels train a stronger student; the study measures how much of the gap between the
two the student recovers, by which method, and against which controls.
"""
