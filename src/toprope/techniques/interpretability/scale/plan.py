"""What a wide TopK dictionary asks of a machine: bytes, operations, communication, hours.

The arithmetic is that of the trainer in `sharded.py`, with a shard of the latents on each device. A
token costs one dense product with the encoder; decoding and all gradients touch the K active
latents only; once a step, Adam passes over every weight. The parts of a step (operations, memory
traffic, communication) are added up as if none overlapped.

Tokens follow from the width by a power law through a published run: Gao et al. 2024 (arXiv
2406.04093) trained 16 million latents on 40 billion tokens of GPT-4 activations (abstract); the
tokens to convergence grew there as width^0.65, and as width^0.60 for GPT-2 small (section 3.1).

The hours are those of the training alone at the stated rates: not of running the model that is
read, nor of what fails in that time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.selection import ROWS

FLOAT = 4
"""Bytes of a float32: weights, gradients and Adam's moments are kept in it."""

INDEX = 8
"""Bytes of an int64."""

USABLE = 0.9
"""The share of a device's memory that a plan may fill; the rest is the allocator's and the
libraries'."""


class Hardware(BaseModel):
    """A machine of like devices.

    Attributes:
        memory: bytes of a device.
        flops: operations a second that a device is stated to do in products of float32 matrices.
        bandwidth: bytes a second between a device and its memory.
        link: bytes a second that a device sends to the others.
        utilisation: the share of `flops` that a large product reaches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    devices: int = Field(ge=1)
    memory: float = Field(gt=0)
    flops: float = Field(gt=0)
    bandwidth: float = Field(gt=0)
    link: float = Field(gt=0)
    utilisation: float = Field(default=0.5, gt=0, le=1)


H100S = Hardware(
    name="8 x H100 SXM",
    devices=8,
    memory=80e9,
    flops=494.7e12,
    bandwidth=3.35e12,
    link=450e9,
)
"""By NVIDIA's data sheet: float32 multiplied as TF32, without structured sparsity; of NVLink's
900 GB/s, half go each way."""


class TokenRule(BaseModel):
    """tokens = at_tokens * (width / at_width) ** exponent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_width: float = Field(default=16e6, gt=0)
    at_tokens: float = Field(default=40e9, gt=0)
    exponent: float = 0.65

    def tokens(self, width: int) -> float:
        return self.at_tokens * (width / self.at_width) ** self.exponent


class Job(BaseModel):
    """One dictionary to be trained.

    Attributes:
        batch: tokens a step.
        rows: tokens whose pre-activations are in memory at once, as the trainer's `rows`; on a CPU
            it takes no more than the default.
        auxiliary: AuxK's K; 0 while no latent is dead.
        tokens: to train on; None: what a `TokenRule` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(ge=1)
    d_model: int = Field(ge=1)
    active: int = Field(default=64, ge=1)
    batch: int = Field(default=131_072, ge=1)
    rows: int = Field(default=ROWS, ge=1)
    auxiliary: int = Field(default=0, ge=0)
    tokens: float | None = Field(default=None, gt=0)

    @property
    def chosen(self) -> int:
        """Codes that a batch has."""
        return self.batch * (self.active + self.auxiliary)


@dataclass(frozen=True)
class Bytes:
    """What a device holds for its shard."""

    weights: float
    moments: float
    gradients: float
    activations: float

    @property
    def total(self) -> float:
        return self.weights + self.moments + self.gradients + self.activations


@dataclass(frozen=True)
class Plan:
    """What the job asks of the hardware.

    Attributes:
        dense, sparse: operations a token, over all devices.
        traffic: bytes that a device reads from and writes to its memory in a step.
        sent: bytes that a device sends to the others in a step.
        least_devices: the fewest of these devices whose shards fit; None if no number's do.
        measured: tokens a second, where they are known; else they follow from the hardware.
    """

    job: Job
    hardware: Hardware
    tokens: float
    held: Bytes
    dense: float
    sparse: float
    traffic: float
    sent: float
    least_devices: int | None
    measured: float | None = None

    @property
    def fits(self) -> bool:
        return self.held.total <= USABLE * self.hardware.memory

    @property
    def operating_seconds(self) -> float:
        """Of a step, as the two below."""
        operations = self.job.batch * (self.dense + self.sparse) / self.hardware.devices
        return operations / (self.hardware.flops * self.hardware.utilisation)

    @property
    def traffic_seconds(self) -> float:
        return self.traffic / self.hardware.bandwidth

    @property
    def sending_seconds(self) -> float:
        return self.sent / self.hardware.link

    @property
    def throughput(self) -> float:
        """Tokens a second."""
        step = self.operating_seconds + self.traffic_seconds + self.sending_seconds
        return self.measured or self.job.batch / step

    @property
    def seconds(self) -> float:
        """Of the whole training."""
        return self.tokens / self.throughput

    @property
    def captured(self) -> float:
        """Bytes of the activations, if they are all kept as int8 with a scale a row."""
        return self.tokens * (self.job.d_model + 2)


def plan(
    job: Job,
    hardware: Hardware,
    *,
    rule: TokenRule | None = None,
    measured: float | None = None,
) -> Plan:
    """The arithmetic of one job on one machine.

    Args:
        measured: tokens a second that the machine was seen to reach.

    Raises:
        UserError: a shard has fewer latents than are to be active.
    """
    if job.width // hardware.devices < job.active:
        raise UserError(
            f"{job.width:,} latents over {hardware.devices:,} devices leave one with fewer than "
            f"the {job.active:,} active ones: plan for fewer devices"
        )
    dense, sparse = operations_per_token(job)
    return Plan(
        job=job,
        hardware=hardware,
        tokens=job.tokens or (rule or TokenRule()).tokens(job.width),
        held=bytes_per_device(job, hardware.devices),
        dense=dense,
        sparse=sparse,
        traffic=traffic_per_step(job, hardware.devices),
        sent=sent_per_step(job, hardware.devices),
        least_devices=least_devices(job, hardware.memory),
        measured=measured,
    )


def parameters(width: int, d_model: int) -> int:
    """An encoder and a decoder row and a bias for each latent, and the decoder's bias."""
    return width * (2 * d_model + 1) + d_model


