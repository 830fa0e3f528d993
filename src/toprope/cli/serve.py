"""`toprope serve model`: servers on this machine."""

import click

from toprope.cli.group import Group
from toprope.cli.options import device, dtype, quiet
from toprope.progress import Progress


@click.group(cls=Group)
def serve() -> None:
    """Serve a local model to programs that speak OpenAI's API.

    \b
    toprope serve model qwen2.5-coder-0.5b --port 8000
    """


@serve.command()
@click.argument("name", metavar="MODEL")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port; 0: any that is free.",
)
@device
@dtype
@quiet
def model(
    name: str, host: str, port: int, device: str | None, dtype: str | None, quiet: bool
) -> None:
    """Serve a local model at http://HOST:PORT/v1.

    MODEL is one of 'toprope models list', hf:OWNER/NAME, or a folder. Whoever reaches the address
    may use it: it has no key. Calls that come together are answered in one batch.

    \b
    toprope serve model qwen2.5-coder-0.5b
    toprope redteam --target openai-api/local/qwen2.5-coder-0.5b
      (with LOCAL_BASE_URL=http://127.0.0.1:8000/v1 and LOCAL_API_KEY=none in the environment)
    """
    from toprope.models.loaded import shared
    from toprope.models.placement import dtype_named
    from toprope.serve.model import application
    from toprope.serve.run import run

    local = shared(name, device=device, dtype=dtype_named(dtype), progress=Progress(quiet=quiet))
    local.check_that_it_chats()
    run(application(local), host, port, what=name, quiet=quiet)
