"""Models for tests: tiny ones with random weights and a real tokenizer, and a real small one.

The tiny ones' weights are drawn wider than a trained model starts with, so that attention is sharp,
answers differ between prompts, and an error of position or padding shows.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from toprope.errors import UserError
from toprope.progress import Progress, Task

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

LINES = (
    "The capital of France is Paris. Is this statement true? Answer: yes",
    "The city of Lagos is in Norway. Is this statement true? Answer: no",
    "Twelve plus thirty is forty-two, and nineteen minus seven is twelve.",
    "A weaker partner on the ground keeps a stronger climber safe on the rope.",
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@contextmanager
def one_thread() -> Iterator[None]:
    """Where the cores are busy, waiting for a second thread takes a hundred times as long as the
    sums of a small model; and two threads add in another order, so that what is trained on them
    isn't the same to the bit."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def smollm() -> "LocalModel":
    """SmolLM2-135M-Instruct, for tests that are marked `model`."""
    from toprope.models import weights
    from toprope.models.local import LocalModel

    try:
        weights.path("smollm2-135m")
    except UserError as error:
        pytest.skip(str(error))
    return LocalModel.load("smollm2-135m", device="cpu")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 4 blocks, width 32, grouped-query attention; a folder that transformers loads."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = _save_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=None,
    )
    _save_random(LlamaForCausalLM, config, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> "LocalModel":
    """The tiny Llama, loaded on the CPU; leave it as you found it."""
    from toprope.models.local import LocalModel

    return LocalModel.load(str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def base_model(tiny_model: "LocalModel") -> "LocalModel":
    """The tiny Llama without a chat template, as base models come."""
    tokenizer = copy.deepcopy(tiny_model.tokenizer)
    tokenizer.chat_template = None
    return replace(tiny_model, tokenizer=tokenizer)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> "LocalModel":
    """A BERT of 3 blocks, width 32: it has activations and can't generate."""
    from transformers import BertConfig, BertModel

    from toprope.models.local import LocalModel

    folder = tmp_path_factory.mktemp("tiny-bert")
    tokenizer = _save_tokenizer(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=512,
        initializer_range=0.3,
    )
    _save_random(BertModel, config, folder)
    return LocalModel.load(str(folder), device="cpu")


def _save_random(architecture: Any, config: Any, folder: Path) -> None:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        architecture(config).save_pretrained(folder)


def _save_tokenizer(folder: Path) -> Any:
    """A byte-level BPE trained on LINES, with a chat template and no padding token, as many are."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", additional_special_tokens=["<|im_start|>"]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


class CountingProgress(Progress):
    """Shows nothing; keeps the last task's total and how far it came."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.total = self.done = 0.0

    @contextmanager
    def task(self, description: str, total: float, *, unit: str = "") -> Iterator[Task]:
        self.total, self.done = total, 0.0
        yield self

    def advance(self, amount: float = 1) -> None:
        self.done += amount


@pytest.fixture
def counting_progress() -> CountingProgress:
    return CountingProgress()


@contextmanager
def passes(module: Any) -> Iterator[list[tuple[int, int]]]:
    """The shape of every pass, padding included."""
    found: list[tuple[int, int]] = []

    def look(_: object, args: object, kwargs: dict) -> None:
        found.append(tuple(kwargs["input_ids"].shape))

    handle = module.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield found
    finally:
        handle.remove()
