"""A cache goes in under the name that the installed transformers has for it."""

import warnings
from types import SimpleNamespace

from toprope.models.keys_values import as_argument
from toprope.models.local import LocalModel


def test_the_name_is_the_models_own():
    def new(input_ids, cache=None, **others): ...

    def old(input_ids, past_key_values=None, **others): ...

    assert as_argument(SimpleNamespace(forward=new), 1) == {"cache": 1}
    assert as_argument(SimpleNamespace(forward=old), 1) == {"past_key_values": 1}


def test_nothing_that_users_would_be_warned_of_is_used(tiny_model: LocalModel):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        tiny_model.generate(["The city of Lagos"], max_tokens=3)
        tiny_model.activations(["Lagos is in"], [1], continuations=[" Nigeria"], score=True)
