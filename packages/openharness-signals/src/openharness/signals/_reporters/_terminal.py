"""Where lines for people go: a stream, which may be a terminal. The only module that knows the library `rich`."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

from openharness.core.errors import InvalidValueError
from openharness.signals._errors import MissingLibraryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ("Line", "LiveRegion", "Output")

Line: TypeAlias = "Sequence[tuple[str, str]]"
"""Parts of a line, each with its style."""

_LEAST_WIDTH: Final = 20
_PLAIN_WIDTH: Final = 120
_REFRESHES: Final = 4
"""In a second: often enough for eyes, and next to no work."""


class Output:
    """Writes lines of bounded width to a stream.

    In a terminal they have colours, unless ``NO_COLOR`` is set. Once the stream failed, it is written to no more: the
    one error is told, and not one for each signal.

    Args:
        stream: Where to write.
        width: The most columns of a line; None: those of the terminal, and 120 elsewhere.
        what: Who needs it, for the error.

    Attributes:
        is_live: Whether it is a terminal on which lines can be drawn anew.
        cells: How many columns a text takes.

    Raises:
        InvalidValueError: The width is none.
        MissingLibraryError: `rich` is not installed.
    """

    def __init__(self, stream: TextIO, *, width: int | None, what: str) -> None:
        if width is not None and (type(width) is not int or width < _LEAST_WIDTH):
            raise InvalidValueError("width", value=width, expected=f"an integer from {_LEAST_WIDTH} on, or None")
        try:
            # Loading it takes longer than loading this package, and many programs never show anything.
            from rich.cells import cell_len
            from rich.console import Console
        except ImportError as error:
            raise MissingLibraryError(what, library="rich", extra="console") from error

        class Writer(Console):
            """Tells that nobody reads any more, where the library would end the program."""

            def on_broken_pipe(self) -> None:
                raise BrokenPipeError(errno.EPIPE, "Broken pipe")

        terminal = _is_terminal(stream)
        self.is_live = terminal and os.environ.get("TERM", "").lower() not in {"", "dumb", "unknown"}
        self.cells: Callable[[str], int] = cell_len
        self._stream = stream
        self._follows = terminal and width is None
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._console = Writer(
            file=stream,
            width=width if width is not None or terminal else _PLAIN_WIDTH,
            force_jupyter=False,
            force_interactive=self.is_live,
            markup=False,
            emoji=False,
            highlight=False,
        )
        self._broken = False

    @property
    def width(self) -> int:
        """The most columns of a line; it follows the terminal's."""
        if self._follows:
            # The library asks standard output for its size, whatever it writes to.
            with contextlib.suppress(OSError, ValueError):
                columns, lines = os.get_terminal_size(self._stream.fileno())
                self._console.width, self._console.height = columns or 80, lines or 24
        return max(self._console.width, _LEAST_WIDTH)

    def lines(self, lines: Iterable[Line]) -> None:
        """Write lines, each of them parts of text with the style of each.

        Raises:
            OSError: The stream fails, for the first time.
            ValueError: It is closed; likewise.
        """
        if self._broken:
            return
        try:
            for line in lines:
                self._console.print(self.text(line), soft_wrap=True)
        except (OSError, ValueError):
            self._broken = True
            raise

    def text(self, line: Line) -> Any:
        """Return a line in the library's form."""
        from rich.text import Text

        return Text.assemble(*((self._encodable(part), style) for part, style in line), end="")

    def region(self, render: Callable[[], Sequence[Line]]) -> LiveRegion:
        """Return lines below all others that are drawn anew while time goes on; for terminals.

        Args:
            render: Gives the lines as they are now. Called in a thread of its own.
        """
        return LiveRegion(self, self._console, render)

    def _encodable(self, text: str) -> str:
        return text.encode(self._encoding, "backslashreplace").decode(self._encoding)


class LiveRegion:
    """The lines at the bottom of a terminal that change. Made by `Output.region`; nothing is drawn before `start`."""

    def __init__(self, output: Output, console: Any, render: Callable[[], Sequence[Line]]) -> None:
        from rich.live import Live
        from rich.text import Text

        def draw() -> Any:
            return Text("\n", no_wrap=True, overflow="crop").join(output.text(line) for line in render())

        self._console = console

        class Drawing(Live):
            """Goes on where the terminal is gone: there is nobody to be told."""

            def refresh(self) -> None:
                with contextlib.suppress(OSError, ValueError):
                    super().refresh()

        # Standard output is the program's: not turned into anything else, as it may be a pipe.
        self._live = Drawing(
            console=console,
            get_renderable=draw,
            refresh_per_second=_REFRESHES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self) -> None:
        """Begin to draw."""
        self._live.start(refresh=True)
        # Never hidden, so that no way to end a process leaves a terminal without one.
        self._console.show_cursor(True)

    def draw(self) -> None:
        """Draw what there is to be seen now."""
        self._live.refresh()

    def stop(self) -> None:
        """Draw no more and leave nothing behind. Stopping twice is no error."""
        with contextlib.suppress(OSError, ValueError):
            self._live.stop()


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
