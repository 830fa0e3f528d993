"""What one weak-to-strong setting shows, in plain words.

Two numbers are told apart by their intervals alone; where these overlap, the words say that nothing
was shown.
"""

from collections.abc import Sequence

from toprope.report.measured import Measured
from toprope.report.text import counted, listing, sentence
from toprope.techniques.weak_to_strong.report.results import REFERENCES, Results, arm_name


def story(results: Results) -> list[str]:
    """What one setting shows: the finding, then what it must be compared with."""
    paragraphs = [
        _finding(results),
        _debates(results),
        _against_naive(results),
        _against_random_errors(results),
        _against_asking(results),
        _how_it_follows(results),
    ]
    return [paragraph for paragraph in paragraphs if paragraph]


def _finding(results: Results) -> str:
    needed = ("headline", *REFERENCES)
    headline, supervisor, ceiling = (results.measured(arm) for arm in needed)
    if not (headline and supervisor and ceiling):
        missing = [arm_name(arm).lower() for arm in needed if not results.measured(arm)]
        return f"No finding can be stated: no accuracy was recorded for the {listing(missing)}."
    setting = results.setting
    return (
        f"The labels of {results.supervisor} taught {results.student} to {headline.value_text} on "
        f"{setting.dataset} ({headline.interval_text}). The supervisor itself scores "
        f"{supervisor.value_text}, and the same student trained on true labels "
        f"{ceiling.value_text}: {_recovered(results, headline)}"
    )


def _recovered(results: Results, headline: Measured) -> str:
    """The end of the finding: how much of the gap was recovered, or why that can't be said."""
    how = f" ({headline.row.notes.strip().rstrip('.')})" if headline.row.notes.strip() else ""
    pgr = results.measured("headline", "pgr")
    if pgr:
        return f"the headline method{how} recovers {pgr.value_text} of that gap ({pgr.span})."
    gap = results.measured("ceiling", "gap")
    if gap and gap.low <= 0 <= gap.high:
        points = f"{gap.value_text} ({gap.interval_text}),"
        return (
            f"the gap between them, {points} isn't clear of zero, so no performance gap recovered "
            f"(PGR) is given. The student's accuracy is that of the headline method{how}."
        )
    why = results.get("headline", "pgr")
    reason = f": {why.notes}" if why and why.notes else ""
    return sentence(f"no performance gap recovered (PGR) is given{reason}")


def _debates(results: Results) -> str:
    """What the supervisor had of debates, and whether it was what they say."""
    told = [_gained(results, arm) for arm in ("supervisor", "headline")]
    return " ".join(filter(None, told))


def _gained(results: Results, arm: str) -> str:
    gain = results.measured(arm, "gain_over_no_debates")
    content = results.measured(arm, "gain_over_shuffled_debates")
    if not (gain and content):
        return ""
    told, like = {
        "supervisor": (
            "Reading debates about each example changes the supervisor's accuracy",
            "one that reads the debates of other examples",
        ),
        "headline": ("The student's changes", "that one's student"),
    }[arm]
    verdict = (
        "clear of zero: what was said matters"
        if content.low > 0 or content.high < 0
        else "not clear of zero: this run doesn't show that it's due to what was said"
    )
    return (
        f"{told} by {gain.value_text} ({gain.interval_text}). Over {like} it gains "
        f"{content.value_text} ({content.interval_text}), {verdict}."
    )


def _against_naive(results: Results) -> str:
    naive, headline = results.measured("naive"), results.measured("headline")
    if not (naive and headline):
        return ""
    others = [arm for arm in results.methods if arm not in ("naive", results.chosen)]
    if results.chosen == "naive":
        told = "The headline method is naive training itself."
    else:
        verdict = {
            "above": "the headline method is better: its interval lies wholly above that",
            "below": "the headline method is worse: its interval lies wholly below that",
            "overlap": "the headline method isn't shown to be better: the two intervals overlap",
        }[headline.stands(naive)]
        told = f"Naive training on the same labels reaches {naive.text}: {verdict}."
    return f"{told} {_of_the_others(results, others, naive)}".strip()


