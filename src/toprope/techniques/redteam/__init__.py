"""Automated red-teaming: find how a model fails, with a judge that has been checked against people.

`study.py` is the whole: harmless requests first (over-refusal), then every attack on the behaviours
to search on, then on the held-out ones the plain request, the best template and an adaptive
campaign. Attacks are in `attacks/`, judges and their calibration in `judges/`, the campaign's
bandit in `campaign.py`, rates and their intervals in `measures.py`.
"""
