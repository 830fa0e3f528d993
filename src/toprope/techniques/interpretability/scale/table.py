"""Plans side by side, for people."""

from collections.abc import Callable, Sequence

from toprope.techniques.interpretability.scale.plan import Plan, parameters

ROWS: tuple[tuple[str, Callable[[Plan], str]], ...] = (
    ("hardware", lambda p: p.hardware.name),
    ("latents", lambda p: f"{p.job.width:,}"),
    ("channels", lambda p: f"{p.job.d_model:,}"),
    ("active latents", lambda p: f"{p.job.active:,}"),
    ("tokens a step", lambda p: f"{p.job.batch:,}"),
    ("tokens", lambda p: f"{p.tokens:.3g}"),
    ("parameters", lambda p: f"{parameters(p.job.width, p.job.d_model):.3g}"),
    ("shards", lambda p: f"{p.hardware.devices:,}"),
    ("GB a device", lambda p: gigabytes(p.held.total)),
    ("- weights", lambda p: gigabytes(p.held.weights)),
    ("- Adam's moments", lambda p: gigabytes(p.held.moments)),
    ("- gradients", lambda p: gigabytes(p.held.gradients)),
    ("- activations", lambda p: gigabytes(p.held.activations)),
    ("fits", lambda p: "yes" if p.fits else "no"),
    ("fewest devices", lambda p: f"{p.least_devices:,}" if p.least_devices else "none"),
    ("operations a token, dense", lambda p: f"{p.dense:.3g}"),
    ("operations a token, sparse", lambda p: f"{p.sparse:.3g}"),
    ("GB to and from memory a step", lambda p: gigabytes(p.traffic)),
    ("GB sent a step", lambda p: gigabytes(p.sent)),
    ("seconds a step, operations", lambda p: f"{p.operating_seconds:.3g}"),
    ("seconds a step, memory", lambda p: f"{p.traffic_seconds:.3g}"),
    ("seconds a step, sending", lambda p: f"{p.sending_seconds:.3g}"),
    ("tokens a second", lambda p: f"{p.throughput:,.0f}" + (" (measured)" if p.measured else "")),
    ("hours", lambda p: f"{p.seconds / 3600:,.1f}"),
    ("device hours", lambda p: f"{p.hardware.devices * p.seconds / 3600:,.1f}"),
    ("TB of activations, if kept", lambda p: f"{p.captured / 1e12:,.2f}"),
)


def table(plans: Sequence[Plan]) -> str:
    """A column for each plan, as Markdown."""
    lines = ["| |" + " |" * len(plans), "|--|" + "--|" * len(plans)]
    lines += [f"| {name} | " + " | ".join(map(show, plans)) + " |" for name, show in ROWS]
    return "\n".join(lines)


def gigabytes(size: float) -> str:
    return f"{size / 1e9:,.2f}"
