"""Secrets and control characters leave a text before anything of it is written.

Patterns are those that the issuers document (GitHub, GitLab, AWS, Slack, Google, Stripe,
OpenAI, Anthropic, npm, PyPI, JWT) plus private keys, credentials in URLs and assignments
to names that say they hold a secret. A redacted text says what was there, so that a
reader knows; redacting twice changes nothing.
"""

import re
from functools import lru_cache
from typing import Any

# (what it is, literals of which every match holds one, the pattern): looking for a literal is
# fast, and spares most texts the pattern.
_PATTERNS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (name, tuple(literals.split()), re.compile(pattern))
    for name, literals, pattern in (
        (
            "private-key",
            "PRIVATE",
            r"(?s)-----BEGIN (?P<k>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END (?P=k)-----|\Z)",
        ),
        ("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{30,255}\b"),
        ("github-token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
        (
            "gitlab-token",
            "glpat- glptt- gldt- glrt- glcbt- glsoat-",
            r"\bgl(?:pat|ptt|dt|rt|cbt|soat)-[A-Za-z0-9_\-]{20,255}",
        ),
        (
            "aws-key",
            "AKIA ASIA AGPA AIDA AROA",
            r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b",
        ),
        ("slack-token", "xox", r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,255}"),
        ("slack-token", "xapp-", r"\bxapp-[A-Za-z0-9\-]{10,255}"),
        ("slack-hook", "hooks.slack", r"https://hooks\.slack\.com/services/[A-Za-z0-9/_]{20,100}"),
        ("google-key", "AIza", r"\bAIza[A-Za-z0-9_\-]{35}"),
        ("google-token", "ya29.", r"\bya29\.[A-Za-z0-9_\-]{20,255}"),
        ("stripe-key", "k_live_ k_test_", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}\b"),
        ("api-key", "sk-", r"\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_\-]{20,255}"),
        ("hugging-face-token", "hf_", r"\bhf_[A-Za-z0-9]{30,100}\b"),
        ("npm-token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("pypi-token", "pypi-", r"\bpypi-[A-Za-z0-9_\-]{50,255}"),
        ("sendgrid-key", "SG.", r"\bSG\.[A-Za-z0-9_\-]{16,64}\.[A-Za-z0-9_\-]{16,64}"),
        (
            "jwt",
            "eyJ",
            r"\beyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{5,}",
        ),
    )
)
_URL = re.compile(r"://[^\s/@:'\"<>]{0,200}:[^\s/@'\"<>]{1,200}@")
_HEADER = re.compile(
    r"(?i)(?P<head>authorization['\"]?\s{0,3}[:=]\s{0,3}['\"]?(?:bearer|basic|token)\s{1,3})"
    r"[A-Za-z0-9+/=_.\-]{8,}"
)
_ASSIGNED = re.compile(
    r"(?i)(?P<head>(?:passw(?:or)?d|secret|secret[_\-]?(?:access[_\-]?)?key|api[_\-]?key"
    r"|(?:access|auth|api|secret)[_\-]?token|private[_\-]?key)['\"]?\s{0,3}[:=]\s{0,3})"
    r"(?:(?P<quote>['\"])(?P<quoted>[^'\"\s]{8,200})(?P=quote)"
    r"|(?P<bare>[A-Za-z0-9+/=_\-]{16,200})(?![\w(.\[]))"
)
# The same sparing for the two above, whose literals are of any case. Folding makes of every
# character that their patterns would take for an ASCII letter that letter.
_HEADER_WORD = "authorization"
_ASSIGNED_WORDS = (
    *("passwd", "password", "secret", "api_key", "api-key", "apikey", "private_key"),
    *("private-key", "privatekey", "access_token", "access-token", "accesstoken", "auth_token"),
    *("auth-token", "authtoken", "api_token", "api-token", "apitoken"),
)
# Control characters, direction marks, which hide what a text says (Trojan Source,
# CVE-2021-42574), and what has no width: a person does not see it, a model reads it (tags and
# variation selectors can spell whole sentences). Tab, line feed and the selectors that emoji use
# stay; joiners go, at the price of some scripts' ligatures.
_CONTROL = dict.fromkeys(
    [
        *(*range(9), *range(11, 32), *range(127, 160)),
        *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x3164, 0xFEFF, 0xFFA0),
        *(*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
        *(*range(0xFFF0, 0xFFFC), *range(0xE0000, 0xE01F0)),
    ]
)
_SHORT = 200
_SURROGATE = re.compile("[\ud800-\udfff]")


def redact(text: str) -> str:
    """Replace secrets by `[redacted: kind]` and drop control characters.

    Args:
        text: untrusted text; line ends stay, NUL, escape and direction overrides go.

    Returns:
        The text, safe to write and to show; equal to itself when redacted again.
    """
    text = inert(text)
    for name, literals, pattern in _PATTERNS:
        for literal in literals:
            if literal in text:
                text = pattern.sub(f"[redacted: {name}]", text)
                break
    if "://" in text:
        text = _URL.sub("://[redacted]@", text)
    folded = text.casefold()
    if _HEADER_WORD in folded:
        text = _HEADER.sub(r"\g<head>[redacted]", text)
    if any(word in folded for word in _ASSIGNED_WORDS):
        text = _ASSIGNED.sub(_assigned, text)
    return text


def inert(text: str) -> str:
    """Drop what a terminal or a reader would obey instead of showing; normalise line ends."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    clean = text.translate(_CONTROL)
    return clean if clean.isascii() else _SURROGATE.sub("\ufffd", clean)


def redact_value(value: Any) -> Any:
    """Redact every string inside JSON-shaped data, keys too."""
    if isinstance(value, str):
        return redact_name(value) if len(value) <= _SHORT else redact(value)
    if isinstance(value, dict):
        return {redact_name(str(k)): redact_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(v) for v in value]
    return value if value is None or isinstance(value, bool | int | float) else redact(str(value))


@lru_cache(maxsize=50_000)
def redact_name(value: str) -> str:
    """Redact a short text of a kind that comes again and again: a path, a name."""
    return redact(value)


def _assigned(match: re.Match[str]) -> str:
    value = match["quoted"] or match["bare"]
    if not _looks_secret(value, quoted=match["quoted"] is not None):
        return match[0]
    quote = match["quote"] or ""
    return f"{match['head']}{quote}[redacted]{quote}"


def _looks_secret(value: str, *, quoted: bool) -> bool:
    """Tell `password = "hunter2!x"` from `password = get_password` and from placeholders."""
    if value.startswith(("[redacted", "{", "<", "$", "%")):
        return False
    if quoted:
        return True
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
