"""What a sandbox with a network needs of the host: certificates, proxies, package indexes.

Only builds of environments and images have a network. Runs get none of this.
"""

import os
from pathlib import Path

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS
)
CA_INSIDE = "/etc/evo-ca.crt"  # where a sandbox with a network shows the host's bundle
_CA_VARIABLES = (
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "UV_SSL_CERT_FILE",
)
_PASSED = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "PIP_TRUSTED_HOST",
    "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "NPM_CONFIG_REGISTRY",
)  # fmt: skip


def ca_bundle() -> str | None:
    """The host's certificate bundle: SSL_CERT_FILE, or the system's."""
    candidates = (os.environ.get("SSL_CERT_FILE", ""), *_BUNDLES)
    return next((c for c in candidates if c and Path(c).is_file()), None)


def build_environment(bundle: str | None) -> dict[str, str]:
    """Variables for a build: proxies and indexes of the host, and where `bundle` is inside."""
    variables = {name: os.environ[name] for name in _PASSED if name in os.environ}
    if bundle:
        variables |= dict.fromkeys(_CA_VARIABLES, bundle)
    return variables
