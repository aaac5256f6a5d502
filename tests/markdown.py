"""Fenced blocks of Markdown files: found, and Python ones run with the file's own line numbers.

``python tests/markdown.py FILE`` runs the ``python`` blocks of a file in order in one namespace.
A ``text`` block right below a ``python`` block states what that block prints.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
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


def run_python(path: Path) -> None:
    """Runs the ``python`` blocks of a file; raises when one fails or prints something else."""
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
            if printed.rstrip() != block.text.rstrip():
                stated = f"line {block.line} states\n{block.text}"
                raise AssertionError(f"{path}:{source.line} prints\n{printed}\nbut {stated}")


if __name__ == "__main__":
    run_python(Path(sys.argv[1]))
