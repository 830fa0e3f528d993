"""A GGUF file becomes a folder that transformers loads, with the same weights, tokens and template.

The file is a one-layer llama written by the `gguf` package, whose own dequantiser says what its
tensors are.
"""

import os
import stat
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from toprope.errors import UserError
from toprope.models import cache, weights
from toprope.models.convert import convert, metadata_string
from toprope.progress import Progress

D, FF, HEADS = 64, 96, 4
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
QUIET = Progress(quiet=True)


def byte_tokens() -> list[str]:
    """The 256 characters that stand for bytes in GPT-2's byte-level BPE."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    characters = dict.fromkeys(shown, "") | {b: chr(256 + i) for i, b in enumerate(hidden)}
    return [characters[b] or chr(b) for b in range(256)]


def write_gguf(path: Path) -> dict[str, np.ndarray]:
    """Writes the model; returns its tensors as `gguf` dequantises them."""
    # the merge of two spaces is what tells SmolLM's rule from GPT-2's: see the test of the digits
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *byte_tokens(), "ĠĠ"]
    tokens += [f"<unused{i}>" for i in range(320 - len(tokens))]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(D)
    writer.add_feed_forward_length(FF)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_tokenizer_pre("smollm")
    writer.add_chat_template(TEMPLATE)
    shapes = {
        "token_embd": (len(tokens), D),
        "blk.0.attn_q": (D, D),
        "blk.0.attn_k": (D, D),
        "blk.0.attn_v": (D, D),
        "blk.0.attn_output": (D, D),
        "blk.0.ffn_gate": (FF, D),
        "blk.0.ffn_up": (FF, D),
        "blk.0.ffn_down": (D, FF),
    }
    rng = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {}
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, shape in shapes.items():
        blocks = gguf.quants.quantize(rng.normal(size=shape).astype(np.float32), kind)
        writer.add_tensor(f"{name}.weight", blocks, raw_dtype=kind)
        tensors[name] = gguf.quants.dequantize(blocks, kind)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(D, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """The converted folder, and the tensors it should have."""
    folder = tmp_path_factory.mktemp("convert")
    tensors = write_gguf(folder / "tiny.gguf")
    convert(folder / "tiny.gguf", folder / "ready", "tiny", QUIET)
    return folder / "ready", tensors


def test_the_weights_are_the_dequantised_ones_in_float32(made: tuple[Path, dict[str, np.ndarray]]):
    from safetensors.numpy import load_file

    folder, tensors = made
    kept = load_file(folder / "model.safetensors")
    assert {array.dtype for array in kept.values()} == {np.dtype("float32")}
    np.testing.assert_array_equal(kept["model.embed_tokens.weight"], tensors["token_embd"])
    np.testing.assert_array_equal(
        kept["model.layers.0.mlp.down_proj.weight"], tensors["blk.0.ffn_down"]
    )
    np.testing.assert_array_equal(
        kept["model.layers.0.self_attn.v_proj.weight"], tensors["blk.0.attn_v"]
    )


def test_the_folder_loads_as_any_other(made: tuple[Path, dict[str, np.ndarray]]):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, _ = made
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    logits = model(**tokenizer("hello", return_tensors="pt")).logits
    assert logits.shape == (1, 5, 320)
    assert torch.isfinite(logits).all()


def test_the_tokenizer_keeps_its_template_and_special_tokens(
    made: tuple[Path, dict[str, np.ndarray]],
):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made[0])
    text = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert text == "<|im_start|>hi<|im_end|>"
    assert tokenizer(text)["input_ids"][0] == 1
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 2


def test_a_digit_stands_alone_as_in_smollm2(made: tuple[Path, dict[str, np.ndarray]]):
    """Digits are cut out first, so both spaces before one make a token; GPT-2's rule gives two."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made[0])
    assert tokenizer.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]


def test_a_shared_cache_can_be_read_by_others(made: tuple[Path, dict[str, np.ndarray]]):
    modes = {stat.S_IMODE(file.stat().st_mode) for file in made[0].iterdir()}
    assert len(modes) == 1


def test_metadata_is_read_past_arrays_and_other_types(tmp_path: Path):
    write_gguf(tmp_path / "tiny.gguf")
    assert metadata_string(tmp_path / "tiny.gguf", "general.architecture") == "llama"
    assert metadata_string(tmp_path / "tiny.gguf", "tokenizer.ggml.pre") == "smollm"
    assert metadata_string(tmp_path / "tiny.gguf", "tokenizer.chat_template") == TEMPLATE
    assert metadata_string(tmp_path / "tiny.gguf", "absent") is None


def test_a_folder_with_one_gguf_is_converted_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    gguf_file = tmp_path / "mine" / "tiny.gguf"
    write_gguf(gguf_file)
    folder = weights.resolve(str(tmp_path / "mine"), progress=QUIET)
    assert folder.parent == cache.root() / "models"
    made_at = (folder / "model.safetensors").stat().st_mtime_ns

    assert weights.resolve(str(tmp_path / "mine"), progress=QUIET) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made_at
    assert gguf_file.exists()

    os.utime(gguf_file, ns=(1, 1))
    assert weights.resolve(str(tmp_path / "mine"), progress=QUIET) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns > made_at

    assert weights.remove(str(tmp_path / "mine")) > 0
    assert not folder.exists()
    assert gguf_file.exists()


@pytest.mark.parametrize("contents", [b"", b"GG", b"not a model at all", b"GGUF\x03\x00\x00"])
def test_a_file_that_is_not_gguf_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: bytes
):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.gguf").write_bytes(contents)
    with pytest.raises(UserError, match="isn't a GGUF file"):
        weights.resolve(str(tmp_path / "mine"), progress=QUIET)


def test_a_gguf_that_was_cut_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    path = tmp_path / "mine" / "a.gguf"
    write_gguf(path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(UserError, match="can't be converted"):
        weights.resolve(str(tmp_path / "mine"), progress=QUIET)
    assert not list((tmp_path / "cache").rglob("ready"))
