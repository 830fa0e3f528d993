"""A transformers model in this process: black box and white box at once, over one set of loaded
weights.

One thing at a time: a capture's hooks, or a training's, would reach into another thread's pass.
Threads that ask at once, such as a study's and the Inspect provider's, take turns.

Layers are numbered as `transformers` numbers hidden states: 0 is the embedding's output, i the
output of block i (1 .. n_layers), before the final norm. What is asked of one item depends on what
else is in its batch no more than rounding does (`placement` says how much that is).

Decoding is in `generation.py`, scoring in `options.py`, capture in `activations.py`, fine-tuning in
`finetune.py` and `preferences.py`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jinja2 import TemplateError
from torch import Tensor, nn

from toprope.errors import UserError
from toprope.models import activations, finetune, generation
from toprope.models.adapters import Adapter, Lora
from toprope.models.hooks import changed
from toprope.models.options import option_scores
from toprope.models.placement import placement
from toprope.models.prefix_cache import PrefixCache
from toprope.progress import Progress

Message = Mapping[str, str]
Prompt = str | Sequence[Message]
"""Plain text, or chat messages: `[{"role": "user", "content": "..."}]`."""


@dataclass(eq=False)
class LocalModel:
    """Loaded weights with their tokenizer. Make one with `LocalModel.load`.

    Attributes:
        name: the name it was asked for by.
        module: the `transformers` model, in evaluation mode.
        fingerprint: SHA-256 of the weights, hex.
        tokens_read: of all that was asked so far, prompts and answers, also where `prefixes` had
            them: the cost of what was asked.
        turn: held by whoever runs the model.
        prefixes: what it read when it generated, so that it needn't read it again.
    """

    name: str
    module: Any
    tokenizer: Any
    fingerprint: str
    tokens_read: int = field(default=0, init=False)
    turn: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    prefixes: PrefixCache = field(default_factory=PrefixCache, init=False, repr=False)

    @classmethod
    def load(
        cls,
        name: str,
        *,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        progress: Progress | None = None,
    ) -> LocalModel:
        """Loads a catalog name, `hf:OWNER/NAME` or a folder.

        Args:
            device: "cpu", "cuda", ...; the default is that of `placement`.
            dtype: of the weights; likewise.

        Raises:
            UserError: the name is unknown or its weights can't be had.
        """
        from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

        from toprope.models.weights import digest, resolve

        folder = resolve(name, progress=progress)
        device, dtype = placement(device, dtype)
        with _quiet_transformers():
            config = AutoConfig.from_pretrained(folder)
            loader: Any = AutoModel if _is_encoder(config) else AutoModelForCausalLM
            module: Any = loader.from_pretrained(folder, dtype=dtype).to(device).eval()
            tokenizer = AutoTokenizer.from_pretrained(folder)
        module.requires_grad_(False)
        if head := module.get_output_embeddings():
            head.register_forward_pre_hook(_contiguous)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        # It would warn on standard error; what is too long is told where it matters.
        tokenizer.model_max_length = sys.maxsize
        return cls(name, module, tokenizer, digest(folder))

    @property
    def device(self) -> torch.device:
        return self.module.device

    @property
    def n_layers(self) -> int:
        return self.module.config.num_hidden_layers

    @property
    def d_model(self) -> int:
        return self.module.config.hidden_size

    @property
    def context(self) -> int:
        """The most tokens that the model was made to read, its own answer's included."""
        config = self.module.config.get_text_config()
        return getattr(config, "max_position_embeddings", None) or sys.maxsize

    @property
    def is_causal(self) -> bool:
        """False for an encoder (MiniLM): it has activations, and can't generate."""
        return not _is_encoder(self.module.config)

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks in order: block i-1 of the list makes layer i."""
        for part in self.module.modules():
            if isinstance(part, nn.ModuleList) and len(part) == self.n_layers:
                return part
        raise UserError(f"model '{self.name}': can't find its {self.n_layers} blocks")

    def render(self, prompt: Prompt, *, prefill: str = "") -> str:
        """The text the model reads: chat messages go through its chat template, then the answer's
        first words.

        Raises:
            UserError: messages were given, and the model has no chat template or it refuses them.
        """
        if isinstance(prompt, str):
            return prompt + prefill
        if not self.tokenizer.chat_template:
            raise UserError(
                f"model '{self.name}' has no chat template, as a base model: give it plain text, "
                "or take a model that is tuned for chat"
            )
        messages = [dict(message) for message in prompt]
        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise UserError(
                f"the chat template of '{self.name}' refuses these messages: {error}"
            ) from None
        return text + prefill

    def check_that_it_chats(self) -> None:
        """
        Raises:
            UserError: it is an encoder, or a base model.
        """
        self._needs_decoder("generate text")
        if not self.tokenizer.chat_template:
            raise UserError(
                f"model '{self.name}' has no chat template (it is a base model), and here it is "
                "talked to in chat messages: take a model that is tuned for chat"
            )

    def tokens(self, prompt: Prompt, *, prefill: str = "") -> list[int]:
        """Token ids of the rendered prompt; special tokens are added to plain text only, a template
        has its own."""
        text = self.render(prompt, prefill=prefill)
        ids = self.tokenizer(text, add_special_tokens=isinstance(prompt, str)).input_ids
        if not ids:
            raise UserError(f"model '{self.name}' was given an empty prompt: it needs a word")
        return ids

    def check_length(self, tokens: int) -> None:
        """
        Raises:
            UserError: a text of so many tokens is longer than the context.
        """
        if tokens > self.context:
            raise UserError(
                f"model '{self.name}' reads {self.context:,} tokens at most, and a text has "
                f"{tokens:,}: shorten it"
            )

    def answer_at(self, prompt: Prompt, prefill: str) -> int:
        """Where in `tokens` the answer begins: a token that has the prompt's end and the answer's
        first characters is the answer's."""
        text = self.render(prompt, prefill=prefill)
        read = self.tokenizer(
            text, add_special_tokens=isinstance(prompt, str), return_offsets_mapping=True
        )
        end = len(text) - len(prefill)
        return sum(stop <= end for _, stop in read["offset_mapping"])

    def request(self, prompt: Prompt, *, prefill: str = "", **settings: Any) -> generation.Request:
        """For the answer to a prompt.

        Args:
            settings: of `generation.Request`.
        """
        return generation.Request(
            tokens=self.tokens(prompt, prefill=prefill),
            answer_at=self.answer_at(prompt, prefill) if prefill else None,
            **settings,
        )

    def continuation(self, text: str) -> list[int]:
        """Token ids of a text that follows another, tokenised on its own."""
        ids = self.tokenizer(text, add_special_tokens=False).input_ids
        if not ids:
            raise UserError(f"{text!r} has no tokens: an option or continuation needs a character")
        return ids

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        prefill: str = "",
        top_logprobs: int | None = None,
        progress: Progress | None = None,
    ) -> list[generation.Completion]:
        """Answers, in the order of the prompts, generated in batches.

        Args:
            temperature: 0 is greedy decoding.
            top_p: nucleus sampling (Holtzman et al. 2020): the smallest set of tokens with this
                probability.
            seed: prompt i is sampled with seed + i, so that its answer doesn't depend on its batch.
            stop: strings that end an answer; they aren't part of it.
            prefill: the first words of each answer, put in the model's mouth; not part of the text
                returned.
            top_logprobs: with each token's log-probability, those of this many likeliest ones;
                None: none at all.
        """
        requests = [
            self.request(
                prompt,
                prefill=prefill,
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                seed=seed + i,
                stop=tuple(stop),
                top_logprobs=top_logprobs,
            )
            for i, prompt in enumerate(prompts)
        ]
        return self.complete(requests, progress=progress)

    def complete(
        self, requests: Sequence[generation.Request], *, progress: Progress | None = None
    ) -> list[generation.Completion]:
        """`generate` for requests that each have their own settings."""
        self._needs_decoder("generate text")
        answers: dict[int, generation.Completion] = {}
        with (progress or Progress(quiet=True)).task("generating", len(requests)) as task:
            for rows in generation.in_batches(self.module, requests):
                batch = [requests[i] for i in rows]
                with self.turn:
                    blocks = self.blocks if any(one.watch for one in batch) else None
                    done = generation.decode(
                        self.module, self.tokenizer, batch, blocks, self.prefixes
                    )
                answers |= zip(rows, done, strict=True)
                task.advance(len(rows))
        self.tokens_read += sum(a.prompt_tokens + len(a.tokens) for a in answers.values())
        return [answers[i] for i in range(len(requests))]

    def option_probs(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[str] | Sequence[Sequence[str]],
        *,
        length: Literal["sum", "mean"] = "sum",
        progress: Progress | None = None,
    ) -> np.ndarray:
        """The probability of each option as the prompt's continuation, normalised over the options.

        What prompts begin with alike is read once, and each prompt once for all of its options.

        An option's score is the sum of its tokens' log-probabilities given the prompt and the
        option's earlier tokens, so a long option pays for its length; with `length="mean"` it is
        their mean (Brown et al. 2020, section 2.4). An option is tokenised on its own: write the
        leading space that the continuation has (" yes").

        Args:
            options: the same for all prompts, or as many for each of them.

        Returns:
            [N prompts, O options], rows sum to one.
        """
        self._needs_decoder("give probabilities to next words")
        same = [one for one in options if isinstance(one, str)]
        if same:
            choices = [[self.continuation(option) for option in same]] * len(prompts)
        else:
            choices = [[self.continuation(option) for option in some] for some in options]
        heads = [self.tokens(prompt) for prompt in prompts]
        if not heads:
            return np.empty((0, len(same)))
        shown = progress or Progress(quiet=True)
        with self.turn, shown.task(f"asking {self.name}", len(heads)) as task:
            scores_NO = option_scores(
                self.module,
                self.tokenizer.pad_token_id,
                heads,
                choices,
                length=length,
                advance=task.advance,
            )
        self.tokens_read += sum(map(len, heads))
        self.tokens_read += sum(len(option) - 1 for some in choices for option in some)
        weights_NO = np.exp(scores_NO - scores_NO.max(axis=1, keepdims=True))
        return weights_NO / weights_NO.sum(axis=1, keepdims=True)

    def activations(
        self,
        texts: Sequence[Prompt],
        layers: Sequence[int],
        *,
        pool: activations.Pool = "last",
        prefills: Sequence[str] = (),
        continuations: Sequence[str] = (),
        score: bool = False,
        most_tokens: int | None = None,
        path: Path | None = None,
        budget: int = activations.TOKEN_BUDGET,
        progress: Progress | None = None,
    ) -> activations.Activations:
        """The residual stream after the given layers, from one pass that stops at the deepest of
        them.

        Args:
            layers: 0 (the embedding) to n_layers.
            pool: the last token's state, the mean over the tokens, or every token's.
            prefills: for each text, what has been answered to it so far, which is read with it.
            continuations: short texts, such as answers, that each text is read on with, from its
                cache: the states at their last tokens come with the text's own, for hardly more
                than the text alone costs.
            score: also how likely the continuations are (`Activations.scores`), as
                `option_probs` would have it from a pass of its own; the pass then runs to the end.
            most_tokens: of each text's beginning; what comes after them isn't read.
            path: a safetensors file to keep them in; without one they stay in memory, up to
                `activations.MEMORY_BYTES`, beyond which they are in a file that goes with them.
            budget: tokens in a batch, padding included.

        Raises:
            UserError: a layer the model doesn't have, or a text that is longer than its context.
        """
        tokens = [
            self.tokens(text, prefill=prefill)[:most_tokens]
            for text, prefill in zip(texts, prefills or [""] * len(texts), strict=True)
        ]
        behind = [self.continuation(text) for text in continuations]
        longest = max(map(len, tokens), default=0) + max(map(len, behind), default=0)
        self.check_length(longest)
        total = sum(map(len, tokens))
        shown = progress or Progress(quiet=True)
        with self.turn, shown.task(f"reading with {self.name}", total) as task:
            found = activations.capture(
                self,
                tokens,
                layers,
                pool,
                continuations=behind,
                score=score,
                path=path,
                budget=budget,
                advance=task.advance,
            )
        self.tokens_read += total + len(tokens) * sum(map(len, behind))
        return found

    @contextmanager
    def steer(self, layer: int, direction: Tensor | np.ndarray) -> Iterator[None]:
        """Adds `direction` [D] to the residual stream after `layer`, at every token, while the
        context is open.

        The direction's length is the strength (activation addition, Turner et al. 2023, arXiv
        2308.10248).

        Raises:
            UserError: a layer the model doesn't have, or a direction of another width.
        """
        push_D = torch.as_tensor(direction, dtype=self.module.dtype, device=self.device)
        if push_D.shape != (self.d_model,):
            raise UserError(
                f"model '{self.name}' is steered by {self.d_model} numbers, "
                f"not by {tuple(push_D.shape)}"
            )
        with changed(self, layer, lambda state_BTD: state_BTD + push_D):
            yield

    def finetune_classifier(
        self,
        texts: Sequence[Prompt],
        labels_NC: np.ndarray,
        lora: Lora | None = None,
        *,
        loss: finetune.Loss = finetune.soft_cross_entropy,
        validation: tuple[Sequence[Prompt], np.ndarray] | None = None,
        progress: Progress | None = None,
    ) -> finetune.Classifier:
        """A classifier: LoRA, and a linear head on the last token's state after the final norm.

        The model itself stays as it is, and may carry any number of adapters.

        Args:
            labels_NC: soft labels, rows sum to one.
            loss: of a whole step's logits, labels and the share of training that is done.
            validation: texts and soft labels; the weights with the least cross-entropy on them are
                kept, and training ends when it has stopped falling.

        Raises:
            UserError: the model is an encoder, has no such layers to adapt, or training diverged.
        """
        with self.turn:
            return finetune.finetune_classifier(
                self,
                texts,
                labels_NC,
                lora or Lora(),
                loss=loss,
                validation=validation,
                progress=progress,
            )

    def finetune_text(
        self,
        pairs: Sequence[tuple[Prompt, str]],
        lora: Lora | None = None,
        *,
        prefills: Sequence[str] = (),
        validation: Sequence[tuple[Prompt, str]] = (),
        progress: Progress | None = None,
    ) -> Adapter:
        """An adapter trained to answer: `with adapter.active() as model: model.generate(...)`.

        The loss is the mean over the answers' tokens, the end token after each included. The rest
        is as in `finetune_classifier`.

        Args:
            pairs: prompts, each with its answer.
            prefills: for each pair, the first words of an answer, put in the model's mouth: its
                answer goes on from there, and they aren't learned.
        """
        with self.turn:
            return finetune.finetune_text(
                self,
                pairs,
                lora or Lora(),
                prefills=prefills,
                validation=validation,
                progress=progress,
            )

    def forget(self) -> None:
        """Lets go of `prefixes`; needed where weights changed in a way that these can't see."""
        with self.turn:
            self.prefixes.clear()

    def _needs_decoder(self, what: str) -> None:
        if not self.is_causal:
            raise UserError(f"model '{self.name}' is an encoder: it can't {what}")


def _contiguous(_module: Any, args: tuple) -> tuple:
    """For the head over the vocabulary: of a slice of the states, [B, K, D] of [B, T, D], torch
    makes a batched product, and in bfloat16 on a CPU copies the weight for each item."""
    return (args[0].contiguous(), *args[1:])


def _is_encoder(config: Any) -> bool:
    return config.model_type in {"bert", "roberta", "mpnet", "distilbert", "xlm-roberta"}


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keeps the library's own bars off the screen: ours tell the progress."""
    from transformers.utils import logging

    were_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_on:
            logging.enable_progress_bar()
