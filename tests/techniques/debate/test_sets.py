"""Sets of questions in two parts."""

from toprope.techniques.debate.reading import load_questions


def test_parts_keep_groups_whole_and_the_answers_places_in_proportion():
    found = load_questions("passages?words=400&per_document=2&size=80")
    first, second = found.parted(0.25, seed=3)
    assert (len(first), len(second)) == (20, 60)
    assert {one.id for one in (*first.questions, *second.questions)} == set(found.about)
    assert not {one.unit for one in first.questions} & {one.unit for one in second.questions}
    for part in (first, second):
        assert 0.4 <= sum(one.answer for one in part.questions) / len(part) <= 0.6
        assert set(part.about) == {one.id for one in part.questions}
    assert found.parted(0.25, seed=3)[0].fingerprint == first.fingerprint
    assert found.parted(0.25, seed=4)[0].fingerprint != first.fingerprint
