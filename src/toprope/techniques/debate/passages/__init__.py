"""Long documents with planted facts and questions about them, whose truth is known.

Reports about invented towns, expeditions, firms and committees. Each question has one right answer
and wrong ones that the text seems to support: the figure of another place, one that was withdrawn,
a plan that came to nothing. The language is in `language/*.yaml`.
"""
