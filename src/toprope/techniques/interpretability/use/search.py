"""Finding latents by their labels: those that contain the words asked for first, then those whose
label means about the same (cosine of sentence embeddings)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toprope.errors import UserError
from toprope.models.embedding import embedded, of_length_one
from toprope.models.local import LocalModel


@dataclass(frozen=True)
class Hit:
    """
    Attributes:
        contains: the label has the query's words as they stand, letters' case aside.
        similarity: cosine of the label's and the query's embeddings; None without an embedder.
    """

    latent: int
    label: str
    contains: bool
    similarity: float | None


def search(
    labels: Mapping[int, str],
    query: str,
    *,
    embedder: LocalModel | None = None,
    most: int = 20,
    least_similarity: float = 0.3,
) -> list[Hit]:
    """
    Args:
        labels: latent -> label.
        embedder: a sentence encoder (`minilm-l6`); None: by words alone.
        least_similarity: of hits that don't contain the words.

    Raises:
        UserError: an empty query, or no labels.
    """
    words = " ".join(query.split()).casefold()
    if not words:
        raise UserError("nothing to search for: give a word or a description")
    if not labels:
        raise UserError("no latent has a label: label the dictionary's latents first")
    latents = list(labels)
    similarities: list[float | None] = [None] * len(latents)
    if embedder is not None:
        vectors_ND = of_length_one(embedded(embedder, [query, *labels.values()]))
        similarities = (vectors_ND[1:] @ vectors_ND[0]).tolist()
    hits = [
        Hit(latent, labels[latent], words in labels[latent].casefold(), similarity)
        for latent, similarity in zip(latents, similarities, strict=True)
    ]
    kept = [
        hit
        for hit in hits
        if hit.contains or (hit.similarity is not None and hit.similarity >= least_similarity)
    ]
    kept.sort(key=lambda hit: (not hit.contains, -(hit.similarity or 0.0), hit.latent))
    return kept[:most]
