"""`toprope serve model | guard`: servers on this machine."""

from pathlib import Path
from typing import Any

import click

from toprope.cli.group import Group
from toprope.cli.options import device, dtype, quiet
from toprope.progress import Progress


@click.group(cls=Group)
def serve() -> None:
    """Serve a local model, or a guard before a served one, to programs that speak OpenAI's API.

    \b
    toprope serve model qwen2.5-coder-0.5b --port 8000
    toprope serve guard --guard my-guard --upstream http://127.0.0.1:8000/v1 --port 8001
    """


host = click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen at."
)
port = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port; 0: any that is free.",
)


@serve.command()
@click.argument("name", metavar="MODEL")
@click.option(
    "--guard",
    "folder",
    type=click.Path(path_type=Path),
    help="A guard of kind 'probe' for this model: it watches the model's own states.",
)
@host
@port
@device
@dtype
@quiet
def model(
    name: str,
    folder: Path | None,
    host: str,
    port: int,
    device: str | None,
    dtype: str | None,
    quiet: bool,
) -> None:
    """Serve a local model at http://HOST:PORT/v1.

    MODEL is one of 'toprope models list', hf:OWNER/NAME, or a folder. Whoever reaches the address
    may use it: it has no key. Calls that come together are answered in one batch.

    \b
    toprope serve model qwen2.5-coder-0.5b
    toprope serve model qwen2.5-coder-0.5b --guard my-guard
    toprope redteam --target openai-api/local/qwen2.5-coder-0.5b
      (with LOCAL_BASE_URL=http://127.0.0.1:8000/v1 and LOCAL_API_KEY=none in the environment)
    """
    from toprope.models.loaded import shared
    from toprope.models.placement import dtype_named
    from toprope.serve.model import application
    from toprope.serve.run import run

    local = shared(name, device=device, dtype=dtype_named(dtype), progress=Progress(quiet=quiet))
    local.check_that_it_chats()
    if folder:
        from toprope.techniques.safeguards.guard import load_guard
        from toprope.techniques.safeguards.wrapping import wrap

        local = wrap(local, load_guard(folder))
    run(application(local), host, port, what=name, quiet=quiet)


@serve.command()
@click.option(
    "--guard",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="A guard's folder, as 'toprope guard train' writes it.",
)
@click.option(
    "--upstream", required=True, help="The served model's address, such as http://HOST:8000/v1."
)
@click.option(
    "--upstream-key",
    envvar="TOPROPE_UPSTREAM_KEY",
    help="Its key.  [also: TOPROPE_UPSTREAM_KEY]",
)
@click.option(
    "--token",
    envvar="TOPROPE_GUARD_TOKEN",
    help="What callers must bear; without it anybody may call.  [also: TOPROPE_GUARD_TOKEN]",
)
@click.option(
    "--fail-open",
    is_flag=True,
    help="Where the guard itself fails, let answers through unguarded; else the call fails.",
)
@click.option("--refusal", default="I can't help with that.", show_default=True, help="Its words.")
@click.option(
    "--caller-header", help="A balancer's header that names the caller, instead of its address."
)
@click.option(
    "--flagged",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="A file to which what is said in stopped exchanges is added, as JSON lines; without it no "
    "word of an exchange is kept or logged.",
)
@click.option(
    "--most-exchanges",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="At once; further callers are told to come back.",
)
@click.option(
    "--most-flags",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="In ten minutes, after which a caller is locked out for as long.",
)
@host
@port
@device
@dtype
@quiet
def guard(
    folder: Path,
    upstream: str,
    upstream_key: str | None,
    token: str | None,
    host: str,
    port: int,
    device: str | None,
    dtype: str | None,
    quiet: bool,
    **settings: Any,
) -> None:
    """Serve a guard before a served model, at http://HOST:PORT/v1.

    Nothing of an answer reaches its caller before the guard has read it; where the guard stops an
    exchange, a refusal ends it. The guard reads with its own models, in this process: of kind
    'outside' it needs least. Callers see /health and, with the token, /v1 and /metrics.

    \b
    toprope serve model qwen2.5-coder-0.5b --port 8000
    toprope serve guard --guard my-guard --upstream http://127.0.0.1:8000/v1 --port 8001
    """
    import logging

    from toprope.models.loaded import shared
    from toprope.models.placement import dtype_named
    from toprope.serve.guard import Settings, Upstream, application
    from toprope.serve.guarding import watcher
    from toprope.serve.problems import LOGGER
    from toprope.serve.run import run
    from toprope.techniques.safeguards.guard import load_guard

    found = load_guard(folder)
    show = Progress(quiet=quiet)
    models = {
        stage.model: shared(stage.model, device=device, dtype=dtype_named(dtype), progress=show)
        for stage in found.about.stages
    }
    app = application(
        Upstream(upstream, key=upstream_key),
        watcher(found, found.readers(models)),
        Settings(token=token, **settings),
    )
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger(LOGGER).setLevel(logging.WARNING if quiet else logging.INFO)
    run(app, host, port, what=f"guard of {found.about.target} before {upstream}", quiet=quiet)
