"""The red-teaming section of the report, found by name from `toprope.report.sections`."""

from toprope.techniques.redteam.report.kept import kept
from toprope.techniques.redteam.report.section import section

__all__ = ["kept", "section"]
