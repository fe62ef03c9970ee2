"""Command lines on the pages, taken as the command line itself takes them."""

import shlex

import typer.main
from shimzoo import cli, training
from shimzoo.cli import command_line


def parsed(arguments):
    """The values of a command line's options; an error where the program would refuse one.

    Args:
        arguments: What follows the program's name.
    """
    name, *others = arguments
    return _command(name).make_context(name, list(others)).params


def options(*names):
    """All options of these commands, as they are written."""
    return {
        option
        for name in names
        for parameter in _command(name).params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


def arguments_of(command):
    """What follows the launcher's name in a line of a page."""
    program, *arguments = shlex.split(command)
    assert program == "./zoo", "the pages' commands are the launcher's"
    return arguments


def trained_with(arguments, monkeypatch):
    """The settings that `train` would begin with.

    Args:
        arguments: What follows the program's name.
        monkeypatch: Keeps it from beginning.
    """
    configs = []

    def train(config, **_):
        configs.append(config)
        raise ValueError("as far as this")

    monkeypatch.setattr(training, "train", train, raising=False)
    assert cli.main(arguments) == 2
    (config,) = configs
    return config


def _command(name):
    return typer.main.get_command(command_line.app).commands[name]
