"""Examples of latents, against a plain reading of the same rows, one window at a time."""

import json
from collections import Counter
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability import collecting
from toprope.techniques.interpretability.collecting import collect
from toprope.techniques.interpretability.dictionaries.topk import TopK, TopKSettings
from toprope.techniques.interpretability.examples import (
    EDGES,
    Examples,
    ExampleSettings,
    LatentExamples,
    load,
)
from toprope.techniques.interpretability.windows import Pieces, Window

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

F, BEFORE, AFTER = 12, 4, 3
LENGTHS = [1300, *range(5, 120, 3), *range(20, 60)]
HELD_OUT = 15
"""The first document that is held out."""
MANY = ExampleSettings(
    before=BEFORE,
    after=AFTER,
    top=5,
    explain=2000,
    contrast=2000,
    score=2000,
    hard=2000,
    random=50,
    neighbours=2,
    pool=700,
)


class Words:
    """A tokenizer whose token i says " wi"."""

    def __call__(self, text: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(input_ids=[0])

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(f" w{i}" for i in ids)


class Rows:
    """A capture of given activations, whose documents have the given lengths."""

    def __init__(self, x_ND: torch.Tensor, mean: float = 0.0, scale: float = 1.0) -> None:
        self.x_ND, self.rows = x_ND, len(x_ND)
        self.mean_D = torch.full((x_ND.shape[1],), mean)
        self.scale_D = torch.full((x_ND.shape[1],), scale)
        documents = [(d, i) for d, length in enumerate(LENGTHS) for i in range(length)]
        self.document_N, self.position_N = np.array(documents[: self.rows]).T
        self.token_N = np.random.default_rng(1).integers(1, 50, self.rows)
        self.training = range(sum(LENGTHS[:HELD_OUT]))
        self.held_out = range(self.training.stop, self.rows)

    def layer(self, layer: int) -> "Rows":
        return self

    def read(self, start: int, stop: int) -> torch.Tensor:
        return (self.x_ND[start:stop] - self.mean_D) / self.scale_D

    def tokens(self, start: int, stop: int) -> tuple[np.ndarray, ...]:
        some = slice(start, stop)
        return self.token_N[some], self.document_N[some], self.position_N[some]


@pytest.fixture(scope="module")
def dictionary() -> TopK:
    """Latent f reads channel f; the decoder's directions turn little by little, so that a latent's
    neighbours are the ones beside it. Latent 11 never fires."""
    made = TopK(TopKSettings(width=F, d_model=F, active=4))
    turn = torch.linspace(0, 2.5, F)
    with torch.no_grad():
        made.encoder_FD.copy_(torch.eye(F))
        made.decoder_FD.zero_()
        made.decoder_FD[:, 0], made.decoder_FD[:, 1] = turn.cos(), turn.sin()
    return made


@pytest.fixture(scope="module")
def rows() -> Rows:
    """At most four channels a row are above zero; each in bursts, latent 0 on most rows."""
    rng = np.random.default_rng(0)
    n = sum(LENGTHS)
    x_NF = np.zeros((n, F), dtype=np.float32)
    x_NF[:, 0] = (rng.random(n) < 0.7) * rng.gamma(2, 1, n)
    for row in range(n):
        for f in rng.choice(np.arange(1, F - 1), rng.integers(0, 4), replace=False):
            x_NF[row, f] = round(float(rng.gamma(2, 2)) + 0.1, 1)
    return Rows(torch.tensor(x_NF))


@pytest.fixture(scope="module")
def many(dictionary: TopK, rows: Rows) -> Examples:
    """All windows that there are, with chunks so short that most windows reach beyond one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collecting, "CHUNK", 37)
        patch.setattr(collecting, "TOKENS_AT_ONCE", 101)
        return collect(dictionary, rows, 3, settings=MANY).read_with(Words())  # type: ignore[arg-type]


def bounds(rows: Rows, row: int) -> range:
    """The rows of the window around one."""
    around = range(max(0, row - BEFORE), min(rows.rows, row + AFTER + 1))
    inside = [r for r in around if rows.document_N[r] == rows.document_N[row]]
    return range(inside[0], inside[-1] + 1)


def plain_peaks(rows: Rows, latent: int) -> list[int]:
    """Rows on which a latent is strongest, first of equals, within BEFORE rows of its document."""
    values_N, radius = rows.x_ND[:, latent].tolist(), max(BEFORE, AFTER)
    found = []
    for row, value in enumerate(values_N):
        near = range(max(0, row - radius), min(rows.rows, row + radius + 1))
        others = [r for r in near if r != row and rows.document_N[r] == rows.document_N[row]]
        if value > 0 and all(value > values_N[r] - 1e-9 * (r > row) for r in others):
            found.append(row)
    return found


def sides(examples: LatentExamples) -> tuple[set[int], set[int]]:
    explain = {one.row for one in (*examples.explaining, *examples.contrast)}
    return explain, {one.row for one in (*examples.score, *examples.hard, *examples.random)}


@pytest.mark.parametrize("latent", [0, 1, 6, 10])
def test_every_peak_is_found_once_with_its_tokens_and_activations(
    many: Examples, rows: Rows, latent: int
) -> None:
    seen = many.latent(latent)
    peaks = plain_peaks(rows, latent)

    assert seen.peaks == len(peaks)
    found = [one.row for one in seen.explaining]
    assert len(found) == len(set(found))
    assert set(found) == set(peaks) & set(rows.training)
    # Those held out: one of each document that has any.
    held_out = [row for row in peaks if row in rows.held_out]
    assert {one.row for one in seen.score} <= set(held_out)
    documents = sorted(one.document for one in seen.score)
    assert documents == sorted(set(rows.document_N[held_out]))
    for one in (*seen.explaining, *seen.score):
        window = bounds(rows, one.row)
        assert one.tokens == tuple(f" w{token}" for token in rows.token_N[window])
        assert one.activations == pytest.approx(rows.x_ND[window, latent].tolist(), rel=1e-3)
        assert window[one.centre] == one.row
        assert one.document == rows.document_N[one.row]
        assert one.peak == one.activations[one.centre]


def test_top_windows_are_the_strongest_of_those_that_explain(many: Examples, rows: Rows) -> None:
    for latent in range(F - 1):
        seen = many.latent(latent)
        strongest = sorted((one.peak for one in seen.explaining), reverse=True)
        assert [one.peak for one in seen.top] == strongest[: MANY.top]
        assert len(seen.strata) > MANY.top


def test_documents_that_train_explain_and_those_held_out_score(many: Examples, rows: Rows) -> None:
    for latent in range(F):
        explain, score = sides(many.latent(latent))
        assert explain <= set(rows.training)
        assert score <= set(rows.held_out)
    assert many.about["explaining"] == [[0, rows.training.stop]]
    assert many.about["scoring"] == [[rows.held_out.start, rows.rows]]


@pytest.mark.parametrize("latent", range(F))
def test_no_two_windows_that_score_are_of_one_document(many: Examples, latent: int) -> None:
    seen = many.latent(latent)
    for some in (seen.score, seen.hard, seen.random, seen.contrast):
        assert len({one.document for one in some}) == len(some)


def test_explaining_reads_the_first_documents_alone(dictionary: TopK, rows: Rows) -> None:
    settings = MANY.model_copy(update={"most": 400})
    found = collect(dictionary, rows, 3, settings=settings).read_with(Words())  # type: ignore[arg-type]
    explain, score = sides(found.latent(6))
    assert max(explain) < 400 < min(score)
    assert found.rows == 400 + len(rows.held_out)


def test_fewer_windows_are_the_first_drawn_and_no_weaker(
    dictionary: TopK, rows: Rows, many: Examples
) -> None:
    whole, some = many.latent(3), many.latent(3, windows=10)
    assert (len(some.score), len(some.hard), len(some.random)) == (10, 10, 10)
    assert set(some.score) != set(whole.score[:10])
    assert {one.row for one in some.score} < {one.row for one in whole.score}
    assert some.hard == whole.hard[:10]
    assert some.explaining == whole.explaining
    assert [one.quantile for one in some.score] == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]


@pytest.mark.parametrize("latent", [1, 6, 10])
def test_hard_negatives_are_where_neighbours_peak_and_the_latent_is_silent(
    many: Examples, rows: Rows, latent: int
) -> None:
    seen = many.latent(latent)
    beside = [one for one, _ in seen.neighbours]
    for found, side in ((seen.hard, rows.held_out), (seen.contrast, rows.training)):
        expected = {
            row
            for other in beside
            for row in plain_peaks(rows, other)
            if row in side and not rows.x_ND[bounds(rows, row), latent].any()
        }
        assert {one.row for one in found} <= expected
        documents = {int(rows.document_N[row]) for row in expected}
        assert {one.document for one in found} == documents
        assert len(found) == len(documents) > 5
        assert all(one.kind == "hard" and one.peak == 0 for one in found)


def test_neighbours_are_the_nearest_decoder_directions(many: Examples) -> None:
    assert {one for one, _ in many.latent(6).neighbours} == {5, 7}
    assert {one for one, _ in many.latent(0).neighbours} == {1, 2}
    step = 2.5 / (F - 1)
    assert [cosine for _, cosine in many.latent(0).neighbours] == pytest.approx(
        [np.cos(step), np.cos(2 * step)]
    )


def test_random_negatives_are_silent_windows(many: Examples, rows: Rows) -> None:
    for latent in range(F):
        seen = many.latent(latent)
        assert not any(rows.x_ND[bounds(rows, one.row), latent].any() for one in seen.random)
    assert len(many.latent(6).random) > 40


def test_counts_are_of_every_row(many: Examples, rows: Rows) -> None:
    for latent in (0, 6, 11):
        values = rows.x_ND[:, latent]
        values = values[values > 0].numpy()
        seen = many.latent(latent)
        assert seen.firings == len(values)
        assert seen.rate == pytest.approx(len(values) / rows.rows)
        assert many.rates[latent] == seen.rate
        assert list(seen.histogram) == np.histogram(values, EDGES)[0].tolist()
        if len(values):
            assert (seen.highest, seen.mean) == pytest.approx((values.max(), values.mean()))


def test_background_counts_the_tokens_that_explain(many: Examples, rows: Rows) -> None:
    read = Counter(rows.token_N[rows.training].tolist())
    assert {token: int(many.background_V[token]) for token in range(1, 50)} == read


def test_a_dead_latent_and_too_few_windows_have_a_name(many: Examples) -> None:
    assert many.latent(11).shortfall(5) == "dead"
    assert many.latent(6).shortfall(5) is None
    assert many.latent(6).shortfall(10_000) == "too few examples"
    without = LatentExamples(**{**many.latent(6).__dict__, "hard": ()})
    assert without.shortfall(5) == "too few negatives"


def test_samples_are_uniform_over_peaks(dictionary: TopK, rows: Rows) -> None:
    """Each peak is as likely to be drawn as any other: over many seeds the mean activation of a
    small sample is the peaks' own (within four standard errors)."""
    peaks = [row for row in plain_peaks(rows, 3) if row in rows.held_out]
    everything = rows.x_ND[peaks, 3].numpy()
    drawn = []
    for seed in range(40):
        settings = MANY.model_copy(update={"score": 5, "explain": 0, "hard": 1, "seed": seed})
        some = collect(dictionary, rows, 3, settings=settings, latents=[3])  # type: ignore[arg-type]
        drawn += [one.peak for one in some.read_with(Words()).latent(3).score]
    error = np.std(everything) / np.sqrt(len(drawn))
    assert len(drawn) == 200
    assert np.mean(drawn) == pytest.approx(np.mean(everything), abs=4 * error)


def test_strata_split_the_sample_evenly_by_strength(many: Examples) -> None:
    score = many.latent(3).score
    assert [one.peak for one in score] == sorted(one.peak for one in score)
    sizes = [len(list(some)) for _, some in groupby(score, key=lambda one: one.quantile)]
    assert len(sizes) == MANY.quantiles
    assert max(sizes) - min(sizes) <= 1


def test_named_latents_and_spans_alone_are_read(dictionary: TopK, rows: Rows) -> None:
    some = collect(
        dictionary,
        rows,  # type: ignore[arg-type]
        3,
        settings=MANY,
        latents=[6, 2],
        explaining=[(1400, 2000), (2100, 2300)],
        scoring=[(100, 900)],
    ).read_with(Words())

    assert some.latents == [2, 6]
    assert some.rows == 1600
    explain, score = sides(some.latent(6))
    assert explain
    assert score
    assert explain <= {*range(1400, 2000), *range(2100, 2300)}
    assert score <= set(range(100, 900))
    read = {*range(100, 900), *range(1400, 2000), *range(2100, 2300)}
    assert some.latent(6).firings == (rows.x_ND[sorted(read), 6] > 0).sum()
    with pytest.raises(UserError, match="latent 3 isn't among the 2"):
        some.latent(3)


def test_rows_standardised_by_another_capture_are_read_as_the_dictionary_takes_them(
    dictionary: TopK, rows: Rows, many: Examples
) -> None:
    moved = Rows(rows.x_ND, mean=0.5, scale=2.0)
    found = collect(dictionary, moved, 3, settings=MANY)  # type: ignore[arg-type]
    assert found.counts["firings"].tolist() == many.counts["firings"].tolist()


def test_what_is_saved_comes_back(many: Examples, tmp_path: Path) -> None:
    many.save(tmp_path)
    again = load(tmp_path).read_with(Words())
    assert again.latent(6) == many.latent(6)
    assert again.about == many.about
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "examples.json",
        "examples.safetensors",
    ]

    head = json.loads((tmp_path / "examples.json").read_text())
    (tmp_path / "examples.json").write_text(json.dumps(head | {"format": 1}))
    with pytest.raises(UserError, match="of another version"):
        load(tmp_path)
    (tmp_path / "examples.json").write_text(json.dumps(head))
    (tmp_path / "examples.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path)
    with pytest.raises(UserError, match="collect them first"):
        load(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"latents": [3, 12]}, "latent 12 doesn't exist: the dictionary's are 0 to 11"),
        ({"latents": []}, "no latents were named"),
        ({"scoring": [(0, 10**6)]}, "can't be read"),
        ({"explaining": [(0, 50)], "scoring": [(40, 90)]}, "can't be read"),
    ],
)
def test_what_cannot_be_read_is_told(
    dictionary: TopK, rows: Rows, asked: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint.replace("(", r"\(")):
        collect(dictionary, rows, 3, settings=MANY, **asked)  # type: ignore[arg-type]


def test_tokens_say_what_the_text_says(tiny_model: "LocalModel") -> None:
    """Byte-level tokens, of which none alone is a character of the second text."""
    pieces = Pieces(tiny_model.tokenizer)
    for text in ("The capital of France is Paris.", "climb \U0001f9d7\U0001f3fd up\nagain  \u00e9"):
        ids = tiny_model.tokenizer(text, add_special_tokens=False).input_ids
        said = pieces.of(ids)
        assert len(said) == len(ids)
        assert "".join(said) == text


def test_marks_stand_around_tokens_and_leave_their_spaces_outside() -> None:
    window = Window(0, 0, 1, (" a", " big", " cat", "s", "."), (0, 1, 2, 0, 0), "activating")
    assert window.marked(window.active) == " a <<big cat>>s."
    assert window.marked([0, 3]) == " <<a>> big cat<<s>>."
