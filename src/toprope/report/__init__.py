"""Evidence -> one HTML file that a person can read.

`build_report(run_folder)` writes a run's `report.html`. A technique that wants its own words there
builds a `page.Section` from its evidence (see `sections`), with figures from `figures`.
"""

from toprope.report.build import build_report

__all__ = ["build_report"]
