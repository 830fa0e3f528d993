"""The section of a report on interpretability."""

from toprope.techniques.interpretability.report.section import section

__all__ = ["section"]
