"""The report as Markdown and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence

from modalhash.evaluation.report_blocks import Block, Cell, Figures, Grid, Paragraph, Report, Terms, plain

FIGURES = "figures"  # the folder beside both files
SPECIAL = {
    **{char: "\\" + char for char in "{}%&#_$"},
    **{"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}"},
    **{"→": r"$\rightarrow$", "±": r"$\pm$", "—": "---", "–": "--", "…": r"\ldots{}"},
}
PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs,graphicx,adjustbox}
\begin{document}"""


def markdown(report: Report) -> str:
    """The report as Markdown; what HTML folds away is left out."""
    parts = [f"# {md(report.title)}", md(report.about)]
    for section in report.sections:
        parts += [f"{'#' * section.level} {md(section.title)}", *filter(None, map(markdown_block, section.blocks))]
    return "\n\n".join(parts) + "\n"


def md(text: str) -> str:
    """Text in which nothing is taken for Markdown."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))


def markdown_block(block: Block) -> str:
    """One block, or nothing."""
    if isinstance(block, Paragraph):
        return md(block.text)
    if isinstance(block, Terms):
        return "\n".join(f"- **{md(word)}**: {md(text)}." for word, text in block.items)
    if isinstance(block, Figures):
        return "\n".join(f"![{md(figure.title)}]({FIGURES}/{figure.name}.svg)" for figure in block.figures)
    if not isinstance(block, Grid):
        return ""
    rule = "|" + "".join("---|" if i < block.left else "---:|" for i in range(len(block.head)))
    lines = [markdown_row(block.head), rule, *(markdown_row(row) for row in block.rows)]
    caption = [f"*{md(block.caption)}*\n"] if block.caption else []
    notes = ["", "  \n".join(md(note) for note in block.notes)] if block.notes else []
    return "\n".join([*caption, *lines, *notes])


def markdown_row(row: Sequence[Cell | str]) -> str:
    """A row; the best of a column is bold."""
    cells = [f"**{md(cell.text)}**" if isinstance(cell, Cell) and cell.best else md(plain(cell)) for cell in row]
    return "| " + " | ".join(cells) + " |"


def latex(report: Report) -> str:
    """The report as a LaTeX document; what HTML folds away is left out."""
    parts = [PREAMBLE, rf"\section*{{{tex(report.title)}}}", tex(report.about)]
    for section in report.sections:
        depth = "sub" * (section.level - 1)
        parts += [rf"\{depth}section*{{{tex(section.title)}}}", *filter(None, map(latex_block, section.blocks))]
    return "\n\n".join([*parts, r"\end{document}"]) + "\n"


def tex(text: str) -> str:
    """Text in which nothing is taken for LaTeX."""
    return "".join(SPECIAL.get(char, char) for char in " ".join(text.split()))


def latex_block(block: Block) -> str:
    """One block, or nothing."""
    if isinstance(block, Paragraph):
        return tex(block.text)
    if isinstance(block, Terms):
        items = "\n".join(rf"\item[{tex(word)}] {tex(text)}." for word, text in block.items)
        return f"\\begin{{description}}\n{items}\n\\end{{description}}"
    if isinstance(block, Figures):
        return "\n".join(
            rf"\includegraphics[width=.48\linewidth]{{{FIGURES}/{figure.name}.pdf}}" for figure in block.figures
        )
    return latex_grid(block) if isinstance(block, Grid) else ""


def latex_grid(block: Grid) -> str:
    """A table of booktabs, made smaller where it is wider than the page."""
    columns = "".join("l" if i < block.left else "r" for i in range(len(block.head)))
    rows = [" & ".join(latex_cell(cell) for cell in row) + r" \\" for row in block.rows]
    head = " & ".join(map(tex, block.head)) + r" \\"
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    caption = [rf"\noindent {tex(block.caption)}\par"] if block.caption else []
    notes = [rf"\noindent {{\footnotesize {tex(note)}\par}}" for note in block.notes]
    fitted = [r"\begin{adjustbox}{max width=\linewidth}", *body, r"\end{adjustbox}", ""]
    return "\n".join([*caption, r"\noindent", *fitted, *notes])


def latex_cell(cell: Cell | str) -> str:
    """A cell; the best of a column is bold."""
    return rf"\textbf{{{tex(cell.text)}}}" if isinstance(cell, Cell) and cell.best else tex(plain(cell))
