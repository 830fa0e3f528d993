"""The loop: rung after rung, each study of a ladder run once and recorded when it has finished."""

from toprope.ladder.climb import climb
from toprope.ladder.config import LadderConfig, Rung, load_ladder, make_ladder

__all__ = ["LadderConfig", "Rung", "climb", "load_ladder", "make_ladder"]
