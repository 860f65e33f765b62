"""HTML built from typed pieces: whatever is not Markup is escaped, so nothing is forgotten."""

import html

from evo_agent.tasks.visible import visible


class Markup(str):
    """HTML that is safe to stand in a page; only this module and templates make it."""

    __slots__ = ()


def escape(value: object) -> Markup:
    """A value as element content or inside a quoted attribute; Markup stands as it is."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(visible(str(value)), quote=True))


def tag(name: str, *children: object, **attributes: str) -> Markup:
    """One element.

    Args:
        name: the element's name, always a literal of ours.
        children: escaped, unless they are Markup.
        attributes: values are escaped; a trailing underscore of the name is dropped (`class_`),
            others become hyphens. An attribute with an empty value is left out.
    """
    inner = "".join(escape(child) for child in children)
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value
    )
    return Markup(f"<{name}{named}>{inner}</{name}>")


def join(*pieces: object) -> Markup:
    """Pieces one after the other, escaped unless they are Markup."""
    return Markup("".join(escape(piece) for piece in pieces))
