"""Questions, with the sentences that their documents need.

Every kind is symmetric in its options: each is stated by sentences from the same templates, equally
often, and which one is right follows from something that names no option (which source was
withdrawn, who held which post, the order of a list), or from a comparison. An answerer that counts
words so has no better than even odds, from difficulty 2 on; `tests` hold it to that.

    difficulty  facts to join        how a question goes wrong
    1           one                  the value of another entity
    2           two, side by side    a figure that was withdrawn; a plan that came to nothing; the
                                     later of two years
    3           two or three, apart  who is meant is said by a post; a sum; a notice that was
                                     cancelled; one of several terms of office
    4           three to five, with  who is meant is said by a post, its name is like another's, and
                the document between what is known of it was corrected
"""

from collections.abc import Callable, Mapping, Sequence

from toprope.techniques.debate.passages.scene import Scene, listed, shown
from toprope.techniques.debate.passages.telling import (
    Bearing,
    Planted,
    Settle,
    Told,
    Wanted,
    by_notices,
    by_verdict,
    described,
    disputed,
    sums_told,
    twins,
    values_told,
    with_addend,
)


def lookup(scene: Scene, want: Wanted) -> Planted:
    """One entity's value among those of others."""
    attribute = scene.attributes.pop()
    values = scene.numbers(want.options, attribute)
    entities = scene.few(want.options)
    question = attribute.question.format(entity=entities[want.right])
    sentences = values_told(scene, attribute, entities, values, want)
    return _numeric("lookup", question, values, want, 1, sentences)


def corrected(scene: Scene, want: Wanted) -> Planted:
    """Sources that differ on one value, of which all but one were withdrawn."""
    attribute = scene.attributes.pop()
    values = scene.numbers(want.options, attribute)
    entity = scene.pick(scene.entities)
    sentences = disputed(scene, attribute, {entity: values}, entity, want, by_verdict)
    question = attribute.question.format(entity=entity)
    return _numeric("corrected", question, values, want, 2, sentences)


def chosen(scene: Scene, want: Wanted) -> Planted:
    """A list of plans, of which one came about, said by its place in the list."""
    plan = scene.plans.pop()
    entities = scene.few(want.options)
    # With two, "all but the second" says as much as "only the first".
    dropped = want.options == 2 and scene.coin()
    place = 1 - want.right if dropped else want.right
    common = scene.common
    verdict = scene.say(common.dropped if dropped else common.only, ordinal=common.ordinals[place])
    listing = scene.say([plan.plan], entities=listed(entities))
    sentences = [Told(f"{listing}; {verdict}", "proves")]
    for i, entity in enumerate(entities):
        bearing: Bearing = "neither" if i == want.right else "misleads"
        sentences.append(Told(scene.fact(plan.announced, entity=entity), bearing))
    return Planted("chosen", plan.question, tuple(entities), want.right, 2, tuple(sentences))


def order(scene: Scene, want: Wanted) -> Planted:
    """Which entity was first, or last, by the years in which each did something: another than by
    the years that had been planned."""
    event = scene.events.pop()
    years = scene.years(2 * want.options, apart=1)
    planned, done = years[::2], years[1::2]
    last = scene.coin()
    entities = scene.few(want.options)
    sought = -1 if last else 0
    # In the plans another has the place that is asked for.
    mislaid = scene.pick([i for i in range(want.options) if i != want.right])
    sentences = []
    facts: tuple[tuple[Sequence[str], Sequence[int], int, Bearing], ...] = (
        (event.clauses, done, want.right, "proves"),
        (event.planned, planned, mislaid, "misleads"),
    )
    for templates, dates, to, bearing in facts:
        dated = _dated(scene, dates, to, sought)
        for entity, year in zip(entities, dated, strict=True):
            sentences.append(Told(scene.fact(templates, entity=entity, year=year), bearing))
    question = event.question.format(order="last" if last else "first")
    return Planted("order", question, tuple(entities), want.right, 2, tuple(sentences))


def holder(scene: Scene, want: Wanted) -> Planted:
    """Who held a post in a year that the document doesn't name, among one holder more than there
    are options."""
    role = scene.roles.pop()
    entity = scene.pick(scene.entities)
    starts = scene.years(want.options + 1, apart=4)
    people = [scene.person() for _ in starts]
    right = int(scene.rng.integers(len(starts)))
    end = starts[right + 1] if right + 1 < len(starts) else starts[-1] + 4
    year = int(scene.rng.integers(starts[right] + 1, end))
    sentences = []
    for i, (person, start) in enumerate(zip(people, starts, strict=True)):
        # The one after shows that the term had not ended.
        proves = i in (right, right + 1)
        said = scene.fact(role.succession, person=person, entity=entity, year=start)
        sentences.append(Told(said, "proves" if proves else "misleads"))
    options = scene.shuffled(p for i, p in enumerate(people) if i != right)[: want.options - 1]
    options.insert(want.right, people[right])
    question = role.question.format(entity=entity, year=year)
    return Planted("holder", question, tuple(options), want.right, 2, tuple(sentences))


