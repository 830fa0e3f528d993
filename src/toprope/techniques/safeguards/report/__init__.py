"""The section of a report on safeguards."""

from toprope.techniques.safeguards.report.section import section

__all__ = ["section"]
