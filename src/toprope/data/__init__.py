"""Datasets: a name -> labelled prompts in groups, split so that no group is on two sides."""

from toprope.data.examples import Dataset, Example, Provenance
from toprope.data.sources import load
from toprope.data.splits import Split, check_no_leak, split

__all__ = ["Dataset", "Example", "Provenance", "Split", "check_no_leak", "load", "split"]
