#!/usr/bin/env python
"""Django's command line. `./progeny WORD` comes here after it has set up the environment."""

from __future__ import annotations

import os
import signal
import sys


def take_data_option(arguments: list[str]) -> list[str]:
    """Move `--data DIR` into PROGENY_DATA: settings are read before any command sees its own options."""
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--data":
            os.environ["PROGENY_DATA"] = value if equals else next(words, "")
        else:
            rest.append(word)
    return rest


def check_data_folder(arguments: list[str]) -> None:
    """SetupError where a command would work on a folder that was hardly meant. Before settings, which make a key where there is none."""
    if not arguments or {"help", "-h", "--help", "--version"} & set(arguments):
        return
    from webapp.env import data_folder
    from webapp.system import instance

    instance.check_chosen(data_folder())
    if arguments[0] == "backup":
        instance.check_has_run(data_folder())


def main(arguments: list[str]) -> None:
    """Run one command. What the installation lacks is said in one line, without a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    from webapp.env import SetupError

    try:
        run(take_data_option(arguments))
    except SetupError as error:
        sys.exit(f"progeny: {error}.")


def run(arguments: list[str]) -> None:
    """The supervisors start programs that need Django and need none themselves: the first page comes a second sooner.

    A merge needs it only for models named as in the library.
    """
    match arguments[1:]:
        case ["studio", *options]:
            from webapp.system import studio

            studio.main(options)
        case ["join", *options]:
            from webapp.system import joining

            joining.main(options)
        case ["keeper"]:
            from webapp.system import keeper

            keeper.main()
        case ["merge", *options]:
            from merging.__main__ import main as merge
            from webapp.exports.folders import folder_of

            sys.exit(merge(options, folder_of))
        case _:
            check_data_folder(arguments[1:])
            from django.core.management import execute_from_command_line

            execute_from_command_line(arguments)


if __name__ == "__main__":
    if sys.argv[1:2] == ["studio"]:
        # Until the supervisor listens to Ctrl-C itself nothing has been started, and to stop is what was asked.
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(0))
    try:
        main(sys.argv)
    except KeyboardInterrupt:
        sys.exit(130)
