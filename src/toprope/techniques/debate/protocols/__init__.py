"""Protocols: how a judge comes to an answer. One file each.

A protocol is its settings; called with a question, a seating and players it plays once and gives
the transcript. `seatings` are the games of a question that are averaged: every answer in every
place, every order of speaking, and for a lone speaker every answer to argue for.
"""
