"""toprope: AI-assisted alignment, measured.

A weaker or more trusted model (the overseer) labels, attacks, explains, judges and audits a
stronger one (the target). Importing this package loads nothing heavy; see `toprope --help` for the
commands.
"""

__version__ = "0.1.0"
