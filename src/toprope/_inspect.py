"""What Inspect imports to learn of toprope's model provider; it loads nothing heavy by itself."""

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="toprope")
def toprope() -> type[ModelAPI]:
    """`toprope/NAME`, a model in this process: see `toprope.models.provider`."""
    from toprope.models.provider import LocalModelAPI

    return LocalModelAPI