def operations_per_token(job: Job) -> tuple[float, float]:
    """(dense, sparse); a multiplication and an addition are two.

    Dense is the encoder's product. Sparse is one product or sum with a row for each active latent:
    in decoding, and for the gradients of its activation, its decoder row and its encoder row.
    """
    return 2 * job.width * job.d_model, 4 * 2 * (job.active + job.auxiliary) * job.d_model


def bytes_per_device(job: Job, devices: int) -> Bytes:
    """Of one shard, at the widest moment of a step.

    Activations are the pre-activations of `rows` tokens, a counter a latent, six tensors of the
    batch's size (the rows, centred, reconstructed, their error and its two gradients), and for each
    code four numbers and five indices (those by row, by latent, and the sort between them).
    """
    latents = math.ceil(job.width / devices)
    numbers = parameters(latents, job.d_model) * FLOAT
    return Bytes(
        weights=numbers,
        moments=2 * numbers,
        gradients=numbers,
        activations=min(job.rows, job.batch) * latents * FLOAT
        + latents * INDEX
        + 6 * job.batch * job.d_model * FLOAT
        + job.chosen * (4 * FLOAT + 5 * INDEX),
    )


def traffic_per_step(job: Job, devices: int) -> float:
    """Bytes to and from a device's memory, as if its caches held nothing.

    The encoder is read for each `rows` tokens; pre-activations are written and read; gradients are
    written, and read and written where they are clipped; Adam reads them, and reads and writes
    weights and moments; the decoder is read and written as its rows go back to unit norm; four rows
    are read or added to for each code.
    """
    latents = math.ceil(job.width / devices)
    numbers = parameters(latents, job.d_model) * FLOAT
    matrix = latents * job.d_model * FLOAT
    encoder = math.ceil(job.batch / job.rows) * matrix
    scores = 2 * job.batch * latents * FLOAT
    gradients = (1 + 2 + 1) * numbers
    adam = (2 + 4) * numbers
    codes = 4 * job.chosen / devices * job.d_model * FLOAT
    return encoder + scores + gradients + adam + 2 * matrix + codes


def sent_per_step(job: Job, devices: int) -> float:
    """Bytes a device sends: of each token its K largest values, from which all find the K largest
    of all, to each other device; and for the sum of the reconstructions, in a ring, twice
    (n - 1) / n of it. AuxK does both once more."""
    others = devices - 1
    sums = (2 if job.auxiliary else 1) * 2 * job.batch * job.d_model * FLOAT
    return job.chosen * FLOAT * others + sums * others / devices


def least_devices(job: Job, memory: float) -> int | None:
    """The fewest devices of that memory whose shards fit; None if the batch alone doesn't."""

    def fits(devices: int) -> bool:
        return bytes_per_device(job, devices).total <= USABLE * memory

    low, high = 1, max(1, job.width // job.active)
    if not fits(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low
