"""Hostile text made harmless to look at, in a terminal as in a page."""

import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Co")  # controls, format marks (bidi), surrogates, private use


def visible(text: str) -> str:
    """Replace what could steer a terminal or reorder a line (escapes, bidi marks) by a sign.

    Args:
        text: anything; newlines and tabs are kept, carriage returns become newlines.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _UNSEEN else "�" for c in text
    )
