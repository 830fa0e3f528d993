"""Made-up evidence of debates, and what studies of them leave, for tests of their sections."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toprope.evidence import Cost, Evidence
from toprope.techniques.debate import kept
from toprope.techniques.debate.mnist.records import GameRecord, Reveal
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import (
    Private,
    Seating,
    Transcript,
    Turn,
    Verdict,
    assigned,
    rotations,
)

Numbers = tuple[float, float, float] | None


def made(arm: str, metric: str, numbers: Numbers, **fields: Any) -> Evidence:
    value, low, high = numbers or (None, None, None)
    usual = {
        "study": "debate",
        "role": "diagnostic",
        "controls": {"chance": 0.5},
        "n": 200,
        "unit": "questions",
        "better": "higher",
        "overseer": "weak-judge",
        "target": "strong-debater",
        "dataset": "passages",
        "seed": 0,
        "truth": "ground_truth",
        "cost": Cost(tokens=1000, seconds=2.0, calls=3),
        "config_hash": "9f3c2e11aa",
    }
    return Evidence.model_validate(
        {**usual, "arm": arm, "metric": metric, "value": value, "low": low, "high": high, **fields}
    )


def around(value: float, half: float = 0.04) -> Numbers:
    return value, value - half, value + half


def debate_rows(**fields: Any) -> list[Evidence]:
    """Of a blind, an expert, a consultancy, and a debate that closes half of the gap."""
    ends = {"chance": 0.5, "blind": 0.5, "expert": 0.9}
    rows = []
    for arm, value in {"blind": 0.5, "expert": 0.9, "consultancy": 0.6, "debate": 0.7}.items():
        role = "control" if arm in ("blind", "expert") else "result"
        of = {"role": role, "controls": ends, **fields}
        rows.append(made(arm, "accuracy", around(value), **of))
        rows.append(made(arm, "debiased_accuracy", around(value + 0.02), **of))
        rows.append(made(arm, "calibration_error", around(0.1, 0.02), **fields))
        rows.append(made(arm, "first_position_rate", around(0.62), **fields))
        rows += [made(arm, f"difficulty_{k}_accuracy", around(value), **fields) for k in (1, 2)]
        if arm != "blind":
            rows.append(made(arm, "gain_over_blind", around(value - 0.5), **of))
        if role == "result":
            share = (value - 0.5) / 0.4
            rows.append(made(arm, "gap_closed_share", around(share, 0.1), **of))
            rows.append(made(arm, "honest_win_rate", around(value), **fields))
    rows.append(made("consultancy", "dishonest_win_rate", around(0.55), **fields))
    for k, bet in enumerate((70.0, 78.0), 1):
        rows.append(made("debate", f"bet_before_round_{k}", around(bet, 2.0), **fields))
    rows.append(made("debate", "bet_rise_round_1_to_2", around(8.0, 2.0), **fields))
    rows.append(made("debate", "both_sure_strictly_rate", around(0.4), baseline=0.617, **fields))
    rows.append(made("debate", "both_sure_at_least_rate", around(0.5), baseline=0.717, **fields))
    rows.append(made("debate", "incoherent_bets_rate", around(0.8), **fields))
    for k, share in enumerate((0.5, 0.6, 0.66)):
        rows.append(made("debate", f"right_probability_after_round_{k}", around(share), **fields))
    rows.append(made("debate", "turn_refused_rate", around(0.05, 0.01), **fields))
    rows.append(made("debate", "unverified_quotes_rate", around(0.3), **fields))
    why = "the honest side won all or none"
    rows.append(made("debate", "honest_elo", None, notes=why, **fields))
    headline = {"role": "result", **fields}
    rows.append(made("headline", "accuracy", around(0.7), **headline, notes="of debate"))
    against = {"controls": {"consultancy": 0.0}, **headline}
    rows.append(made("headline", "gain_over_consultancy", around(0.1), **against))
    rows.append(made("headline", "gap_closed_more_share", around(0.25, 0.1), **against))
    least = (0.06, 0.06, 0.06)
    rows.append(made("headline", "smallest_detectable_over_consultancy", least, **fields))
    rows.append(made("all", "framework_overhead", (0.03, 0.03, 0.03), unit="games", **fields))
    return rows


def games(text: str = "words", *, bet: float = 80) -> dict[str, list[Transcript]]:
    """Arm -> games of three questions: one right in both orders, one in one of them, one in none.

    Args:
        text: what is said, in every place where a model says something.
    """
    found: dict[str, list[Transcript]] = {"blind": [], "debate": [], "consultancy": []}
    for number, right in enumerate(((0.9, 0.7), (0.8, 0.3), (0.2, 0.1))):
        question = Question(
            f"q{number}", f"When {text}?", ("1889", f"1925 {text}"), 0, f"In {text}"
        )
        for seating, share in zip(rotations(question), right, strict=True):
            turns = [turn for round in (1, 2) for turn in _round(text, round, bet, seating)]
            verdicts = (_verdict(0.5, 0, text), _verdict(share, 2, text))
            found["debate"].append(
                Transcript("debate", question, seating, tuple(turns), verdicts, {})
            )
            found["blind"].append(
                Transcript("blind", question, seating, (), (_verdict(share, 0, text),), {})
            )
        for seating in assigned(question):
            turn = Turn("Consultant", "consultant", text, seating.assigned, by="one")
            verdict = _verdict(right[0], 1, text)
            found["consultancy"].append(
                Transcript("consultancy", question, seating, (turn,), (verdict,), {})
            )
    return found


def _round(text: str, round: int, bet: float, seating: Seating) -> list[Turn]:
    names = {option: f"Debater {seating.letter(option)}" for option in seating.speaks}
    bets = [
        Turn(name, "debater", "", option, round, "bet", private=Private(bet + option, text))
        for option, name in names.items()
    ]
    said = f"{text} <v_quote>In {text}</v_quote> and <u_quote>never {text}</u_quote>"
    speeches = [
        Turn(name, "debater", said, option, round, private=Private(scratchpad=text), verified=1)
        for option, name in names.items()
    ]
    return [*bets, *speeches]


def _verdict(right: float, round: int, text: str) -> Verdict:
    return Verdict(int(right < 0.5), (right, 1 - right), text=text, round=round)


def leave(run: Path, transcripts: dict[str, list[Transcript]], name: str = "one") -> Path:
    """A run's artifacts of a text debate."""
    summary = {
        "overseer": name,
        "target": name,
        "dataset": name,
        "headline": "debate",
        "arms": {arm: {} for arm in transcripts},
        "transcripts": list(transcripts),
    }
    kept.save(run / "artifacts" / "debate" / "abcdef01", transcripts, summary)
    return run / "artifacts"


