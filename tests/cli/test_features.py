"""`toprope features` from training to export, on a tiny model: what a user relies on, and the line
that answers each mistake."""

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from toprope.cli import main
from toprope.techniques.interpretability.dictionaries.dictionary import load

WORDS = (
    *("rope", "climb", "partner", "ground", "safe", "city", "Paris", "Lagos"),
    *("Norway", "twelve", "seven", "true", "answer"),
)
SETTINGS = (
    *("--tokens", "3000", "--window", "32", "--share", "0.4", "--width", "48", "--active", "4"),
    *("--seeds", "2", "--batch", "64", "--epochs", "2", "--layer", "2", "--quiet"),
)
EMBEDDERS = [
    f"toprope.{module}.EMBEDDER"
    for module in (
        "models.embedding",
        "techniques.interpretability.labels.job",
        "techniques.interpretability.labels.naming",
    )
]
OWN = ((3, "the city of Lagos"), (7, "numbers"), (9, "ropes"), (11, "climbing"), (20, "truth"))

Lines = Callable[..., list[str]]


def invoke(*words: object) -> Result:
    return CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text(
        "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    )
    return path


@pytest.fixture(autouse=True)
def tiny_embedder(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EMBEDDERS:
        monkeypatch.setattr(name, str(tiny_folder))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    rng = random.Random(0)
    rows = [{"text": f"{i} " + " ".join(rng.choices(WORDS, k=60))} for i in range(120)]
    return f"file:{write_lines(tmp_path_factory.mktemp('texts') / 'texts.jsonl', rows)}"


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, texts: str
) -> tuple[Path, str, str]:
    """A folder of features with labels, and what was printed when it was made; leave it so."""
    folder = tmp_path_factory.mktemp("features") / "mine"
    with pytest.MonkeyPatch.context() as patch:
        for name in EMBEDDERS:
            patch.setattr(name, str(tiny_folder))
        made = invoke(
            "features", "train", folder, "--target", tiny_folder, "--texts", texts, *SETTINGS
        )
        labelled = invoke("features", "label", folder, "--latents", 12, "--quiet")
    assert (made.exit_code, labelled.exit_code) == (0, 0), made.output + labelled.output
    return folder, made.stdout, labelled.stdout


@pytest.fixture
def mine(trained: tuple[Path, str, str]) -> Path:
    return trained[0]


@pytest.fixture
def copied(mine: Path, tmp_path: Path) -> Path:
    """The same folder, to write to."""
    return Path(shutil.copytree(mine, tmp_path / "copied"))


@pytest.fixture
def said(tiny_folder: Path) -> Lines:
    """The lines that `toprope features ...` prints."""

    def run(command: str, *words: object) -> list[str]:
        result = invoke("features", command, *words)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    return run


@pytest.fixture
def refused(tiny_folder: Path) -> Callable[..., str]:
    """The one line that `toprope features ...` is refused with, after any progress."""

    def run(command: str, *words: object) -> str:
        result = invoke("features", command, *words)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        *shown, line = result.stderr.splitlines()
        assert not any("Traceback" in one for one in shown)
        assert line.startswith("toprope: ")
        return line.removeprefix("toprope: ")

    return run


# --- making, labelling, looking ---


def test_training_says_how_well_each_dictionary_fits_and_which_are_controls(trained):
    _, made, _ = trained
    lines = made.splitlines()
    assert lines[0].split(", ")[1] == "layer 2"
    found = {line.split()[0]: line for line in lines[1:-1]}
    assert list(found) == ["seed-0", "seed-1", "frozen", "random-0", "random-1"]
    fvu = {name: float(re.findall(r"FVU ([\d.]+)", line)[0]) for name, line in found.items()}
    assert fvu["seed-0"] < 1
    assert fvu["seed-0"] < fvu["frozen"]
    assert all("control" in found[name] for name in list(found)[2:])
    assert "L0 4.0" in found["seed-0"]
    assert "none recurs in 2 seeds: there's no consensus" in lines[-1]


def test_one_seed_without_controls(said: Lines, tmp_path: Path, tiny_folder: Path, texts: str):
    settings = [*SETTINGS, "--seeds", "1", "--no-controls", "--epochs", "1", "--width", "32"]
    lines = said("train", tmp_path / "one", "--target", tiny_folder, "--texts", texts, *settings)
    assert [line.split()[0] for line in lines[1:]] == ["seed-0"]


def test_scores_stand_beside_those_of_another_latents_label(trained):
    _, _, labelled = trained
    first, *scores, rate, definition = labelled.splitlines()
    assert first == "token statistics: 12 labelled"
    for line in scores:
        assert re.fullmatch(
            r"  (trained|embedding): accuracy 0\.\d\d \(.*\), by another latent's label 0\.\d.*",
            line,
        )
    assert re.fullmatch(
        r"  interpretable: [\d.]+% \(.*\) of 12; by another latent's label [\d.]+%", rate
    )
    assert "at least 0.7" in definition


def test_a_folder_says_what_it_holds(said: Lines, mine: Path):
    lines = said("info", mine)
    assert lines[1].split(", ")[1:] == ["48 latents", "5,888 tokens"]
    assert lines[2].startswith("    token-statistics: 12 labels, ")
    assert len(lines) == 1 + 5 + 1


def test_search_finds_words_first(said: Lines, mine: Path):
    near = " ".join(said("search", mine, "Paris"))
    word = re.findall(r'"([a-z]+)"', near)[0]
    lines = said("search", mine, word.title(), "--most", 4)
    how = [line.split()[1] for line in lines]
    assert 1 <= len(lines) <= 4
    assert how == sorted(how, key=lambda one: (one != "words", one != "words" and -float(one)))
    assert how[0] == "words"
    by_words = [line for line, one in zip(lines, how, strict=True) if one == "words"]
    assert all(word in line for line in by_words)


def test_pages_are_written_of_all_labelled_latents_or_those_named(said: Lines, copied: Path):
    [line] = said("show", copied, "--quiet")
    pages = copied / "pages" / "seed-0"
    assert line == f"12 pages: {pages / 'index.html'}"
    assert len(list(pages.glob("latent-*.html"))) == 12
    assert 'href="latent-' in (pages / "index.html").read_text()
    said("show", copied, 5, 6, "--dictionary", "seed-1", "--quiet")
    found = sorted(path.name for path in (copied / "pages" / "seed-1").iterdir())
    assert found == ["index.html", "latent-5.html", "latent-6.html"]


def test_labels_of_ones_own_are_scored_and_come_before_the_others(said: Lines, copied: Path):
    path = write_lines(copied / "own.jsonl", [{"latent": n, "label": text} for n, text in OWN])
    lines = said("score", copied, path, "--quiet")
    assert lines[0] == "given: 5 labelled"
    assert re.match(r"  interpretable: [\d.]+% \(.*\) of 5;", lines[-2])
    found = {int(line.split()[0]): line for line in said("search", copied, "city")}
    assert found[3].endswith("the city of Lagos")
    # Those that were there are still found.
    assert any("tokens: " in line for line in found.values())
    assert said("show", copied, "--quiet")[0].startswith("5 pages")
    assert said("show", copied, "--labeller", "token-statistics", "--quiet")[0].startswith("12 ")


# --- using ---


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    first = [f"{i} the city of Paris Paris is Paris" for i in range(20)]
    second = [f"{i} twelve plus seven is a climb" for i in range(20)]
    return write_lines(tmp_path / "a.txt", first), write_lines(tmp_path / "b.txt", second)


def test_contrast_finds_what_tells_two_files_apart(said: Lines, mine: Path, sets):
    first, held, *latents = said("contrast", mine, *sets, "--most", 3, "--quiet")
    found, tested, of_shuffled = re.findall(r"^(\d+) of (\d+) .* shuffled ([\d.]+)%", first)[0]
    assert 0 < int(found) <= int(tested) <= 48
    assert float(of_shuffled) < 10
    assert held.startswith("held on the other half: ")
    assert len(latents) == 3
    assert all(re.match(r" +\d+  AUROC 0\.\d\d \(", line) for line in latents)


def test_lengths_that_tell_the_sets_apart_are_said_and_can_be_cut(said, mine: Path, tmp_path: Path):
    texts = [f"{i} the city of Paris" for i in range(20)]
    short = write_lines(tmp_path / "short.txt", texts)
    long = write_lines(
        tmp_path / "long.txt", [f"{text} is a safe city in Norway" for text in texts]
    )
    plain = invoke("features", "contrast", mine, long, short, "--quiet")
    assert "the first set's texts are longer" in plain.stderr
    assert "(--equal-lengths)" in plain.stderr
    cut = invoke("features", "contrast", mine, long, short, "--quiet", "--equal-lengths")
    assert cut.stderr == ""
    # The beginnings are the same texts.
    assert cut.stdout.startswith("0 of ")


def test_attempts_are_compared_by_how_they_ended(said: Lines, refused, mine: Path, tmp_path: Path):
    def attempts(behaviours: int) -> Path:
        rows = [
            {
                "behaviour": f"b{i % behaviours}",
                "messages": [{"role": "user", "content": f"{i} tell me of Paris"}],
                "response": "Paris Paris" if i < 40 else "seven no",
                "score": float(i < 40),
            }
            for i in range(80)
        ]
        return write_lines(tmp_path / "attempts.jsonl", rows)

    found = said("contrast", mine, attempts(20), "--quiet")
    assert re.match(r"[1-9]\d* of \d+ active latents", found[0])
    # Many attempts for a few behaviours are a few texts, and show nothing.
    assert said("contrast", mine, attempts(8), "--quiet")[0].startswith("0 of ")
    assert "the first set has 5 texts (or groups of them)" in refused("contrast", mine, attempts(5))


def test_a_probe_is_held_against_random_latents_and_the_activations(said: Lines, mine: Path, sets):
    lines = said("probe", mine, *sets, "--quiet")
    assert [line.split(":")[0] for line in lines] == [
        *(f"latents read {k:>2}" for k in (1, 2, 5, 16)),
        "activations",
        "the latents",
    ]
    by_five = float(re.findall(r"5: ([\d.]+)%", lines[2])[0])
    assert by_five > 80
    assert len(lines[-1].split(",")) == 16


def test_steering_is_held_against_random_directions(said: Lines, mine: Path):
    prompts = ("--prompt", "The capital of", "--prompt", "Twelve plus")
    lines = said("steer", mine, 3, *prompts, "--quiet")
    kl = {}
    for line in lines:
        multiple, value, control = re.findall(r"^(\S+) x: KL ([\d.]+) .*random ([\d.]+); l", line)[
            0
        ]
        kl[multiple] = float(value)
        assert float(control) > 0
    assert list(kl) == ["-1", "+0.5", "+1", "+2", "+4"]
    assert kl["+0.5"] < kl["+1"] < kl["+2"] < kl["+4"]


def test_attribution_is_checked_by_ablation(said: Lines, mine: Path):
    lines = said("attribute", mine, "The capital of France is", " Paris", " Lagos", "--most", 6)
    assert lines[0].startswith("logit difference ")
    assert lines[1].startswith("attribution and ablation agree: r ")
    sizes = [abs(float(line.split()[1])) for line in lines[2:]]
    assert len(sizes) == 6
    assert sizes == sorted(sizes, reverse=True)


# --- handing on ---


def test_people_review_labels_and_what_they_correct_can_be_scored(said: Lines, copied: Path):
    review = copied / "review"
    lines = said("review", copied, "--out", review, "--most", 10, "--quiet")
    assert lines == [f"10 labels to review: {review / 'review.html'}"]
    page = (review / "review.html").read_text()
    assert page.count('class="card"') == 10
    assert "interpretable" not in page
    cards = [json.loads(line) for line in (review / "review.jsonl").read_text().splitlines()]
    for card, verdict in zip(cards, ["accept"] * 3 + ["reject"] * 2 + ["correct"] * 5, strict=True):
        card |= {"verdict": verdict, "correction": f"better {card['latent']}"}
    answers = write_lines(copied / "answers.jsonl", cards)
    fixed = copied / "fixed.jsonl"
    lines = said("review", copied, "--answers", answers, "--corrected", fixed)
    assert lines[0] == "labels of token statistics: accepted as they are 3 of 10"
    assert lines[1] == f"5 corrected labels: {fixed}"
    assert re.match(r"agrees with the score on [\d.]+% \(.*\) of the 10 that are scored", lines[2])
    assert said("score", copied, fixed, "--quiet")[0] == "given: 5 labelled"
    # Answers are held against the labels that were shown, whatever was written since.
    assert said("review", copied, "--answers", answers)[0] == lines[0]


@pytest.mark.parametrize(("kind", "within"), [("saelens", "."), ("sparsify", "layers.1")])
def test_a_dictionary_comes_back_as_it_was(
    said: Lines, copied: Path, tmp_path: Path, kind: str, within: str
):
    out = tmp_path / kind
    [written] = said("export", copied, out, "--format", kind)
    assert Path(written) == out / within
    said("import", out / within, copied, "--format", kind, "--as", "back")
    ours, back = (load(copied / "dictionaries" / name) for name in ("seed-0", "back"))
    x_BD = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(back.encode(x_BD).dense(), ours.encode(x_BD).dense())
    assert any(line.split()[0] == "back" for line in said("info", copied))
    assert said("label", copied, "--dictionary", "back", "--latents", 6, "--quiet")


def test_a_plan_is_read_without_a_folder(said: Lines):
    lines = said("plan", "--width", 65536, "--d-model", 576, "--devices", 1, "--measured", 1000)
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in lines)
    assert rows["latents"] == "65,536"
    # An encoder and a decoder row and a bias a latent, four bytes each.
    assert rows["- weights"] == f"{4 * (65536 * (2 * 576 + 1) + 576) / 1e9:.2f}"
    assert rows["tokens a second"] == "1,000 (measured)"


