"""Regular expressions that cannot take long: a small language, with a bound on its backtracking.

A rule's pattern is data that others may have written, and Python's `re` knows no time limit.
What a pattern may try at one place of the text is the product of its quantifiers' widths; that
product is bounded, so are the text's characters, and nothing that repeats may stand in a repeat.
"""

import re

LONGEST_PATTERN = 500  # characters
LONGEST_TEXT = 4_000  # characters of a text that are looked at
MOST_TRIES = 10_000  # per place: two `*` and no more
REACH = 99  # `*` and `+` match at most this many times

_TOKEN = re.compile(
    r"""(?P<escape>\\[wWdDsSbB.\\/+*?()\[\]{}|^$"'\-&;<>=!~`:,#@% ])
    |(?P<set>\[\^?\]?(?:\\[wWdDsS\\\]\-^./]|[^\]\\])*\])
    |(?P<open>\((?:\?:)?)|(?P<close>\))|(?P<or>\|)|(?P<anchor>[\^$])
    |(?P<repeat>[*+?]|\{\d{1,3}(?:,\d{0,3})?\})
    |(?P<plain>[^\\\[\](){}*+?|^$])""",
    re.VERBOSE | re.DOTALL,
)
_ATOMS = ("escape", "set", "plain")


class PatternError(ValueError):
    """A pattern is not of the small language, or could take long; the text says why."""


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern: literals, classes, sets, groups, alternatives, anchors, quantifiers.

    `*` and `+` reach at most REACH times. Groups are not quantified; there are no
    backreferences, no look-around, no flags.

    Raises:
        PatternError: the pattern is anything more than that.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise PatternError(f"a pattern of {len(pattern)} characters (at most {LONGEST_PATTERN})")
    parts: list[str] = []
    tries, before, position = 1, "", 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            raise PatternError(f"not understood from character {position + 1} on")
        kind, text = str(token.lastgroup), token[0]
        if kind == "repeat":
            if before not in _ATOMS:
                raise PatternError(f"{text} repeats more than one character or class")
            text, width = _bounded(text)
            tries *= width
        tries *= 2 if kind == "or" else 1  # k alternatives have k - 1 bars, and k <= 2 ** (k - 1)
        parts.append("(?:" if kind == "open" else text)
        before, position = kind, token.end()
    if tries > MOST_TRIES:
        raise PatternError("too many ways to match: use fewer of * + ? {} and |")
    try:
        return re.compile("".join(parts))
    except re.error as error:
        raise PatternError(str(error)) from error


def found(pattern: re.Pattern[str], text: str) -> bool:
    """Whether a compiled pattern occurs in the first LONGEST_TEXT characters of a text."""
    return pattern.search(text[:LONGEST_TEXT]) is not None


def _bounded(quantifier: str) -> tuple[str, int]:
    """The quantifier with an upper bound, and how many counts it can choose from."""
    least, most = {"*": (0, REACH), "+": (1, REACH), "?": (0, 1)}.get(quantifier, (-1, -1))
    if least < 0:
        low, comma, high = quantifier[1:-1].partition(",")
        least = int(low)
        most = int(high) if high else (REACH if comma else least)
    if not least <= most <= REACH:
        raise PatternError(f"{quantifier} is out of order, or beyond {REACH}")
    return f"{{{least},{most}}}", most - least + 1