# --- self-play ---


def self_play_rows(**fields: Any) -> list[Evidence]:
    """Two trainings: debate gains, consultancy doesn't, and trained debaters say more."""
    of = {"study": "self_play", **fields}
    rows = [made(arm, "accuracy", around(v), role="control", **of) for arm, v in _UNTRAINED.items()]
    for number, (debate, lone) in enumerate(((0.64, 0.58), (0.68, 0.57)), 1):
        for protocol, value in (("debate", debate), ("consultancy", lone)):
            stage, gain = f"{protocol}_trained_{number}", value - _UNTRAINED[protocol]
            rows.append(made(stage, "accuracy", around(value), role="result", **of))
            published = 0.04 if protocol == "debate" else 0.0
            rows.append(
                made(stage, "accuracy_gain", around(gain), role="result", baseline=published, **of)
            )
            rows.append(made(stage, "speech_words_change", around(12, 2), **of))
            rows.append(made(stage, "verified_quotes_change", around(-0.3), **of))
            rows.append(made(stage, "unverified_quotes_change", around(0.01), **of))
            rows.append(made(stage, "quotes_answer_change", around(0.25), **of))
            rows.append(made(stage, "pair_rate", around(0.4), **of))
        for side, value in (("", 0.6), ("honest_", 0.7), ("dishonest_", 0.5)):
            metric = f"{side}win_rate_over_untrained"
            rows.append(made(f"debate_trained_{number}", metric, around(value), **of))
    rows.append(made("headline", "accuracy_gain", around(0.08), role="result", **of))
    rows.append(made("headline", "accuracy_gain_over_consultancy", around(0.09), **of))
    rows.append(made("headline", "smallest_detectable_gain", (0.05, 0.05, 0.05), **of))
    return rows


_UNTRAINED = {"blind": 0.5, "expert": 0.9, "debate": 0.6, "consultancy": 0.58}


