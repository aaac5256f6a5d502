"""Fenced blocks of Markdown files: found, and Python ones run with the file's own line numbers.

The ``python`` blocks of a file run in order, in one namespace. A ``text`` block right below one states
what it prints:

    python tests/markdown.py check FILE...      fails where that is not so
    python tests/markdown.py refresh FILE...    writes what is printed into the files
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FENCE = re.compile(r"^```(\w*)\s*$")


class Block(NamedTuple):
    language: str
    line: int  # number of the first line of the body
    text: str

    def is_right_below(self, other: Block) -> bool:
        """Whether only blank lines stand between the two blocks, and few of them."""
        return self.line - (other.line + other.text.count("\n")) <= 3


def blocks(markdown: str) -> list[Block]:
    """The fenced blocks of a text, in order."""
    found: list[Block] = []
    opened: tuple[str, int] | None = None
    lines = markdown.splitlines()
    for number, line in enumerate(lines, start=1):
        fence = FENCE.match(line)
        if fence and opened is None:
            opened = (fence[1], number + 1)
        elif fence and opened is not None:
            language, first = opened
            found.append(Block(language, first, "\n".join(lines[first - 1 : number - 1]) + "\n"))
            opened = None
    if opened is not None:
        raise ValueError(f"the block that begins on line {opened[1]} is not closed")
    return found


def section(markdown: str, title: str) -> str:
    """The body of the section ``## title``."""
    parts = re.split(r"^## +(.+?) *$", markdown, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def stated_outputs(path: Path) -> Iterator[tuple[Block, Block, str]]:
    """Runs the ``python`` blocks of a file; gives (source, ``text`` block below it, what it printed)."""
    namespace: dict[str, Any] = {"__name__": "__main__", "__file__": str(path)}
    printed, source = "", None
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language == "python":
            source = block
            code = compile("\n" * (block.line - 1) + block.text, str(path), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as stdout:
                exec(code, namespace)
            printed = stdout.getvalue()
        elif block.language == "text" and source is not None and block.is_right_below(source):
            yield source, block, printed.rstrip() + "\n"


def without_line_numbers(text: str, path: Path) -> str:
    """Printed graphs name lines of the page, which may move."""
    return re.sub(rf"{re.escape(path.name)}:\d+", path.name, text)


def check(path: Path) -> None:
    """Raises when a block fails, or prints something else than the page states."""
    for source, block, printed in stated_outputs(path):
        if without_line_numbers(printed, path) != without_line_numbers(block.text, path):
            stated = f"line {block.line} states\n{block.text}"
            raise AssertionError(f"{path}:{source.line} prints\n{printed}\nbut {stated}")


def refresh(path: Path) -> None:
    """Writes what blocks print into the page."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for _, block, printed in reversed(list(stated_outputs(path))):
        lines[block.line - 1 : block.line - 1 + block.text.count("\n")] = [printed]
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        {"check": check, "refresh": refresh}[sys.argv[1]](Path(argument))