# --- mistakes ---


def test_mistakes_in_training_are_said_in_a_line(
    refused, mine: Path, tiny_folder: Path, texts: str
):
    def training(folder: Path, *more: str, target: object = tiny_folder) -> str:
        return refused("train", folder, "--target", target, "--texts", texts, *SETTINGS, *more)

    new = mine.parent / "new"
    assert "'openai/gpt-5' is a served model" in training(new, target="openai/gpt-5")
    assert "has no layer 9: its layers are 0 to 4" in training(new, "--layer", "9")
    assert "tokens to train on" in training(new, "--tokens", "1000000")
    assert "3,000 tokens are too few for dictionaries of 4,096" in training(new, "--width", "4096")
    assert "take more tokens, or a smaller batch" in training(new, "--batch", "4096")
    assert "99 latents can't be active of 48" in training(new, "--active", "99")
    assert "did you mean 'topk'" in training(new, "--kind", "topkk")
    assert training(mine, "--width", "64") == (
        f"{mine} holds other features (width was 48, now 64): give another folder"
    )
    file = write_lines(mine.parent / "file", ["x"])
    assert training(file) == f"{file} is a file: name a folder of features"


def test_what_was_refused_can_be_put_right_in_the_same_folder(
    said: Lines, refused, tmp_path: Path, tiny_folder: Path, texts: str
):
    folder = tmp_path / "again"
    common = ("train", folder, "--target", tiny_folder, "--texts", texts, *SETTINGS)
    refused(*common, "--tokens", "1000000")
    assert said("info", folder)[-1].startswith("no dictionary is finished")
    for command in (("label", folder), ("search", folder, "x"), ("show", folder)):
        assert "aren't finished: give the command that makes them again" in refused(*command)
    said(*common, "--seeds", "1", "--no-controls")


