"""A labelled dataset as questions: each prompt is one, and its possible answers are the options.

A question has its example's id, so that what was said of it can be joined to the dataset again
(`toprope.data.debated`). There's no passage: whoever debates knows no more than stands there.
"""

from toprope.data.examples import Dataset
from toprope.data.transcripts import posed
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.sets import QuestionSet


def labelled(dataset: Dataset) -> QuestionSet:
    """The questions of a dataset's examples, in their order; `about` has what its `meta` and
    difficulty say.

    An option is what a model would answer, with the label's name where that is another: "yes
    (true)".
    """
    answers = [answer.strip() for answer in dataset.answers]
    options = tuple(
        answer if name.casefold() == answer.casefold() else f"{answer} ({name})"
        for answer, name in zip(answers, dataset.label_names, strict=True)
    )
    return QuestionSet(
        dataset.name,
        tuple(
            Question(
                id=one.id,
                text=posed(one.text),
                options=options,
                answer=one.label,
                group=one.group,
                source=f"data:{dataset.name}",
            )
            for one in dataset.examples
        ),
        dataset.provenance,
        {
            one.id: dict(one.meta) | _difficulty(one.difficulty)
            for one in dataset.examples
            if one.meta or one.difficulty is not None
        },
    )


def _difficulty(value: float | None) -> dict[str, float]:
    return {} if value is None else {"difficulty": value}
