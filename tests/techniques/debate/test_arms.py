"""From names to games: variants, who is held against whom, and how many turns a judge reads."""

import pytest

from toprope.errors import UserError
from toprope.techniques.debate.arms import CONTROLS, KINDS, VARIANTS, Rules, arms, counterpart
from toprope.techniques.debate.casting import rating_of
from toprope.techniques.debate.protocols.best_of import BestOf, Persuasion
from toprope.techniques.debate.protocols.consultancy import Consultancy
from toprope.techniques.debate.protocols.critique_of import CritiqueOf
from toprope.techniques.debate.protocols.debate import Debate
from toprope.techniques.debate.protocols.quoting import Quoting
from toprope.techniques.debate.protocols.stage import Players
from toprope.techniques.debate.questions import Question

from .playing import Believing, debater, play
from .towers import believes, says


def test_a_name_is_a_game_with_the_settings_that_it_knows():
    rules = Rules(rounds=3, order="sequential", bets=True, each_round=True)
    debate, consultancy = arms(["open_debate", "consultancy"], rules)
    assert debate.game == Debate(3, "sequential", "open", True, True)
    assert consultancy.game == Consultancy(3, "assigned", True)
    assert [arm.is_control for arm in arms(list(CONTROLS), rules)] == [True, True]


def test_a_variant_is_the_same_game_with_other_debaters():
    plain, rater, reader = debater(says), Believing(), Believing()
    names = ["debate", "debate_best_of_4", "debate_critique_of_2", "debate_quotes_1"]
    games = arms(names, Rules())
    assert len({arm.game for arm in games}) == 1
    assert [arm.debater(plain, rater, reader) for arm in games] == [
        plain,
        BestOf(plain, Persuasion(rater), 4),
        CritiqueOf(plain, Persuasion(rater), 2),
        Quoting(plain, reader, 1),
    ]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["debat"], "unknown protocol 'debat': did you mean 'debate'"),
        (["debate_bestof_4"], "'debate_bestof_4': did you mean 'debate_best_of_4'"),
        (["critic_best_of_2"], "unknown protocol 'critic_best_of_2'"),
        (["debate", "debate"], "'debate' is there twice"),
        (["debate_best_of_1"], "the best of 1 is the protocol 'debate' itself"),
        (["debate_critique_of_0"], "give 1 critique or more"),
        (["debate_quotes_0"], "give 1 quote or more"),
        (["expert_best_of_2"], "nobody makes a speech in expert"),
    ],
)  # fmt: skip
def test_names_that_are_none(names: list[str], complaint: str):
    with pytest.raises(UserError, match=complaint):
        arms(names, Rules())


def test_an_arm_is_held_against_the_consultancy_most_like_it():
    names = ["consultancy", "open_consultancy", "consultancy_best_of_2", "debate", "open_debate"]
    found = {arm.name: arm for arm in arms([*names, "debate_best_of_2", "blind"], Rules())}

    def held(name: str, among: list[str]) -> str | None:
        other = counterpart(found[name], [found[one] for one in among])
        return other.name if other else None

    assert held("debate", names) == "consultancy"
    assert held("open_debate", names) == "open_consultancy"
    assert held("debate_best_of_2", names) == "consultancy_best_of_2"
    assert held("debate_best_of_2", ["open_consultancy", "consultancy"]) == "consultancy"
    assert held("consultancy", ["consultancy", "debate"]) is None
    assert held("debate", ["blind"]) is None


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("options", [2, 3])
def test_no_judge_reads_more_turns_than_it_is_said(name: str, options: int):
    rules = Rules(rounds=3, bets=True, depth=2, width=2)
    [arm] = arms([name], rules)
    texts = tuple(f"In {year}" for year in (1889, 1925, 1700))[:options]
    question = Question("q", "When?", texts, 0, "It was built in 1889.")
    judge, one = Believing(lambda heard: believes(heard) + (0.0,) * (options - 2)), debater(says)
    players = Players(judge, (one,), asker=one, overseer=one)
    seating = arm.game.seatings(question)[0]
    play(arm.game, seating, players, question)
    most = max(len(hearing.turns) for hearing in judge.heard)
    assert most <= arm.about.turns(rules, options)
    assert arm.about.turns(rules, options) <= most + 2, "and not many more"


def test_every_protocol_has_a_sentence_and_a_source():
    told = [(kind.about, kind.source) for kind in KINDS.values()] + list(VARIANTS.values())
    assert all(about.endswith(".") and any(map(str.isdigit, source)) for about, source in told)


def test_a_rater_judges_as_the_judge_does_where_it_can():
    assert rating_of("smollm2-135m", "answers") == "answers"
    assert rating_of("smollm2-135m", "chat") == "letters"
    assert rating_of("openai/gpt-4o", "answers") == "chat"