def test_mistakes_in_naming_are_said_in_a_line(refused, mine: Path, tmp_path: Path):
    assert "has no features.json" in refused("show", tmp_path)
    assert "unknown dictionary 'seed-9'" in refused("show", mine, 1, "--dictionary", "seed-9")
    assert "there is no latent 48" in refused("show", mine, 48)
    assert "there is no latent 99" in refused("steer", mine, 99, "--prompt", "a", "--prompt", "b")
    assert "give --prompt again" in refused("steer", mine, 3, "--prompt", "a")
    assert "no latent of 'seed-1' has a label yet" in refused(
        "search", mine, "x", "--dictionary", "seed-1"
    )
    assert "no latent of 'seed-1' has a label" in refused("show", mine, "--dictionary", "seed-1")
    assert "known: token-statistics" in refused("show", mine, "--labeller", "explainer")
    assert "asks an overseer" in refused("label", mine, "--scorers", "detection")
    assert "begin with the same token" in refused("attribute", mine, "a", " Paris", " Paris")
    assert "no single token for each letter" in refused("absorption", mine)


def test_a_file_with_a_bad_line_is_named_with_the_line(refused, mine: Path, tmp_path: Path):
    good = {"latent": 3, "label": "x"}
    bad = write_lines(tmp_path / "bad.jsonl", [good, {"latent": "4", "label": "x"}])
    assert f"{bad}, line 2: not a label" in refused("score", mine, bad)
    few = write_lines(tmp_path / "few.jsonl", [good])
    assert "learns from the other labels of few.jsonl, which has 1" in refused("score", mine, few)
    other = [{"latent": 90 + n, "label": str(n)} for n in range(5)]
    assert "there is no latent 90" in refused("score", mine, write_lines(few, other))
    assert "unknown value 'nobody' in --scorers" in refused(
        "score", mine, few, "--scorers", "trained,nobody"
    )


