"""Evidence grouped by what was measured: a dataset, an overseer, a target, a configuration."""

from collections.abc import Sequence
from dataclasses import dataclass

from toprope.evidence import Evidence


@dataclass(frozen=True)
class Setting:
    """Rows that may be compared with each other, and their name among those of the report."""

    dataset: str
    overseer: str
    target: str
    config_hash: str
    name: str
    """What tells this setting from the others: "" where there is only one."""
    rows: tuple[Evidence, ...]


def by_setting(evidence: Sequence[Evidence]) -> list[Setting]:
    """The settings, in the order in which their first rows came."""
    groups: dict[tuple[str, str, str, str], list[Evidence]] = {}
    for row in evidence:
        key = (row.dataset, row.overseer, row.target, row.config_hash)
        groups.setdefault(key, []).append(row)
    several_datasets = len({key[0] for key in groups}) > 1
    several_pairs = len({key[1:3] for key in groups}) > 1
    settings = []
    for key, rows in groups.items():
        dataset, overseer, target, config_hash = key
        pair = f"{overseer} to {target}" if several_pairs else ""
        parts = [dataset if several_datasets else "", pair]
        if sum(other[:3] == key[:3] for other in groups) > 1:
            parts.append(f"configuration {config_hash[:8]}")
        settings.append(Setting(*key, name=", ".join(filter(None, parts)), rows=tuple(rows)))
    return settings


def model_title(name: str) -> str:
    """The name that a model's makers gave it, if the catalog knows it; otherwise the name as it is.

    How its weights are stored, which the catalog adds in brackets, is left out.
    """
    from toprope.models.catalog import CATALOG

    entry = CATALOG.get(name)
    return entry.title.partition(" (")[0] if entry else name
