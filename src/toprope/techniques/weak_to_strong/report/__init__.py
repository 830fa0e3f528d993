"""The weak-to-strong section of the report, found by name from `toprope.report.sections`."""

from toprope.techniques.weak_to_strong.report.section import section

__all__ = ["section"]
