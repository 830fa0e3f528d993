"""A dictionary's pages for people: one self-contained HTML file a latent, and an index of them.

`write_page(LatentPage(...), folder)` and `write_index(IndexPage(...), folder)`. Nothing here
measures: what isn't given isn't shown.
"""

from toprope.techniques.interpretability.pages.index import (
    IndexPage,
    IndexRow,
    index_row,
    write_index,
)
from toprope.techniques.interpretability.pages.page import (
    Group,
    Histogram,
    LatentPage,
    Neighbour,
    Recurrence,
    Score,
    Steered,
    groups_of,
    histogram_of,
    page_name,
    write_page,
)

__all__ = [
    "Group",
    "Histogram",
    "IndexPage",
    "IndexRow",
    "LatentPage",
    "Neighbour",
    "Recurrence",
    "Score",
    "Steered",
    "groups_of",
    "histogram_of",
    "index_row",
    "page_name",
    "write_index",
    "write_page",
]
