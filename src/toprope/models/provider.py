"""A LocalModel as an Inspect provider: `toprope/NAME` (a catalog name, `hf:OWNER/NAME`, a folder).

Concurrent calls are answered in batches (see `queue.py`), over the same weights as everything else
in this process (see `loaded.py`). An assistant message at the end of the input is the beginning of
the answer, which goes on from there.

Text only: no tools, no images. A model needs a chat template, since Inspect talks in chat messages.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from typing import Any

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    GenerateConfig,
    Logprob,
    Logprobs,
    ModelAPI,
    ModelCall,
    ModelOutput,
    ModelUsage,
    StopReason,
    TopLogprob,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from toprope.errors import UserError, unknown
from toprope.models.generation import Completion, Request
from toprope.models.loaded import shared
from toprope.models.local import LocalModel, Message
from toprope.models.placement import dtype_named
from toprope.models.queue import BatchQueue

MAX_CONNECTIONS = 32
"""Calls in flight unless `--max-connections` says otherwise: the size of a batch."""

MAX_TOKENS = 512
"""Of an answer, unless `--max-tokens` says otherwise."""

UNSUPPORTED = (
    "best_of",
    "frequency_penalty",
    "logit_bias",
    "presence_penalty",
    "prompt_logprobs",
    "response_schema",
    "top_k",
)
"""Settings that would change an answer and can't be followed here: a warning says so, once."""

READABLE = {"text", "reasoning"}
"""Parts of a message that are read; earlier reasoning is skipped, as chat templates do."""

log = logging.getLogger(__name__)


class LocalModelAPI(ModelAPI):
    """Made by `get_model("toprope/NAME")` and `inspect eval --model toprope/NAME`.

    Args:
        config: gets `MAX_CONNECTIONS` if it says nothing of connections. Inspect would begin with
            20 and feel its way up, which is for a served model that can be overloaded; and it asks
            a provider for its own number only when that is switched off.
        device: "cpu", "cuda", ... (`-M device=cuda`); the GPU where there is one.
        dtype: of the weights (`-M dtype=bfloat16`); see `placement`.
        local: a model that is loaded already; without one, that of the name.

    Raises:
        PrerequisiteError: a user's mistake, in one line: an unknown name or argument, a base model.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        device: str | None = None,
        dtype: str | None = None,
        local: LocalModel | None = None,
        **others: Any,
    ) -> None:
        config = config or GenerateConfig()
        super().__init__(model_name, base_url, api_key, [], config)
        if config.max_connections is None and config.adaptive_connections is None:
            config.max_connections = MAX_CONNECTIONS
        try:
            _check_arguments(model_name, others)
            local = local or shared(model_name, device=device, dtype=dtype_named(dtype))
            local.check_that_it_chats()
        except UserError as error:
            raise PrerequisiteError(str(error)) from None
        self._queue: BatchQueue | None = BatchQueue.of(local)
        self._fingerprint = local.fingerprint
        self._warned: set[str] = set()

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> tuple[ModelOutput, ModelCall]:
        """Answers a conversation, `num_choices` times over, with a record of the text it read.

        Sampled at temperature 1 unless `config` says otherwise, as served models are. Without a
        seed each answer has a fresh one; with one, choice i is sampled with seed + i.

        Raises:
            PrerequisiteError: tools, images, or messages that the model's chat template refuses.
        """
        queue = self._open_queue()
        self._warn_of_unsupported(config)
        try:
            tokens = _tokens(queue.model, input, tools)
        except UserError as error:
            raise PrerequisiteError(str(error)) from None

        context = queue.model.context
        room = context - len(tokens)
        if room <= 0:
            return _too_long(self.model_name, len(tokens), context)
        requests = _requests(tokens, config, room)
        completions = await queue.complete(requests)
        output = ModelOutput(
            model=self.model_name,
            choices=[
                _choice(completion, self.model_name, full=request.max_tokens == room)
                for request, completion in zip(requests, completions, strict=True)
            ],
            usage=_usage(completions),
        )
        return output, _call(queue.model.tokenizer.decode(tokens), requests, completions)

    async def tokenize(self, text: str) -> list[int]:
        return self._open_queue().model.tokenizer(text, add_special_tokens=False).input_ids

    async def count_text_tokens(self, text: str) -> int:
        return len(await self.tokenize(text))

    def close(self) -> None:
        self._queue = None

    def max_tokens(self) -> int:
        return MAX_TOKENS

    def max_connections(self) -> int:
        return MAX_CONNECTIONS

    def connection_key(self) -> str:
        return self._fingerprint

    def collapse_user_messages(self) -> bool:
        return True  # many chat templates want the roles to take turns

    def collapse_assistant_messages(self) -> bool:
        return True

    def collapse_system_messages(self) -> bool:
        return True

    def _open_queue(self) -> BatchQueue:
        if self._queue is None:
            raise PrerequisiteError(f"toprope/{self.model_name} is closed: ask get_model() for it")
        return self._queue

    def _warn_of_unsupported(self, config: GenerateConfig) -> None:
        for name in UNSUPPORTED:
            if getattr(config, name) is not None and name not in self._warned:
                self._warned.add(name)
                log.warning(
                    "toprope/%s does not support %s: it has no effect", self.model_name, name
                )


def _check_arguments(model_name: str, others: dict[str, Any]) -> None:
    where = f"the arguments of toprope/{model_name}"
    for name in others:
        raise unknown("argument", name, ("device", "dtype"), where=where)


def _tokens(
    local: LocalModel, messages: Sequence[ChatMessage], tools: Sequence[ToolInfo]
) -> list[int]:
    """What the model reads: the conversation, and the beginning of its answer if there is one."""
    if tools or any(_uses_tools(message) for message in messages):
        raise UserError(f"toprope/{local.name} doesn't support tools: take them out of the task")
    for kind in sorted({kind for message in messages for kind in _kinds(message)} - READABLE):
        raise UserError(f"toprope/{local.name} reads text only: take the {kind} out of the task")

    prefill = ""
    if isinstance(messages[-1], ChatMessageAssistant):
        prefill, messages = messages[-1].text, messages[:-1]
    chat: list[Message] = [{"role": message.role, "content": message.text} for message in messages]
    return local.tokens(chat, prefill=prefill)


def _uses_tools(message: ChatMessage) -> bool:
    return isinstance(message, ChatMessageTool) or bool(getattr(message, "tool_calls", None))


def _kinds(message: ChatMessage) -> set[str]:
    return set() if isinstance(message.content, str) else {part.type for part in message.content}


def _requests(tokens: list[int], config: GenerateConfig, room: int) -> list[Request]:
    """One for each choice; none goes over the `room` that is left in the model's context."""
    seed = secrets.randbits(32) if config.seed is None else config.seed
    wants_logprobs = config.logprobs or config.top_logprobs is not None
    return [
        Request(
            tokens=tokens,
            max_tokens=min(config.max_tokens or MAX_TOKENS, room),
            temperature=1.0 if config.temperature is None else config.temperature,
            top_p=1.0 if config.top_p is None else config.top_p,
            seed=seed + i,
            stop=tuple(config.stop_seqs or ()),
            top_logprobs=(config.top_logprobs or 0) if wants_logprobs else None,
        )
        for i in range(config.num_choices or 1)
    ]


