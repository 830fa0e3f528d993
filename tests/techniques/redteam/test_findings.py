"""Findings: each failure once, by its shortest transcript, in clusters."""

from toprope.models.local import LocalModel
from toprope.techniques.redteam.attempts import Attempt, user
from toprope.techniques.redteam.findings import collect


def attempt(behaviour: str, message: str, *, score: float = 1.0) -> Attempt:
    return Attempt(
        behaviour=behaviour,
        category="crime",
        family="fiction",
        strategy="story",
        messages=tuple(user(message)),
        prefill="",
        response=f"As for {behaviour}, of course",
        outcome="judged",
        score=score,
        seed=0,
    )


def test_a_behaviour_has_one_finding_its_shortest(tiny_encoder: LocalModel):
    tried = [
        attempt("a", "a long message about a"),
        attempt("a", "short a"),
        attempt("a", "a", score=0.2),
        attempt("b", "about b"),
    ]
    found = collect(tried, {"a": "Do a.", "b": "Do b."}, {"name": "m"}, tiny_encoder)
    messages = {one.attempt["behaviour"]: one.attempt["messages"][0]["content"] for one in found}
    assert messages == {"a": "short a", "b": "about b"}
    assert {one.attempt["behaviour"]: one.tried for one in found} == {"a": 2, "b": 1}


def test_requests_longer_than_the_embedder_reads(tiny_encoder: LocalModel):
    """HarmBench's contextual behaviours have pages of text before the request."""
    requests = {"a": "a page " * 400 + "Do a.", "b": "Do b."}
    found = collect([attempt("a", "x"), attempt("b", "y")], requests, {}, tiny_encoder)
    assert len(found) == 2
