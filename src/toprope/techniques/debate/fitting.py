"""Passages that are longer than a model can read: told, or cut down to what bears on the question.

What is kept is chosen by the words of the question and of all its options alike, never by which
answer is right; so a cut can lose the proof, and what a set says of its questions tells how much
was kept.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log

from toprope.data.sentences import sentences
from toprope.errors import UserError
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.sets import QuestionSet

LEFT_OUT = "[...]"
"""Where paragraphs are missing."""

Count = Callable[[str], int]
"""Text -> how many tokens it has."""


def fitted(
    questions: QuestionSet, *, count: Count, room: int, model: str, split: bool = False
) -> QuestionSet:
    """The questions with passages of at most `room` tokens.

    Args:
        room: what the model's context leaves for a passage, beside all else that it reads.
        model: its name, for the error.
        split: whether to cut a passage that is too long down to the paragraphs that have most to do
            with the question (`shortened`). `about` then says under `passage_kept` which share of
            its tokens is left.

    Raises:
        UserError: without `split`, a passage is too long, and by how much; with it, there isn't
            room for a sentence.
    """
    lengths = {passage: count(passage) for passage in {q.passage for q in questions.questions}}
    result, about, cut = [], {key: dict(value) for key, value in questions.about.items()}, 0
    for question in questions.questions:
        length = lengths[question.passage]
        if length > room:
            where = f"question '{question.id}'" + (
                f" ({question.source})" if question.source else ""
            )
            too_long = (
                f"{where}: the passage has {length:,} tokens, {length - room:,} more than the "
                f"{room:,} that '{model}' has room for"
            )
            if not split:
                raise UserError(
                    f"{too_long}: set `split` to keep the paragraphs nearest to the "
                    "question, or take a model with a longer context"
                )
            passage = shortened(question, count=count, room=room)
            if not passage:
                raise UserError(f"{too_long}, and none of its sentences fits: take another model")
            known = about.setdefault(question.id, {})
            known["passage_kept"] = known.get("passage_kept", 1.0) * count(passage) / length
            question, cut = replace(question, passage=passage), cut + 1
        result.append(question)
    if not cut:
        return questions
    note = f"{cut} passages cut to the {room:,} tokens that '{model}' has room for"
    provenance = replace(questions.provenance, notes=(*questions.provenance.notes, note))
    return replace(questions, questions=tuple(result), about=about, provenance=provenance)


def shortened(question: Question, *, count: Count, room: int) -> str:
    """The passage's paragraphs that share most with the question and its options, in order, in at
    most `room` tokens; "" where not even a sentence fits.

    A word counts by its rarity in the passage, and a paragraph that is itself too long is taken
    sentence by sentence.
    """
    pieces = [
        piece
        for paragraph in re.split(r"\n\s*\n", question.passage)
        for piece in ([paragraph] if count(paragraph) <= room else sentences(paragraph))
        if piece.strip()
    ]
    words = [_words(piece) for piece in pieces]
    asked = _words(" ".join((question.text, *question.options)))
    pieces_with = Counter(word for found in words for word in found)
    scores = [
        sum(log(1 + len(pieces) / pieces_with[word]) for word in found & asked) for found in words
    ]
    kept: set[int] = set()
    for i in sorted(range(len(pieces)), key=lambda i: (-scores[i], i)):
        if count(_joined(pieces, kept | {i})) <= room:
            kept.add(i)
    return _joined(pieces, kept) if kept else ""


def _joined(pieces: Sequence[str], kept: set[int]) -> str:
    parts, last = [], -1
    for i in sorted(kept):
        parts += [LEFT_OUT] * (i > last + 1) + [pieces[i].strip()]
        last = i
    return "\n\n".join(parts + [LEFT_OUT] * (last < len(pieces) - 1))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
