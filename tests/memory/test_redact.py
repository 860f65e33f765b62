"""Secrets and control characters never get into a record."""

import pytest

from evo_agent.memory.journal.redact import inert, redact, redact_value

SECRETS = {
    "github": "ghp_" + "a1B2" * 9,
    "github-fine": "github_pat_" + "11ABCDEFG0" * 4,
    "gitlab": "glpat-" + "x9Y8z7W6v5U4t3S2r1Q0",
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "slack": "xoxb-" + "123456789012-abcdefghijkl",
    "google": "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "stripe": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "anthropic": "sk-ant-" + "api03-abcdefghijklmnopqrstuvwxyz",
    "openai": "sk-proj-" + "abcdefghijklmnopqrstuvwx1234",
    "hugging face": "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "npm": "npm_" + "a1B2" * 9,
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" * 4,
    "sendgrid": "SG." + "ngeVfQFYQlKU0ufo8x5d1A" + "." + "TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKcV7w",
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_known_key_is_replaced_wherever_it_stands(name: str):
    secret = SECRETS[name]
    for text in (secret, f"before {secret} after", f"X={secret}\n", f'"{secret}"'):
        assert secret not in redact(text)
        assert "[redacted" in redact(text)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("git clone https://ada:s3cr3t-t0ken@example.org/x.git", "s3cr3t-t0ken"),
        ("postgres://app:hunter22@db:5432/prod", "hunter22"),
        ("redis://:onlypassword@cache:6379", "onlypassword"),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("curl -H 'authorization: Basic YWRhOmxvdmVsYWNl'", "YWRhOmxvdmVsYWNl"),
        ('DB_PASSWORD = "correct-horse-battery"', "correct-horse-battery"),
        ("api_key: 9f8e7d6c5b4a39281706f5e4d3c2b1a0", "9f8e7d6c5b4a39281706f5e4d3c2b1a0"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
    ],
)
def test_credentials_in_urls_headers_and_assignments_go(text: str, secret: str):
    assert secret not in redact(text)


def test_a_private_key_goes_whole_even_when_its_end_is_missing():
    body = "MIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0"
    whole = f"a\n-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\nb"
    assert redact(whole) == "a\n[redacted: private-key]\nb"
    assert body not in redact(whole.split("-----END", maxsplit=1)[0])


@pytest.mark.parametrize(
    "text",
    [
        "password = get_password(user)",
        "token = parser.next_token()",
        "self.secret = secret",
        "def test_api_key(client): assert client.api_key is None",
        "the url http://localhost:8000/path@home is fine",
        "fix sk-learn import; ghost_pattern; skip",
        "sha 5992a8ef21424d7571305a8d7e2a3431ee7e1e23 stays",
        "key: value",
    ],
)
def test_plain_code_stays_as_it_is(text: str):
    assert redact(text) == text


def test_redacting_twice_changes_nothing():
    text = "\n".join(SECRETS.values()) + '\npassword="hunter2222"\nhttps://a:b@c\n'
    assert redact(redact(text)) == redact(text)


def test_what_a_terminal_would_obey_is_dropped():
    text = "a\x1b[2Jb\x00c\x07d\u202ee\r\nf\tg\ud800"
    assert inert(text) == "a[2Jbcde\nf\tg\ufffd"


def test_values_inside_json_are_redacted_keys_too():
    key = SECRETS["github"]
    clean = redact_value({key: [key, {"n": 1, "x": None, "deep": (key,)}], "f": 0.5})
    assert key not in repr(clean)
    assert clean["f"] == 0.5


def test_the_short_cut_past_a_pattern_never_lets_a_spelling_through():
    for text in (
        "PA\u017f\u017fWORD = 'hunter2222'",  # LATIN SMALL LETTER LONG S matches s, of either case
        "private-\u212aey: a1b2c3d4e5f6a7b8c9",  # KELVIN SIGN matches k
        "AuTh-ToKeN='hunter2222'",
        "AUTHORIZATION: BEARER abcdef0123456789",
    ):
        assert "[redacted]" in redact(text)
