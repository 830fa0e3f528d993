"""`toprope/NAME` in Inspect: what a task, or a script with `get_model`, may rely on."""

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    Model,
    ModelOutput,
    get_model,
)
from inspect_ai.tool import ToolInfo

from toprope.models.generation import Request
from toprope.models.loaded import shared
from toprope.models.local import LocalModel

QUESTIONS = tuple(f"What is {i} plus {i}? Answer:" + " please" * (i % 5) for i in range(32))


@pytest.fixture
def model(tiny_folder: Path) -> Model:
    return get_model(f"toprope/{tiny_folder}", memoize=False)


@pytest.fixture
def local(tiny_folder: Path) -> LocalModel:
    """The weights that the provider uses as well."""
    return shared(str(tiny_folder))


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[Request]]:
    """The requests of every call to `LocalModel.complete`."""
    seen: list[list[Request]] = []
    complete = LocalModel.complete

    def noted(self: LocalModel, requests: list[Request], **settings: Any) -> Any:
        seen.append(list(requests))
        return complete(self, requests, **settings)

    monkeypatch.setattr(LocalModel, "complete", noted)
    return seen


def ask(model: Model, prompt: str | list[ChatMessage], **config: Any) -> ModelOutput:
    settings = GenerateConfig(**{"max_tokens": 8, "temperature": 0.0} | config)
    return asyncio.run(model.generate(prompt, config=settings))


def ask_all(model: Model, prompts: tuple[str, ...], **config: Any) -> list[ModelOutput]:
    settings = GenerateConfig(**{"max_tokens": 8, "temperature": 0.0} | config)

    async def together() -> list[ModelOutput]:
        return await asyncio.gather(*(model.generate(p, config=settings) for p in prompts))

    return asyncio.run(together())


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_an_answer_with_its_usage(model: Model, local: LocalModel) -> None:
    output = ask(model, "What is two plus two?")
    [expected] = local.generate([chat("What is two plus two?")], max_tokens=8)

    assert output.completion == expected.text
    assert output.stop_reason == "max_tokens"
    assert output.usage is not None
    assert output.usage.input_tokens == len(local.tokens(chat("What is two plus two?")))
    assert output.usage.output_tokens == 8
    assert output.usage.total_tokens == output.usage.input_tokens + 8


def test_32_concurrent_calls_are_one_batch(model: Model, batches: list[list[Request]]) -> None:
    ask_all(model, QUESTIONS)

    assert [len(batch) for batch in batches] == [32]


def test_concurrent_answers_are_those_of_single_calls(model: Model, local: LocalModel) -> None:
    together = ask_all(model, QUESTIONS)
    single = [local.generate([chat(question)], max_tokens=8)[0].text for question in QUESTIONS]

    assert [output.completion for output in together] == single


def test_each_call_of_a_batch_has_its_own_settings(model: Model, local: LocalModel) -> None:
    settings = [
        GenerateConfig(max_tokens=3, temperature=0),
        GenerateConfig(max_tokens=9, temperature=1.5, top_p=0.8, seed=4),
    ]

    async def together() -> list[ModelOutput]:
        return await asyncio.gather(*(model.generate("Hello", config=each) for each in settings))

    greedy, sampled = asyncio.run(together())
    [expected] = local.generate([chat("Hello")], max_tokens=9, temperature=1.5, top_p=0.8, seed=4)

    assert greedy.usage is not None
    assert greedy.usage.output_tokens == 3
    assert sampled.completion == expected.text


def test_a_seed_gives_the_same_answer_and_none_a_fresh_one(model: Model) -> None:
    seeded = {ask(model, "Hello", temperature=1, seed=3).completion for _ in range(3)}
    fresh = {ask(model, "Hello", temperature=1).completion for _ in range(3)}
    by_default = {ask(model, "Hello", temperature=None).completion for _ in range(3)}

    assert (len(seeded), len(fresh), len(by_default)) == (1, 3, 3)


def test_the_seed_on_record_gives_the_answer_again(model: Model, local: LocalModel) -> None:
    settings = GenerateConfig(max_tokens=8)
    result = asyncio.run(
        model.api.generate([ChatMessageUser(content="Hello")], [], "auto", settings)
    )
    assert isinstance(result, tuple)
    output, call = result
    request: dict[str, Any] = dict(call.request)
    [again] = local.generate(
        [chat("Hello")], max_tokens=8, temperature=request["temperature"], seed=request["seed"]
    )

    assert request["prompt"] == local.render(chat("Hello"))
    assert isinstance(output, ModelOutput)
    assert output.completion == again.text


