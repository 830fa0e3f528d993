"""What all commands have in common: help, suggestions, one line for a mistake."""

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from toprope import __version__
from toprope.cli import COMMANDS, IN_GROUPS, STUDY_COMMANDS, main
from toprope.study import STUDIES, study_class

from ..fake_studies import start


def test_the_help_lists_every_command_and_every_study(toprope) -> None:
    result = toprope("--help")

    assert result.exit_code == 0
    for name in (*COMMANDS, *STUDY_COMMANDS):
        assert f"\n  {name} " in result.stdout
    assert toprope().stdout == result.stdout


def test_no_study_is_missing_on_the_command_line(fake_study: str) -> None:
    words = {command.replace("-", "_"): [command] for command in STUDY_COMMANDS}
    words |= {study: [group, name] for study, (group, name, _) in IN_GROUPS.items()}
    assert set(words) == set(STUDIES) - {"fake_study"}
    for study, names in words.items():
        command: click.Command = main
        for name in names:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), name) or main
        options = {param.name for param in command.params}
        assert set(study_class(study).model_fields) <= options, f"'{names}' isn't of {study}"


def test_version(toprope) -> None:
    assert toprope("--version").stdout == f"toprope {__version__}\n"


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = [path]
    for name in command.list_commands(context):
        if name not in STUDY_COMMANDS:  # a technique's own tests have its help
            found += _commands(command.get_command(context, name) or main, (*path, name))
    return found


@pytest.mark.parametrize("path", [*_commands(main), ("fake-study",)], ids=" ".join)
def test_every_help_has_an_example_to_copy(toprope, path: tuple[str, ...]) -> None:
    result = toprope(*path, "--help")

    assert result.exit_code == 0
    assert f"\n  {' '.join(('toprope', *path))}" in result.stdout


@pytest.mark.parametrize("path", _commands(main), ids=" ".join)
def test_every_option_says_what_it_is(path: tuple[str, ...]) -> None:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name) or main

    options = [param for param in command.params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clim"], "unknown command 'clim' in 'toprope': did you mean 'climb'? known: climb, "),
        (["weak-to-stron"], "unknown command 'weak-to-stron' in 'toprope': did you mean "
         "'weak-to-strong'?"),
        (["models", "pul"], "unknown command 'pul' in 'toprope models': did you mean 'pull'?"),
        (["climb", "x.yaml", "--sed", "1"], "No such option '--sed'. Did you mean '--seed'? "
         "(see 'toprope climb --help')"),
        (["climb"], "Missing argument 'LADDER.yaml' (see 'toprope climb --help')"),
        (["climb", "x.yaml", "--seed", "one"], "Invalid value for '--seed': 'one' is not a valid"),
        (["climb", "x.yaml", "--device", "gpu"], "unknown device 'gpu' in --device: known: cpu, "),
        (["climb", "x.yaml", "--dtype", "bfloat"], "unknown value 'bfloat' in --dtype: did you"),
        (["climb", "x.yaml"], "can't read x.yaml: No such file or directory"),
        (["evidence", "r", "--format", "cvs"], "unknown value 'cvs' in --format: did you mean "
         "'csv'? known: csv, json, parquet, table"),
        (["models", "path", "smollm"], "unknown model 'smollm': did you mean 'smollm2-135m'?"),
        (["data", "show", "citis"], "unknown dataset 'citis': did you mean 'cities'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(refused, arguments, message: str) -> None:
    assert refused(*arguments).startswith(message)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_will_not_is_one_line(refused, number: int, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "", "some/file")

    monkeypatch.setattr("toprope.models.weights.path", fail)

    assert refused("models", "path", "x").startswith("some/file: ")


def test_a_bug_of_ours_keeps_its_traceback(toprope, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("toprope.models.weights.path", fail)

    with pytest.raises(OSError, match="Bad file descriptor"):
        toprope("models", "path", "x")


def test_ctrl_c_outside_a_run_is_one_line(toprope, monkeypatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("toprope.models.weights.pull", stop)
    result = toprope("models", "pull", "smollm2-135m")

    assert result.exit_code == 2
    assert result.stderr.strip() == "toprope: stopped: give the same command to go on"


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_one_line(refused, device: str, monkeypatch) -> None:
    one_gpu_too_few = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: device == "cuda:1", device_count=lambda: 1),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False)),
    )
    monkeypatch.setitem(sys.modules, "torch", one_gpu_too_few)  # type: ignore

    assert refused("climb", "x.yaml", "--device", device) == (
        f"--device {device}: PyTorch finds no such device here: try --device cpu"
    )


def test_a_message_cannot_steer_the_terminal(refused) -> None:
    assert "\a" not in refused("climb", "\ax.yaml")


def test_a_reader_that_goes_away_is_no_error(toprope, write_ladder, folder: Path) -> None:
    long = "x" * 40_000  # in each of three rows: more than a pipe holds
    toprope("climb", write_ladder(f"fake-{long}"), "--quiet")

    process = start("evidence", folder / "runs" / "a-run", "--format", "json")
    assert process.stdout
    assert process.stderr
    process.stdout.close()

    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1


def test_the_console_script_is_this_command() -> None:
    script = Path(sys.executable).with_name("toprope")
    run = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)

    assert run.stdout == f"toprope {__version__}\n"
