"""DPO: a pair's prompt read once and the reference asked once, beside TRL's trainer.

Both train a new adapter of the same shape on the same pairs, in the same precision, with as many
steps; TRL's trainer has what it takes to do so, and is otherwise as it comes. The pairs are
sentences of generated passages: the one that proves the answer before one that misleads.

    pip install 'trl>=1.0'
    OMP_NUM_THREADS=1 python benchmarks/dpo.py --model smollm2-135m --out dpo.json
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from timing import interleaved, machine, ratios_to_the_first
from toprope.models.adapters import Adapter, Lora, twin
from toprope.models.local import LocalModel
from toprope.models.preferences import Dpo, Preference, finetune_preferences
from toprope.techniques.debate.passages.generate import PassageSettings, passages

ASKED = "{passage}\n\nQuestion: {question}\nQuote the sentence of the passage that bears on it."

BATCH = 4
"""Pairs of a step."""


@click.command()
@click.option("--model", default="smollm2-135m", show_default=True)
@click.option("--words", default=200, show_default=True, help="Of a passage.")
@click.option("--pairs", default=8, show_default=True, help="That a round trains on, once.")
@click.option("--rounds", default=6, show_default=True, help="An interval takes 6 or more.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for the figures.")
def main(model: str, words: int, pairs: int, rounds: int, out: Path | None) -> None:
    if pairs % BATCH:
        raise click.UsageError(f"--pairs {pairs} is no multiple of {BATCH}, the pairs of a step")
    base = LocalModel.load(model)
    some = preferences(words, pairs)
    dpo = Dpo(lora=Lora(rank=16, alpha=32, learning_rate=5e-5, batch_size=BATCH, epochs=1))
    losses: dict[str, list[float]] = {}

    def ours() -> float:
        losses["ours"] = list(finetune_preferences(base, some, dpo)[1].losses)
        return len(some)

    def theirs() -> float:
        losses["trl"] = by_trl(base, some, dpo)
        return len(some)

    rates = interleaved({"ours": ours, "trl": theirs}, rounds, "pairs")
    ratio = ratios_to_the_first(rates)[0]
    result = {
        "machine": machine(),
        "trl": version("trl"),
        "peft": version("peft"),
        "settings": {"model": model, "words": words, "pairs": pairs},
        "pairs_per_second": {name: float(np.median(each)) for name, each in rates.items()},
        "ratio": asdict(ratio),
        "losses": losses,
    }
    click.echo(f"pairs a second, toprope over TRL: {ratio}")
    click.echo(f"losses: {losses}")
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def preferences(words: int, n: int) -> list[Preference]:
    found = []
    some = passages(PassageSettings(size=n, words=words, difficulty=(1,)))
    for question in some.questions:
        about = some.about[question.id]
        prompt = ASKED.format(passage=question.passage, question=question.text)
        asked = ({"role": "user", "content": prompt},)
        found.append(Preference(asked, about["proof"][0], about["misleading"][0]))
    return found


def by_trl(base: LocalModel, pairs: Sequence[Preference], dpo: Dpo) -> list[float]:
    """The losses of its steps."""
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig  # pyright: ignore
    from trl.trainer.dpo_trainer import DPOTrainer  # pyright: ignore

    lora = dpo.lora
    with TemporaryDirectory() as scratch:
        config = DPOConfig(
            output_dir=scratch,
            beta=dpo.beta,
            max_length=None,
            max_steps=math.ceil(len(pairs) / lora.batch_size),
            per_device_train_batch_size=1,
            gradient_accumulation_steps=lora.batch_size,
            gradient_checkpointing=False,
            learning_rate=lora.learning_rate,
            max_grad_norm=lora.max_grad_norm,
            bf16=False,
            use_cpu=base.device.type == "cpu",
            dataloader_pin_memory=False,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = DPOTrainer(
            twin(base.module),
            args=config,
            train_dataset=Dataset.from_list([as_row(one) for one in pairs]),
            processing_class=base.tokenizer,
            peft_config=copy.deepcopy(Adapter.on(base, lora).peft),
        )
        trainer.train()
    return [each["loss"] for each in trainer.state.log_history if "loss" in each]


def as_row(one: Preference) -> dict[str, Any]:
    assert not isinstance(one.prompt, str)
    return {
        "prompt": [dict(message) for message in one.prompt],
        "chosen": [{"role": "assistant", "content": one.chosen}],
        "rejected": [{"role": "assistant", "content": one.rejected}],
    }


if __name__ == "__main__":
    main()
