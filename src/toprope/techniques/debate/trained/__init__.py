"""A trained judge: what a protocol's words carry, to one that has learned which of them to believe.

It learns from finished transcripts with known answers, for each protocol by itself, and is held
against the same judge that reads the questions alone, and against one that was told a wrong truth.
"""
