"""Measures of transcripts: of the judge, of the debaters, of their confidence.

Where a measure has an interval, whole groups of questions are resampled (`Question.unit`): the
games of a question, and questions of one passage, aren't independent.
"""
