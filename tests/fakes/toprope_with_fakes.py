"""`toprope` with the fake study among its own: run as a script, it's the command line."""

from toprope.cli import main
from toprope.study import STUDIES

STUDIES["fake_study"] = "fake_technique.study:FakeStudy"
main()
