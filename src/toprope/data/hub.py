"""Rows of a Hugging Face dataset, on the hub or in a local folder, through `datasets`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toprope.data.rows import Row
from toprope.errors import UserError


@dataclass(frozen=True, slots=True)
class HubRows:
    """The rows of one split, the library's fingerprint of it, and the columns' class names."""

    rows: list[Row]
    fingerprint: str
    class_names: Mapping[str, tuple[str, ...]]


def read_hub(
    name: str, *, split: str = "train", config: str | None = None, revision: str | None = None
) -> HubRows:
    """All rows of one split, with class columns as their names.

    Args:
        name: OWNER/NAME on the hub, or a local folder that `datasets` understands.
        config: the dataset's configuration ("subset" on the hub), where it has several.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: `datasets` isn't installed; no such dataset, split or configuration; no network.
    """
    datasets = _library()
    from datasets.exceptions import DatasetsError

    try:
        table = datasets.load_dataset(name, config, split=split, revision=revision)
    except (ValueError, OSError, DatasetsError) as error:
        # The library's messages run over many lines; the first says what failed.
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "; without a network, use file:PATH" if isinstance(error, ConnectionError) else ""
        raise UserError(f"hf:{name} (split '{split}'): {said}{hint}") from None
    class_names = {
        column: tuple(feature.names)
        for column, feature in table.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    shown = f"hf:{name}[{split}]"
    rows = [
        Row(shown, number, "row", _named(record, class_names))
        for number, record in enumerate(table, start=1)
    ]
    return HubRows(rows, table._fingerprint, class_names)


def _library():
    try:
        import datasets
    except ImportError:
        raise UserError(
            "hf: datasets need the `datasets` package: pip install 'toprope[hub]'"
        ) from None
    return datasets


def _named(record: Any, class_names: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Class numbers as names; -1, the hub's mark for a withheld label, becomes empty."""
    named = dict(record)
    for column, names in class_names.items():
        number = named[column]
        named[column] = names[number] if number is not None and number >= 0 else ""
    return named
