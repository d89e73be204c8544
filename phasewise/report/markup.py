"""Small words for HTML and SVG: everything a user named is escaped here, and nowhere else."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from phasewise.words import typeset


def tag(element: str, /, *content: str, **attributes: str | float | None) -> str:
    """Write an element around markup. `class_` is `class`, an underscore a hyphen; an attribute that is None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value if isinstance(value, str) else plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{element}{written}>{''.join(content)}</{element}>"


def text(words: str) -> str:
    """Escape words for markup, numbers bound to their units."""
    return escape(typeset(words), quote=False).replace("CO2", "CO<sub>2</sub>")


def name(label: str) -> str:
    """Escape a policy's name, which may be long, and say where it may be broken."""
    return re.sub(r"([:,/])(?!$)", r"\1<wbr>", text(label))


def plain(value: float) -> str:
    """Write a number for an attribute, as short as two decimals allow."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """Write a share as a length in per cent, for drawings that stretch with the page."""
    return f"{plain(100 * share)}%"


def table(*, caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], class_: str = "data") -> str:
    """Write a table of words, whose first column names the rows."""
    head = tag("tr", *(tag("th", text(words), scope="col") for words in heads))
    body = [tag("tr", tag("th", text(first), scope="row"), *(tag("td", text(cell)) for cell in rest)) for first, *rest in rows]
    return scrolled(
        tag("table", tag("caption", tag("span", text(caption))), tag("thead", head), tag("tbody", *body), class_=class_), caption
    )


def scrolled(wide: str, words: str) -> str:
    """Let something wide be scrolled sideways, by keyboard too."""
    return tag("div", wide, class_="scroll", tabindex="0", role="region", aria_label=words)


def figure(*, caption: str, body: str, title: str = "", data: str = "") -> str:
    """Write a figure with its title, if it is not its section's, its caption and, folded away, the numbers behind it."""
    fold = tag("details", tag("summary", "The numbers"), data) if data else ""
    return tag("figure", tag("figcaption", tag("h3", text(title)) if title else "", tag("p", text(caption)) if caption else ""), body, fold)


def section(*content: str, anchor: str, title: str) -> str:
    """Write a section under its heading."""
    return tag("section", tag("h2", text(title), id=f"{anchor}-title"), *content, id=anchor, aria_labelledby=f"{anchor}-title")


def paragraph(words: str, class_: str | None = None) -> str:
    """Write a paragraph."""
    return tag("p", text(words), class_=class_)
