"""What a report shows of debates: the section on text debates, found by name from
`toprope.report.sections`. Those on self-play and on digits are `self_play` and `sparse_mnist`."""

from toprope.techniques.debate.report.kept import kept
from toprope.techniques.debate.report.section import section

__all__ = ["kept", "section"]
