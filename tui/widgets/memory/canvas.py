"""A grid of characters on which lines join where they meet, for drawing graphs."""

from __future__ import annotations

from rich.cells import cell_len

UP, RIGHT, DOWN, LEFT = 1, 2, 4, 8
# By the sides that a cell's line goes to.
JOINTS = " ╵╶╰╷│╭├╴╯─┴╮┤┬┼"


class Canvas:
    """Lines below, texts on top. Places outside are left out; x goes right, y down."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = max(0, width), max(0, height)
        self._lines = [[0] * self.width for _ in range(self.height)]
        self._line_style = [[""] * self.width for _ in range(self.height)]
        self._dashed: set[tuple[int, int]] = set()
        self._texts: list[list[tuple[str, str] | None]] = [
            [None] * self.width for _ in range(self.height)
        ]

    def _stroke(self, x: int, y: int, sides: int, style: str, dashed: bool) -> None:
        if 0 <= x < self.width and 0 <= y < self.height:
            self._lines[y][x] |= sides
            self._line_style[y][x] = style
            if dashed:
                self._dashed.add((x, y))
            else:
                self._dashed.discard((x, y))

    def horizontal(self, x1: int, x2: int, y: int, style: str = "", dashed: bool = False) -> None:
        """A line from the middle of cell x1 to the middle of cell x2."""
        left, right = min(x1, x2), max(x1, x2)
        for x in range(left, right + 1):
            sides = (RIGHT if x < right else 0) | (LEFT if x > left else 0)
            self._stroke(x, y, sides, style, dashed)

    def vertical(self, x: int, y1: int, y2: int, style: str = "") -> None:
        """A line from the middle of cell y1 to the middle of cell y2."""
        top, bottom = min(y1, y2), max(y1, y2)
        for y in range(top, bottom + 1):
            self._stroke(x, y, (DOWN if y < bottom else 0) | (UP if y > top else 0), style, False)

    def text(self, x: int, y: int, text: str, style: str = "") -> None:
        """Write over whatever is there."""
        if not 0 <= y < self.height:
            return
        for character in text:
            size = cell_len(character)
            if size and x >= 0 and x + size <= self.width:
                self._texts[y][x] = (character, style)
                if size == 2:
                    self._texts[y][x + 1] = ("", style)
            x += size

    def box(self, x: int, y: int, width: int, style: str, heavy: bool = False) -> None:
        """A frame three rows high, heavy or light."""
        a, flat, b, side, c, d = list("┏━┓┃┗┛" if heavy else "╭─╮│╰╯")
        self.text(x, y, a + flat * (width - 2) + b, style)
        self.text(x, y + 1, side, style)
        self.text(x + width - 1, y + 1, side, style)
        self.text(x, y + 2, c + flat * (width - 2) + d, style)

    def row(self, y: int) -> list[tuple[str, str]]:
        """Runs of (text, style) of one row, as wide as the canvas."""
        runs: list[tuple[str, str]] = []
        for x in range(self.width):
            over = self._texts[y][x]
            if over is not None:
                character, style = over
            else:
                sides = self._lines[y][x]
                character, style = JOINTS[sides], self._line_style[y][x]
                if sides == LEFT | RIGHT and (x, y) in self._dashed:
                    character = "╌"
            if runs and runs[-1][1] == style:
                runs[-1] = (runs[-1][0] + character, style)
            else:
                runs.append((character, style))
        return runs

    def plain(self) -> str:
        """The whole picture without its styles."""
        return "\n".join(
            "".join(text for text, _ in self.row(y)).rstrip() for y in range(self.height)
        )