def test_several_choices_are_several_samples(model: Model, local: LocalModel) -> None:
    output = ask(model, "Hello", temperature=1, seed=7, num_choices=3)
    expected = local.generate([chat("Hello")] * 3, max_tokens=8, temperature=1, seed=7)

    assert [choice.message.text for choice in output.choices] == [each.text for each in expected]
    assert output.usage is not None
    assert output.usage.input_tokens == expected[0].prompt_tokens
    assert output.usage.output_tokens == sum(len(each.tokens) for each in expected)


def test_an_assistant_message_at_the_end_begins_the_answer(model: Model, local: LocalModel) -> None:
    output = ask(
        model, [ChatMessageUser(content="Paris?"), ChatMessageAssistant(content="Answer: y")]
    )
    [expected] = local.generate([chat("Paris?")], prefill="Answer: y", max_tokens=8)

    assert output.completion == expected.text
    assert output.usage is not None
    assert output.usage.input_tokens == expected.prompt_tokens


def test_system_messages_are_read_first_and_as_one(model: Model, local: LocalModel) -> None:
    output = ask(
        model,
        [ChatMessageSystem(content="Be brief."), ChatMessageUser(content="Paris?")],
        system_message="Be kind.",
    )
    rendered = [{"role": "system", "content": "Be kind.\nBe brief."}, *chat("Paris?")]

    assert output.completion == local.generate([rendered], max_tokens=8)[0].text


def test_the_text_of_a_message_in_parts_is_read(model: Model) -> None:
    parts = [ContentText(text="Hello")]

    in_parts = ask(model, [ChatMessageUser(content=[*parts])])

    assert in_parts.completion == ask(model, "Hello").completion


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(model: Model) -> None:
    whole = ask(model, "Hello", max_tokens=20).completion
    stop = whole[5:8]

    output = ask(model, "Hello", max_tokens=20, stop_seqs=[stop, "never said"])

    assert output.completion == whole[: whole.index(stop)]
    assert output.stop_reason == "stop"


