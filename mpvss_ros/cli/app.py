"""The ``mpvss`` command. Its commands import what they need when they run, so that ``mpvss --help`` is instant."""

from __future__ import annotations

import sys

from mpvss_ros.process.missing_packages import name_missing_packages

with name_missing_packages("mpvss"):
    import typer

    from mpvss_ros.cli.commands.adapt import adapt
    from mpvss_ros.cli.commands.benchmark import benchmark
    from mpvss_ros.cli.commands.convert import convert
    from mpvss_ros.cli.commands.data.import_labels import import_labels
    from mpvss_ros.cli.commands.data.import_video import import_video
    from mpvss_ros.cli.commands.data.label import label
    from mpvss_ros.cli.commands.data.rooms import rooms
    from mpvss_ros.cli.commands.evaluate import evaluate
    from mpvss_ros.cli.commands.export import export
    from mpvss_ros.cli.commands.flops import flops
    from mpvss_ros.cli.commands.labelspace import labelspace
    from mpvss_ros.cli.commands.parity import parity
    from mpvss_ros.cli.commands.robot.doctor import doctor
    from mpvss_ros.cli.commands.run import run
    from mpvss_ros.cli.commands.study import study
    from mpvss_ros.cli.commands.train import train

__all__ = ["main"]

app = typer.Typer(
    help="Semantic labels for every frame of a video: key frames by a strong segmentor, propagated in between.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    run,
    doctor,
    evaluate,
    study,
    convert,
    parity,
    flops,
    benchmark,
    export,
    train,
    label,
    adapt,
    import_video,
    import_labels,
    rooms,
    labelspace,
):
    app.command()(command)


def main() -> None:
    """Entry point: one line and exit code 2 for input that cannot be used, 128 and the number of a signal that stopped it."""
    try:
        with name_missing_packages("mpvss"):
            app()
    except KeyboardInterrupt:
        sys.exit(130)
    except ValueError as error:
        from mpvss_model.errors import MPVSSError
        from mpvss_model.runtime.interruption import Interrupted

        if not isinstance(error, MPVSSError):
            raise
        print(f"mpvss: {error}", file=sys.stderr)
        sys.exit(128 + error.signal_number if isinstance(error, Interrupted) else 2)


if __name__ == "__main__":
    main()
