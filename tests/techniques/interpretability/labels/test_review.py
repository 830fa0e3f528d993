"""Review by people: what they see, what is read back, and agreement."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.techniques.interpretability.labels.review import (
    Answer,
    agreement,
    between_people,
    read_answers,
    write_sample,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture
def sample(tmp_path: Path, latent) -> Path:
    labels = {number: f"label {number}" for number in range(30)}
    labels[3] = ATTACK
    examples = {number: latent(number, f"word{number}") for number in labels}
    drawn = write_sample(tmp_path, labels, examples, most=30, rng=np.random.default_rng(0))
    assert sorted(drawn) == sorted(labels)
    assert drawn != sorted(labels)
    return tmp_path


def test_a_sample_is_drawn(tmp_path: Path, latent) -> None:
    labels = {number: f"label {number}" for number in range(30)}
    examples = {number: latent(number, "word") for number in labels}
    drawn = write_sample(tmp_path, labels, examples, most=5, rng=np.random.default_rng(0))
    assert len(set(drawn)) == 5
    lines = (tmp_path / "review.jsonl").read_text().splitlines()
    assert [json.loads(line)["latent"] for line in lines] == drawn
    with pytest.raises(UserError, match="label some latents first"):
        write_sample(tmp_path, {}, {}, most=5, rng=np.random.default_rng(0))


def test_the_page_runs_and_fetches_nothing_but_its_own(sample: Path) -> None:
    page = (sample / "review.html").read_text()

    class Tags(HTMLParser):
        found: list[tuple[str, dict]]

        def handle_starttag(self, tag: str, attrs) -> None:
            self.found.append((tag, dict(attrs)))

    tags = Tags()
    tags.found = []
    tags.feed(page)
    assert [tag for tag, _ in tags.found].count("script") == 1
    assert not any(tag in ("img", "link", "iframe") for tag, _ in tags.found)
    assert not any({"src", "href", "style"} & set(attrs) for _, attrs in tags.found)
    assert not any(name.startswith("on") for _, attrs in tags.found for name in attrs)
    policy = next(a["content"] for t, a in tags.found if t == "meta" and "content" in a)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "&lt;/script&gt;" in page


def test_neither_file_tells_scores_or_what_explained(sample: Path, latent) -> None:
    shown = latent(4, "word4")
    for name in ("review.jsonl", "review.html"):
        text = (sample / name).read_text()
        assert not re.search("accuracy|score", text)
    card = next(
        card
        for line in (sample / "review.jsonl").read_text().splitlines()
        if (card := json.loads(line))["latent"] == 4
    )
    texts = {"".join(token for token, _ in window) for window in card["windows"]}
    assert texts == {one.text for one in shown.score}
    shares = [share for window in card["windows"] for _, share in window]
    assert max(shares) == 1


def test_answers_are_read_from_the_page_and_from_lines(sample: Path) -> None:
    path = sample / "review.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["verdict"], lines[1]["verdict"] = "accept", "Correct"
    lines[1]["correction"] = "towns"
    path.write_text("\n".join(map(json.dumps, lines)))
    expected = [
        Answer(lines[0]["latent"], "accept", label=lines[0]["label"]),
        Answer(lines[1]["latent"], "correct", "towns", lines[1]["label"]),
    ]
    assert read_answers(path) == expected

    saved = sample / "answers.json"
    some = [{"latent": 5, "verdict": "reject", "correction": ""}]
    saved.write_text(json.dumps({"sample": "x", "answers": some}, indent=1))
    assert read_answers(saved) == [Answer(5, "reject")]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"latent": 1, "verdict": "maybe"}', "write one of accept, correct, reject"),
        ('{"latent": 1}', "no latent or no verdict"),
        ('{"latent": 1, "verdict": "accept"}\nnonsense', "line 2: not JSON"),
        ('{"latent": 1, "verdict": "accept"}\n{"latent": 1, "verdict": "reject"}', "twice"),
    ],
)
def test_bad_answers_are_told(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_answers(path)
    with pytest.raises(UserError, match="can't read"):
        read_answers(tmp_path / "nothing.json")


def test_agreement_is_kappa() -> None:
    """Twenty both say yes, fifteen both no, five and ten apart: kappa 0.4 by hand."""
    said = ["accept"] * 20 + ["accept"] * 5 + ["correct"] * 5 + ["reject"] * 5 + ["reject"] * 15
    score = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    answers = [Answer(latent, one) for latent, one in enumerate(said)]  # type: ignore[arg-type]
    found = agreement(answers, dict(enumerate(score)), rng=np.random.default_rng(0))
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.low < 0.4 < found.kappa.high
    assert found.share.value == pytest.approx(35 / 50)
    assert found.accepted.value == pytest.approx(25 / 50)
    assert found.n == 50


def test_agreement_where_kappa_is_undefined_or_nothing_is_shared() -> None:
    rng = np.random.default_rng(0)
    answers = [Answer(1, "accept"), Answer(2, "accept")]
    found = agreement(answers, {1: True, 2: True, 9: False}, rng=rng)
    assert (found.kappa, found.share.value, found.n) == (None, 1.0, 2)
    with pytest.raises(UserError, match="no latent was judged by both"):
        agreement(answers, {5: True}, rng=rng)


def test_two_people_agree_on_which_are_right() -> None:
    a = [Answer(1, "accept"), Answer(2, "reject"), Answer(3, "accept")]
    b = [Answer(1, "accept"), Answer(2, "correct"), Answer(4, "reject")]
    found = between_people(a, b, rng=np.random.default_rng(0))
    assert (found.n, found.share.value) == (2, 1.0)


@pytest.mark.browser
def test_a_person_answers_on_the_page(sample: Path, chromium: "Browser", tmp_path: Path) -> None:
    page = chromium.new_page(accept_downloads=True)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto((sample / "review.html").as_uri())
    cards = page.locator(".card")
    assert cards.count() == 30
    cards.nth(0).get_by_label("accepted").check()
    cards.nth(1).get_by_label("corrected", exact=True).check()
    cards.nth(1).get_by_role("textbox").fill("towns")
    assert page.get_by_role("status").inner_text() == "2 of 30 answered"
    # What was answered is still there after the page was closed.
    page.reload()
    assert page.get_by_role("status").inner_text() == "2 of 30 answered"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    download.value.save_as(tmp_path / "saved.json")

    answers = read_answers(tmp_path / "saved.json")
    order = [int(cards.nth(i).get_attribute("data-latent") or -1) for i in (0, 1)]
    shown = json.loads((sample / "review.jsonl").read_text().splitlines()[0])["label"]
    assert answers[0] == Answer(order[0], "accept", label=shown)
    assert (answers[1].latent, answers[1].correction) == (order[1], "towns")
    assert problems == []
    page.close()