def test_the_end_token_is_a_stop(
    model: Model, local: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = local.generate([chat("Hello")], max_tokens=2)[0].tokens[1]
    monkeypatch.setattr(local.module.generation_config, "eos_token_id", second)

    output = ask(model, "Hello")

    assert output.stop_reason == "stop"
    assert output.usage is not None
    assert output.usage.output_tokens == 2


def test_the_context_is_the_limit(
    model: Model, local: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_tokens = len(local.tokens(chat("Hello")))
    monkeypatch.setattr(local.module.config, "max_position_embeddings", n_tokens + 5)
    filled = ask(model, "Hello", max_tokens=100)
    too_long = ask(model, "Hello " * 20)

    assert filled.stop_reason == too_long.stop_reason == "model_length"
    assert filled.usage is not None
    assert filled.usage.output_tokens == 5
    assert too_long.completion == ""
    assert f"context of '{model.name}' {n_tokens + 5}" in (too_long.error or "")


def check_logprobs(model: Model, local: LocalModel, prompt: str, *, tolerance: float) -> None:
    """Against one forward pass of the bare `transformers` model over prompt and answer."""
    output = ask(model, prompt, temperature=0.7, seed=1, logprobs=True, top_logprobs=3)
    [answer] = local.generate([chat(prompt)], max_tokens=8, temperature=0.7, seed=1)
    head = local.tokens(chat(prompt))
    with torch.inference_mode():
        logits_TV = local.module(torch.tensor([head + answer.tokens])).logits[0, len(head) - 1 : -1]
    expected_TV = logits_TV.float().log_softmax(-1)

    logprobs = output.choices[0].logprobs
    assert logprobs is not None
    assert [each.token for each in logprobs.content] == [
        local.tokenizer.decode([token]) for token in answer.tokens
    ]
    for given, token, expected_V in zip(logprobs.content, answer.tokens, expected_TV, strict=True):
        assert given.logprob == pytest.approx(expected_V[token].item(), abs=tolerance)
        assert given.top_logprobs is not None
        assert [top.logprob for top in given.top_logprobs] == pytest.approx(
            expected_V.topk(3).values.tolist(), abs=tolerance
        )


def test_logprobs_are_those_of_a_forward_pass(model: Model, local: LocalModel) -> None:
    check_logprobs(model, local, "What is two plus two?", tolerance=1e-4)


def test_logprobs_only_where_they_are_asked_for(model: Model) -> None:
    without, bare = ask(model, "Hello"), ask(model, "Hello", logprobs=True)

    assert without.choices[0].logprobs is None
    assert bare.choices[0].logprobs is not None
    assert {each.top_logprobs is None for each in bare.choices[0].logprobs.content} == {True}


def test_a_cancelled_call_leaves_the_next_one_its_answer(model: Model) -> None:
    async def cancel_then_ask() -> str:
        long = GenerateConfig(max_tokens=400, temperature=1)
        calls = [asyncio.create_task(model.generate("Hello", config=long)) for _ in range(4)]
        await asyncio.sleep(0.05)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        output = await model.generate("Hello", config=GenerateConfig(max_tokens=8, temperature=0))
        return output.completion

    assert asyncio.run(cancel_then_ask()) == ask(model, "Hello").completion


def test_two_models_of_one_name_share_weights_and_batches(
    tiny_folder: Path, local: LocalModel, batches: list[list[Request]]
) -> None:
    models = [
        get_model(f"toprope/{tiny_folder}", config=GenerateConfig(max_tokens=n), memoize=False)
        for n in (4, 5)
    ]

    async def together() -> list[ModelOutput]:
        return await asyncio.gather(*(each.generate("Hello") for each in models))

    asyncio.run(together())

    assert [len(batch) for batch in batches] == [2]
    assert shared(str(tiny_folder)) is local


def test_the_weights_go_when_the_model_is_closed(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toprope.models.queue.LINGER_SECONDS", 0.01)
    weights = weakref.ref(shared(str(tiny_folder)))
    with get_model(f"toprope/{tiny_folder}") as model:
        ask(model, "Hello")
        assert weights() is not None
    for thread in threading.enumerate():
        if thread.name.startswith("toprope"):
            thread.join(10)
    gc.collect()

    assert weights() is None
    with pytest.raises(PrerequisiteError, match="closed"):
        ask(model, "Hello")


def test_connections_are_a_batch_unless_the_user_says_otherwise(tiny_folder: Path) -> None:
    def connections(**config: Any) -> int | None:
        settings = GenerateConfig(**config)
        return get_model(f"toprope/{tiny_folder}", config=settings).config.max_connections

    assert connections() == 32
    assert connections(max_connections=4) == 4
    assert connections(adaptive_connections=True) is None


def test_tokens_are_counted_with_the_models_own_tokenizer(model: Model, local: LocalModel) -> None:
    text = "What is two plus two?"

    assert asyncio.run(model.api.tokenize(text)) == local.tokens(text)
    assert asyncio.run(model.api.count_text_tokens(text)) == len(local.tokens(text))


def test_a_setting_without_effect_is_said_once(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            ask(model, "Hello", top_k=5)

    [record] = [each for each in caplog.records if "top_k" in each.getMessage()]
    assert "has no effect" in record.getMessage()


# A user's mistakes: one line each.


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("smollm", {}, "unknown model 'smollm': did you mean 'smollm2-135m'?"),
        ("{folder}", {"batch_size": 4}, "unknown argument 'batch_size'"),
        ("{folder}", {"dtype": "float23"}, "unknown dtype 'float23'"),
        ("./nowhere", {}, "no model folder './nowhere'"),
    ],
)
def test_a_bad_name_or_argument(
    tiny_folder: Path, name: str, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(PrerequisiteError) as raised:
        get_model(f"toprope/{name.format(folder=tiny_folder)}", **arguments)

    assert complaint in one_line(raised.value)


@pytest.mark.parametrize(
    ("fixture", "complaint"),
    [("base_model", "has no chat template"), ("tiny_encoder", "is an encoder")],
)
def test_a_model_that_cannot_chat(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    fixture: str,
    complaint: str,
) -> None:
    unfit = request.getfixturevalue(fixture)
    monkeypatch.setattr("toprope.models.provider.shared", lambda *_, **__: unfit)

    with pytest.raises(PrerequisiteError) as raised:
        get_model("toprope/unfit", memoize=False)

    assert complaint in one_line(raised.value)


def test_what_a_model_cannot_read(model: Model, local: LocalModel) -> None:
    picture = ContentImage(image="data:image/png;base64,iVBORw0KGgo=")
    tool = ToolInfo(name="calculator", description="It calculates.")
    refuse = "{{ raise_exception('no system messages') }}"
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: ask(model, [ChatMessageUser(content=[picture])]), "text only: take the image"),
        (lambda: asyncio.run(model.generate("Hello", tools=[tool])), "doesn't support tools"),
    ]
    for call, complaint in calls:
        with pytest.raises(PrerequisiteError) as raised:
            call()
        assert complaint in one_line(raised.value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.tokenizer, "chat_template", refuse)
        with pytest.raises(PrerequisiteError) as raised:
            ask(model, "Hello")
    assert "refuses these messages: no system messages" in one_line(raised.value)


def test_the_entry_point_loads_nothing_heavy() -> None:
    """Inspect imports it at the start of every command, whatever the model."""
    code = "import sys, toprope._inspect; print({'torch', 'transformers'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "set()"


# The same with a real model.

TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin"}


@task
def capitals():
    samples = [Sample(f"What is the capital of {a}?", target=b) for a, b in CAPITALS.items()]
    return Task(samples, solver=generate(), scorer=includes())
"""


def inspect_eval(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "capitals.py").write_text(TASK, encoding="utf-8")
    command = str(Path(sys.executable).with_name("inspect"))
    return subprocess.run(
        [command, "eval", "capitals.py", "--display", "plain", "--log-format", "json", *options],
        cwd=folder,
        env=os.environ | {"INSPECT_LOG_DIR": "logs"},
        capture_output=True,
        text=True,
    )


@pytest.mark.model
def test_inspect_eval_from_the_shell(tmp_path: Path, smollm: LocalModel) -> None:
    run = inspect_eval(
        tmp_path, "--model", "toprope/smollm2-135m", "--temperature", "0", "--max-tokens", "12"
    )
    assert run.returncode == 0, run.stdout + run.stderr
    [path] = (tmp_path / "logs").glob("*.json")
    log = json.loads(path.read_text(encoding="utf-8"))

    questions = [chat(sample["input"]) for sample in log["samples"]]
    expected = [answer.text for answer in smollm.generate(questions, max_tokens=12)]

    assert log["status"] == "success"
    assert [sample["output"]["completion"] for sample in log["samples"]] == expected
    assert len(expected) == 4
    assert log["stats"]["model_usage"]["toprope/smollm2-135m"]["output_tokens"] > 0


@pytest.mark.model
@pytest.mark.usefixtures("smollm")
def test_inspect_eval_of_a_bad_name_is_one_line(tmp_path: Path) -> None:
    run = inspect_eval(tmp_path, "--model", "toprope/smollm")

    assert run.returncode != 0
    assert "unknown model 'smollm': did you mean 'smollm2-135m'?" in " ".join(run.stdout.split())
    assert "Traceback" not in run.stdout + run.stderr


@pytest.fixture
def real_model(smollm: LocalModel, monkeypatch: pytest.MonkeyPatch) -> Model:
    """smollm2-135m by the provider, over the weights that other tests have loaded already."""
    monkeypatch.setattr("toprope.models.provider.shared", lambda *_, **__: smollm)
    return get_model("toprope/smollm2-135m", memoize=False)


@pytest.mark.model
def test_real_answers_in_one_batch_are_those_of_single_calls(
    real_model: Model, smollm: LocalModel, batches: list[list[Request]]
) -> None:
    together = ask_all(real_model, QUESTIONS, max_tokens=6)
    assert [len(batch) for batch in batches] == [32]

    some = range(0, 32, 5)  # of each length of prompt, and so of padding
    single = [smollm.generate([chat(QUESTIONS[i])], max_tokens=6)[0].text for i in some]
    assert [together[i].completion for i in some] == single


@pytest.mark.model
def test_real_logprobs_are_those_of_a_forward_pass(real_model: Model, smollm: LocalModel) -> None:
    check_logprobs(real_model, smollm, "What is the capital of France?", tolerance=1e-3)


@pytest.mark.model
def test_a_real_lone_call_costs_at_most_20_ms_more_than_its_generation(
    real_model: Model, smollm: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of five, so that a busy machine doesn't count against us."""
    generating: list[float] = []
    complete = LocalModel.complete

    def timed(self: LocalModel, requests: list[Request], **settings: Any) -> Any:
        began = time.perf_counter()
        answers = complete(self, requests, **settings)
        generating.append(time.perf_counter() - began)
        return answers

    monkeypatch.setattr(LocalModel, "complete", timed)
    config = GenerateConfig(max_tokens=2, temperature=0)

    async def extra() -> float:
        began = time.perf_counter()
        await real_model.generate("Say hello", config=config)
        return time.perf_counter() - began - generating[-1]

    async def five() -> list[float]:
        return [await extra() for _ in range(5)]

    assert min(asyncio.run(five())) < 0.02