def test_too_few_texts_are_refused_before_the_model_reads_them(refused, mine: Path, sets):
    few = write_lines(sets[0], ["one text", "another"])
    assert "the first set has 2 texts" in refused("contrast", mine, few, sets[1])
    assert "3 files: give two" in refused("contrast", mine, few, few, few)
    assert "not a record of an attack" in refused("contrast", mine, few)


def test_mistakes_in_a_review_are_said_in_a_line(refused, mine: Path, tmp_path: Path):
    assert "give --out FOLDER" in refused("review", mine)
    assert "give --answers FILE" in refused("review", mine, "--out", "x", "--corrected", "y")
    shown = {"latent": 3, "label": "another label", "verdict": "accept"}
    other = write_lines(tmp_path / "answers.jsonl", [shown])
    assert "answers for other labels" in refused("review", mine, "--answers", other)
    none = write_lines(tmp_path / "none.jsonl", [shown | {"verdict": ""}])
    assert "has a verdict yet" in refused("review", mine, "--answers", none)


def test_another_tools_dictionary_must_fit(refused, said: Lines, mine: Path, tmp_path: Path):
    assert "did you mean 'saelens'" in refused("export", mine, "x", "--format", "sealens")
    assert "cfg.json is missing" in refused("import", tmp_path, mine, "--format", "saelens")
    said("export", mine, tmp_path / "out", "--format", "saelens")
    again = refused("import", tmp_path / "out", mine, "--format", "saelens", "--as", "seed-1")
    assert "has a dictionary 'seed-1': name it otherwise (--as)" in again
