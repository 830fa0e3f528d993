"""What the sentences of a question say: values, posts, disputes between sources, sums.

Whatever is said of the right option is said of the wrong ones by the same templates.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from toprope.techniques.debate.passages.language import Attribute
from toprope.techniques.debate.passages.scene import Scene, listed, shown

Bearing = Literal["proves", "misleads", "neither"]


@dataclass(frozen=True)
class Told:
    """A sentence, and how it bears on the question that it's planted for."""

    text: str
    bearing: Bearing


@dataclass(frozen=True)
class Planted:
    """A question before its document.

    Attributes:
        options: numbers in ascending order, names in any.
        right: the index of the right option.
        hops: the facts to be joined.
        sentences: to be in the document, in any order.
    """

    kind: str
    text: str
    options: tuple[str, ...]
    right: int
    hops: int
    sentences: tuple[Told, ...]


@dataclass(frozen=True)
class Wanted:
    """
    Attributes:
        options: how many, n.
        right: which of them is right, 0 .. n-1, in ascending order where they are numbers.
        mentions: how often each statement of a value is made, in other words each time.
    """

    options: int
    right: int
    mentions: int


Settle = Callable[[Scene, str, Sequence[str], int], list[Told]]


def values_told(
    scene: Scene,
    attribute: Attribute,
    entities: Sequence[str],
    values: Sequence[int],
    want: Wanted,
    right: int | None = None,
) -> list[Told]:
    """Each entity's value, stated plainly; the right one's statements prove."""
    right = want.right if right is None else right
    return [
        Told(
            scene.fact(attribute.clauses, entity=entity, value=shown(value)),
            "proves" if i == right else "misleads",
        )
        for i, (entity, value) in enumerate(zip(entities, values, strict=True))
        for _ in range(want.mentions)
    ]


def described(scene: Scene, entities: Sequence[str], right: int) -> tuple[str, list[Told]]:
    """The right entity by a post, and who holds that post in each."""
    role = scene.roles.pop()
    people = [scene.person() for _ in entities]
    posts = [
        Told(
            scene.fact(role.clauses, entity=entity, person=person),
            "proves" if i == right else "misleads",
        )
        for i, (entity, person) in enumerate(zip(entities, people, strict=True))
    ]
    return role.described.format(person=people[right]), posts


def disputed(
    scene: Scene,
    attribute: Attribute,
    values: Mapping[str, Sequence[int]],
    meant: str,
    want: Wanted,
    settle: Settle,
) -> list[Told]:
    """Each entity's values by source, and which source was right: for every entity the same one, so
    that a source speaks for another option where it's read for the wrong entity."""
    sources = scene.sources(want.options)
    sentences = []
    for entity, said in values.items():
        for i, (source, value) in enumerate(zip(sources, said, strict=True)):
            proves = entity == meant and i == want.right
            for _ in range(want.mentions):
                text = scene.fact(attribute.clauses, source, entity=entity, value=shown(value))
                sentences.append(Told(text, "proves" if proves else "misleads"))
        settled = settle(scene, attribute.subject.format(entity=entity), sources, want.right)
        sentences += [t if entity == meant else Told(t.text, "misleads") for t in settled]
    return sentences


def twins(
    scene: Scene, attribute: Attribute, values: Sequence[int], want: Wanted, settle: Settle
) -> tuple[str, list[Told]]:
    """A dispute about an entity that is described, and one about its twin with the same values,
    each told of the twin by the next source."""
    meant, twin = scene.pair()
    described_as, posts = described(scene, [meant, twin], 0)
    by_entity = {meant: values, twin: [*values[1:], values[0]]}
    return described_as, posts + disputed(scene, attribute, by_entity, meant, want, settle)


def by_verdict(scene: Scene, subject: str, sources: Sequence[str], right: int) -> list[Told]:
    """Which source is right, by naming it, those that are wrong, or each beside it."""
    common = scene.common
    wrong = [source for i, source in enumerate(sources) if i != right]
    way = scene.pick(("upheld", "withdrawn", "contrasted"))
    if way == "upheld":
        said = [scene.sentence(common.upheld, subject=subject, source=sources[right])]
    elif way == "withdrawn":
        said = [scene.sentence(common.withdrawn, subject=subject, source=one) for one in wrong]
    else:
        said = [
            scene.sentence(common.contrasted, subject=subject, right=sources[right], wrong=one)
            for one in wrong
        ]
    return [Told(text, "proves") for text in said]


def by_notices(scene: Scene, subject: str, sources: Sequence[str], right: int) -> list[Told]:
    """A notice for each source, and which notices fell or which one didn't."""
    common = scene.common
    numbers = scene.notices(len(sources))
    accepted = [
        Told(
            scene.sentence(common.accepted, notice=number, source=source, subject=subject),
            "proves" if i == right else "misleads",
        )
        for i, (number, source) in enumerate(zip(numbers, sources, strict=True))
    ]
    if scene.coin():
        fell = [scene.sentence(common.in_force, notice=numbers[right], subject=subject)]
    else:
        wrong = [number for i, number in enumerate(numbers) if i != right]
        fell = [scene.sentence(common.cancelled, notice=number) for number in wrong]
    return accepted + [Told(text, "proves") for text in fell]


def with_addend(scene: Scene, attribute: Attribute, want: Wanted) -> tuple[int, list[int]]:
    """A value to add to each of the others."""
    addend = scene.numbers(1, attribute)[0]
    return addend, scene.numbers(want.options, attribute, plus=addend)


def sums_told(
    scene: Scene, attribute: Attribute, pair: Sequence[str], sums: Sequence[int], want: Wanted
) -> list[Told]:
    """A source for every sum, right or wrong, or for none, in equal parts; in a short document for
    none."""
    if want.mentions == 1 or scene.coin():
        return []
    subject = attribute.subject.format(entity=listed(pair))
    sources = scene.sources(len(sums))
    told = []
    for i, (source, value) in enumerate(zip(sources, sums, strict=True)):
        templates = scene.common.sums
        text = scene.sentence(templates, source=source, value=shown(value), subject=subject)
        told.append(Told(text, "neither" if i == want.right else "misleads"))
    return told
