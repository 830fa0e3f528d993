"""The fake study, for all tests here."""

from ..fake_studies import fake_study  # noqa: F401