def _of_the_others(results: Results, others: Sequence[str], than: Measured) -> str:
    """Which of the other methods stand apart from naive training."""
    if not others:
        return ""
    stands = {arm: row.stands(than) for arm in others if (row := results.measured(arm))}
    above = [arm_name(arm) for arm, verdict in stands.items() if verdict == "above"]
    below = [arm_name(arm) for arm, verdict in stands.items() if verdict == "below"]
    if not above and not below:
        return "No other method's interval stands apart from naive training's."
    return " ".join(
        f"Other methods whose interval lies wholly {side} naive training's: {listing(names)}."
        for side, names in (("above", above), ("below", below))
        if names
    )


def _against_random_errors(results: Results) -> str:
    control, headline = results.measured("random_errors"), results.measured("headline")
    if not (control and headline):
        return ""
    mislead = "the supervisor's errors mislead the student more"
    verdict = {
        "above": "the headline method's interval lies wholly above that",
        "below": f"the headline method's interval lies wholly below that, so {mislead} than "
        "random ones do",
        "overlap": f"the two intervals overlap, so this run doesn't show that {mislead}, or less, "
        "than random ones do",
    }[headline.stands(control)]
    return (
        "Trained on labels with as many errors, but drawn at random, the same student reaches "
        f"{control.text}: {verdict}."
    )


def _against_asking(results: Results) -> str:
    doubt = "this run doesn't show that "
    headline, ccs = results.measured("headline"), results.measured("ccs")
    plain, calibrated = (results.measured(arm) for arm in ("zero_shot", "zero_shot_calibrated"))
    told = []
    if plain and headline:
        asked = [plain, calibrated] if calibrated else [plain]
        clear = all(headline.stands(one) == "above" for one in asked)
        verdict = f"{'' if clear else doubt}the supervisor's labels bring out more than asking does"
        leaning = (
            f", and with its leaning to one answer taken out {calibrated.text}"
            if calibrated
            else ""
        )
        told.append(
            f"Asked directly, without any training, {results.student} scores {plain.text}"
            f"{leaning}: {verdict}."
        )
    if ccs:
        told.append(f"An unsupervised probe, trained without labels, reaches {ccs.text}.")
    return " ".join(told)


def _how_it_follows(results: Results) -> str:
    misfit, wrong, right = (
        results.measured(results.chosen, metric)
        for metric in (
            "misfit",
            "agreement_where_supervisor_wrong",
            "agreement_where_supervisor_right",
        )
    )
    if not (misfit and wrong and right):
        return ""
    return (
        f"The headline student disagrees with its supervisor on {misfit.value_text} of the test "
        "examples. Where the supervisor is wrong, the student repeats the error "
        f"{wrong.value_text} of the time; where it is right, the student agrees "
        f"{right.value_text} of the time. A student that only imitated would agree equally often "
        "in both."
    )


def overview(results: Sequence[Results]) -> list[str]:
    """What several settings show together; each is told in full further down."""
    recovered = [pgr for each in results if (pgr := each.measured("headline", "pgr"))]
    return [_recovered_overall(recovered, len(results)), *_better_than_naive_overall(results)]


def _recovered_overall(recovered: Sequence[Measured], settings: int) -> str:
    if not recovered:
        return (
            f"In none of {settings} settings is the ceiling clearly above the supervisor, so no "
            "performance gap recovered (PGR) is given."
        )
    ordered = sorted(recovered, key=lambda pgr: pgr.value)
    ends = dict.fromkeys(pgr.value_text for pgr in (ordered[0], ordered[-1]))
    part = f"from {' to '.join(ends)}" if len(ends) > 1 else next(iter(ends))
    none = settings - len(recovered)
    rest = f" No PGR is given in the other {'one' if none == 1 else none}." if none else ""
    return (
        f"In {len(recovered)} of {settings} settings, the ceiling is clearly above the supervisor. "
        f"There the headline method, chosen without ground truth, recovers {part} of that gap (the "
        f"performance gap recovered, PGR).{rest}"
    )


def _better_than_naive_overall(results: Sequence[Results]) -> list[str]:
    stands = [
        headline.stands(naive)
        for each in results
        if (headline := each.measured("headline")) and (naive := each.measured("naive"))
    ]
    if not stands:
        return []
    above, below, overlap = (stands.count(side) for side in ("above", "below", "overlap"))
    return [
        "The headline method's interval lies wholly above that of naive training on the same "
        f"labels in {above} of {counted(len(stands), 'setting')}, and wholly below it in {below}; "
        f"in {overlap} the two overlap."
    ]