def _choice(completion: Completion, model_name: str, *, full: bool) -> ChatCompletionChoice:
    """`full`: an answer cut for its length has filled the model's context."""
    reason: StopReason = "stop"
    if completion.stopped == "flagged":
        reason = "content_filter"
    if completion.stopped == "length":
        reason = "model_length" if full else "max_tokens"
    return ChatCompletionChoice(
        message=ChatMessageAssistant(content=completion.text, model=model_name, source="generate"),
        stop_reason=reason,
        logprobs=_logprobs(completion),
    )


def _logprobs(completion: Completion) -> Logprobs | None:
    """One for each token generated, those of the end token and of a stop string included."""
    if completion.logprobs is None:
        return None
    return Logprobs(
        content=[
            Logprob(
                token=token.token,
                logprob=token.logprob,
                top_logprobs=[TopLogprob(token=text, logprob=value) for text, value in token.top]
                or None,
            )
            for token in completion.logprobs
        ]
    )


def _usage(completions: Sequence[Completion]) -> ModelUsage:
    """The prompt counts once, however many choices were made of it, as served models count it."""
    read, written = completions[0].prompt_tokens, sum(len(each.tokens) for each in completions)
    return ModelUsage(input_tokens=read, output_tokens=written, total_tokens=read + written)


def _call(text: str, requests: Sequence[Request], completions: Sequence[Completion]) -> ModelCall:
    """For Inspect's record: all that it takes to have the same answers again."""
    first = requests[0]
    return ModelCall.create(
        request={
            "prompt": text,
            "max_tokens": first.max_tokens,
            "temperature": first.temperature,
            "top_p": first.top_p,
            "seed": first.seed,
            "stop": list(first.stop),
            "top_logprobs": first.top_logprobs,
            "num_choices": len(requests),
        },
        response={
            "choices": [{"text": each.text, "stopped": each.stopped} for each in completions]
        },
    )


def _too_long(model_name: str, n_tokens: int, context: int) -> tuple[ModelOutput, ModelCall]:
    error = f"the prompt has {n_tokens} tokens, and the context of '{model_name}' {context}"
    output = ModelOutput.from_content(model_name, "", stop_reason="model_length", error=error)
    return output, ModelCall.create(request={"tokens": n_tokens}, response={"error": error})