def bridge(scene: Scene, want: Wanted) -> Planted:
    """As `lookup`, with the entity described by who held a post in it."""
    attribute = scene.attributes.pop()
    values = scene.numbers(want.options, attribute)
    entities = scene.few(want.options)
    described_as, posts = described(scene, entities, want.right)
    sentences = [*posts, *values_told(scene, attribute, entities, values, want)]
    question = attribute.question.format(entity=described_as)
    return _numeric("bridge", question, values, want, 2, sentences)


def total(scene: Scene, want: Wanted) -> Planted:
    """The sum of two entities' values, where others' could be taken for the second."""
    attribute = scene.attributes.pop()
    entities = scene.few(want.options)
    other = scene.pick([e for e in scene.entities if e not in entities])
    addend, values = with_addend(scene, attribute, want)
    sentences = [
        *values_told(scene, attribute, entities, values, want),
        *values_told(scene, attribute, [other], [addend], want, right=0),
    ]
    pair = scene.shuffled([entities[want.right], other])
    sums = [addend + value for value in values]
    sentences += sums_told(scene, attribute, pair, sums, want)
    question = attribute.together.format(entity=pair[0], other=pair[1])
    return _numeric("sum", question, sums, want, 3, sentences)


def notices(scene: Scene, want: Wanted) -> Planted:
    """As `corrected`, but every source was accepted by a notice, and all but one notice fell."""
    attribute = scene.attributes.pop()
    values = scene.numbers(want.options, attribute)
    entity = scene.pick(scene.entities)
    sentences = disputed(scene, attribute, {entity: values}, entity, want, by_notices)
    question = attribute.question.format(entity=entity)
    return _numeric("notices", question, values, want, 3, sentences)


def bridge_corrected(scene: Scene, want: Wanted) -> Planted:
    """`corrected` for an entity described by a post, beside one with a like name and dispute."""
    return _bridged_dispute(scene, want, "bridge_corrected", 3, by_verdict)


def bridge_notices(scene: Scene, want: Wanted) -> Planted:
    """`notices` for an entity described by a post, beside one with a like name and dispute."""
    return _bridged_dispute(scene, want, "bridge_notices", 4, by_notices)


def bridge_sum(scene: Scene, want: Wanted) -> Planted:
    """The sum of a value as in `bridge_corrected` and one that is stated."""
    attribute = scene.attributes.pop()
    addend, values = with_addend(scene, attribute, want)
    other = scene.pick([e for e in scene.entities if e not in scene.twins])
    described_as, sentences = twins(scene, attribute, values, want, by_verdict)
    sums = [addend + value for value in values]
    sentences += values_told(scene, attribute, [other], [addend], want, right=0)
    pair = [other, described_as]
    sentences += sums_told(scene, attribute, pair, sums, want)
    question = attribute.together.format(entity=pair[0], other=pair[1])
    return _numeric("bridge_sum", question, sums, want, 5, sentences)


Kind = Callable[[Scene, Wanted], Planted]
KINDS: Mapping[int, tuple[Kind, ...]] = {
    1: (lookup,),
    2: (corrected, chosen, order),
    3: (bridge, total, notices, holder),
    4: (bridge_corrected, bridge_notices, bridge_sum),
}
"""Difficulty -> the kinds of question that have it."""


def _numeric(
    kind: str,
    question: str,
    values: Sequence[int],
    want: Wanted,
    hops: int,
    sentences: Sequence[Told],
) -> Planted:
    options = tuple(shown(value) for value in values)
    return Planted(kind, question, options, want.right, hops, tuple(sentences))


def _bridged_dispute(scene: Scene, want: Wanted, kind: str, hops: int, settle: Settle) -> Planted:
    attribute = scene.attributes.pop()
    values = scene.numbers(want.options, attribute)
    described_as, sentences = twins(scene, attribute, values, want, settle)
    question = attribute.question.format(entity=described_as)
    return _numeric(kind, question, values, want, hops, sentences)


def _dated(scene: Scene, years: Sequence[int], to: int, sought: int) -> list[int]:
    """The years for the options in order: that at `sought` for option `to`, the rest drawn."""
    others = scene.shuffled(year for year in years if year != years[sought])
    return [years[sought] if i == to else others.pop() for i in range(len(years))]
