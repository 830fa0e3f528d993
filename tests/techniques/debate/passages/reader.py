"""An answerer that reads: it finds a document's facts by its templates, and reasons from them.

It knows the language of the documents and nothing of how they were made, so what it answers is what
the text says.
"""

import re
from collections.abc import Iterator, Sequence

from toprope.techniques.debate.passages.language import DOMAINS, Attribute, common, domain

SLOTS = {"value": r"[\d,]+", "year": r"\d{4}", "person": r"\w+ \w+", "notice": r"\d+"}


def sentences(passage: str) -> list[str]:
    return re.split(r"(?<=[.])\s+", passage.partition("\n\n")[2])


def matched(templates: Sequence[str], text: str, **slots: str) -> Iterator[dict[str, str]]:
    """What the slots hold, for each template that is the whole text."""
    known = {**SLOTS, **slots}
    for template in templates:
        parts = re.split(r"\{(\w+)\}", template)
        pattern = "".join(
            re.escape(part) if i % 2 == 0 else f"(?P<{part}>{known.get(part, '.+')})"
            for i, part in enumerate(parts)
        )
        if found := re.fullmatch(pattern, text, re.IGNORECASE):
            yield {key: value.casefold() for key, value in found.groupdict().items()}


def names(text: str) -> list[str]:
    """a, b and c -> [a, b, c]"""
    return re.split(", | and ", text)


class Reader:
    def __init__(self, passage: str) -> None:
        title, self.sentences = passage.partition("\n\n")[0], sentences(passage)
        self.domain = next(
            d for d in map(domain, DOMAINS) if any(matched([d.title], title, stem=r"\w+"))
        )
        opening = next(matched([self.domain.opening], self.sentences[0]))
        self.entities = names(opening["entities"])
        self.slots = {
            "entity": "|".join(map(re.escape, self.entities)),
            "source": "|".join(map(re.escape, self.domain.sources)),
        }

    def answer(self, question: str) -> str:
        """Raises StopIteration where the question is of no kind that documents answer."""
        domain = self.domain
        for attribute in domain.attributes:
            for found in matched([attribute.question], question):
                return f"{self.value(attribute, found['entity']):,}"
            for found in matched([attribute.together], question):
                total = sum(self.value(attribute, found[key]) for key in ("entity", "other"))
                return f"{total:,}"
        for role in domain.roles:
            for found in matched([role.question], question):
                started = [
                    (f["year"], f["person"])
                    for f in self.facts(role.succession)
                    if f["entity"] == found["entity"] and f["year"] <= found["year"]
                ]
                return max(started)[1]
        for event in domain.events:
            for found in matched([event.question], question):
                dated = sorted((f["year"], f["entity"]) for f in self.facts(event.clauses))
                return dated[-1 if found["order"] == "last" else 0][1]
        plan = next(plan for plan in domain.plans if plan.question == question)
        return self.chosen(plan.plan)

    def facts(self, clauses: Sequence[str]) -> Iterator[dict[str, str]]:
        """What the document states by these clauses, with `source` where one tells it."""
        for sentence in self.sentences:
            for lead in matched((*common().told, *common().plain), sentence, **self.slots):
                for fact in matched(clauses, lead.pop("clause"), **self.slots):
                    yield fact | lead

    def value(self, attribute: Attribute, phrase: str) -> int:
        entity = self.entity(phrase)
        said = [f for f in self.facts(attribute.clauses) if f["entity"] == entity]
        told = {f["source"]: f["value"] for f in said if "source" in f}
        if told:
            return _number(told[self.trusted(attribute.subject.format(entity=entity), set(told))])
        (only,) = {f["value"] for f in said}
        return _number(only)

    def entity(self, phrase: str) -> str:
        if phrase in self.entities:
            return phrase
        for role in self.domain.roles:
            for found in matched([role.described], phrase):
                (only,) = {
                    f["entity"] for f in self.facts(role.clauses) if f["person"] == found["person"]
                }
                return only
        raise AssertionError(f"who is {phrase}?")

    def trusted(self, subject: str, sources: set[str]) -> str:
        left = set(sources)
        for found in self.told(common().upheld, subject):
            left &= {found["source"]}
        for found in self.told(common().withdrawn, subject):
            left -= {found["source"]}
        slots = dict.fromkeys(("right", "wrong"), self.slots["source"])
        for found in self.told(common().contrasted, subject, **slots):
            left -= {found["wrong"]}
        by_notice = {f["notice"]: f["source"] for f in self.told(common().accepted, subject)}
        standing = set(by_notice)
        for found in self.told(common().in_force, subject):
            standing &= {found["notice"]}
        for found in self.told(common().cancelled, subject):
            standing -= {found["notice"]}
        if by_notice:
            left &= {by_notice[notice] for notice in standing}
        (only,) = left
        return only

    def told(
        self, templates: Sequence[str], subject: str, **slots: str
    ) -> Iterator[dict[str, str]]:
        for sentence in self.sentences:
            yield from matched(
                templates, sentence, **{**self.slots, "subject": re.escape(subject), **slots}
            )

    def chosen(self, plan: str) -> str:
        for sentence in self.sentences:
            listing, _, verdict = sentence.partition("; ")
            for found in matched([plan], listing):
                entities = names(found["entities"])
                for said in matched(common().only, verdict):
                    return entities[common().ordinals.index(said["ordinal"])]
                for said in matched(common().dropped, verdict):
                    first, second = entities
                    return second if said["ordinal"] == "first" else first
        raise AssertionError(plan)


def _number(text: str) -> int:
    return int(text.replace(",", ""))