def leave_self_play(run: Path, text: str = "words") -> Path:
    """A run's artifacts of one training of self-play."""
    folder = run / "artifacts" / "self_play" / "abcdef01"
    one = games(text)
    transcripts = {name: one[name] for name in ("debate", "consultancy")}
    transcripts |= {f"{name}_trained_1": games for name, games in transcripts.items()}
    lesson = {"pairs": 1, "available": 2, "turns": 3, "losses": [0.7, 0.5], "agreed": [0.0, 1.0]}
    summary = {
        "overseer": text,
        "target": text,
        "dataset": text,
        "transcripts": list(transcripts),
        "lessons": {"debate_trained_1": {**lesson, "seconds": 1.0}},
    }
    kept.save(folder, transcripts, summary)
    pair = {"speaker": text, "honest": True, "round": 1, "ratings": [0.9, 0.2]}
    (folder / "pairs").mkdir()
    line = json.dumps({**pair, "chosen": text, "rejected": text})
    (folder / "pairs" / "debate_trained_1.jsonl").write_text(line + "\n")
    return run / "artifacts"


# --- digits ---

RULES = ("precommitted_liar_first", "precommitted_liar_second", "free_liar_first")
PUBLISHED = {4: (0.482, 0.852), 6: (0.594, 0.889)}


def digit_rows(pixels: Sequence[int] = (4, 6), **fields: Any) -> list[Evidence]:
    """Of two numbers of pixels: debates by search and by agents."""
    of = {"study": "sparse_mnist", "target": "debaters", "unit": "judges", "n": 3, **fields}
    rows = []
    for k in pixels:
        alone, debate = PUBLISHED[k]
        rows.append(
            made(
                f"{k}_pixels_random",
                "accuracy",
                around(alone),
                role="control",
                baseline=alone,
                **of,
            )
        )
        for place, rules in enumerate(RULES):
            arm, value = f"{k}_pixels_{rules}", debate - 0.02 * place
            published = {"baseline": debate} if place == 0 else {}
            rows.append(made(arm, "accuracy", around(value), role="result", **published, **of))
            rows += [
                made(arm, f"seed_{s}_accuracy", around(value + 0.01 * s), **of) for s in range(3)
            ]
            gain = value - alone
            rows.append(made(arm, "gain_over_random", around(gain), role="result", **of))
        first = f"{k}_pixels_{RULES[0]}"
        rows.append(made(first, "gain_over_free", around(0.05, 0.02), role="result", **of))
        rows.append(made(first, "gain_over_liar_second", around(0.01), role="result", **of))
        untrained = f"{first}_by_untrained_agents"
        rows.append(made(untrained, "accuracy", around(0.5), role="control", **of))
        agents = f"{first}_by_agents"
        rows.append(made(agents, "accuracy", around(0.7), role="result", **of))
        rows.append(made(agents, "gain_over_untrained", around(0.2), role="result", **of))
    best = f"{max(pixels)}_pixels_{RULES[0]}"
    numbers, published = around(PUBLISHED[max(pixels)][1]), PUBLISHED[max(pixels)][1]
    notes = f"of {best}; as published"
    rows.append(
        made("headline", "accuracy", numbers, role="result", baseline=published, notes=notes, **of)
    )
    return rows


def digit_game(image: Sequence[Sequence[int]], *, won: bool, lie: int | None = 7) -> GameRecord:
    """A game of four pixels on an image of a 1."""
    lit = [(r, c) for r, row in enumerate(image) for c, value in enumerate(row) if value]
    reveals = []
    for k, (row, column) in enumerate(lit[:: max(1, len(lit) // 4)][:4]):
        share = 0.2 + 0.2 * k if won else 0.5 - 0.1 * k
        beliefs = [0.0] * 10
        beliefs[1], beliefs[7] = share, 0.9 - share
        reveals.append(Reveal(row=row, column=column, honest=k % 2 == 1, beliefs=tuple(beliefs)))
    return GameRecord(
        image=tuple(map(tuple, image)),
        truth=1,
        lie=lie,
        rules="precommitted liar first",
        reveals=tuple(reveals),
        honest_won=won,
    )


STROKE = [
    [255 if 5 < row < 22 and 12 < column < 16 else 0 for column in range(28)] for row in range(28)
]


def leave_digits(
    run: Path, text: str = "4_pixels_precommitted_liar_first", pictures: int = 2
) -> Path:
    """A run's artifacts of debates over digits."""
    folder = run / "artifacts" / "sparse_mnist" / "abcdef01"
    folder.mkdir(parents=True)
    summary = {
        "overseer": text,
        "headline": text,
        "settings": {"pictures": pictures},
        "arms": {text: {"games": 9, "won": 6}},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    some = [digit_game(STROKE, won=won).model_dump() for won in (True, False, True, True)]
    for one in some:
        one["rules"] = text
    (folder / "games.json").write_text(json.dumps({text: some}))
    return run / "artifacts"
