"""Keeping secrets out of what is written and shown: manifests, settings, reports, logs and messages.

A run folder is passed on; the command and the store's URL in it must not open anything to whoever reads it. What looks
like a credential is replaced by `***` wherever text leaves the process. Environment variables are never written at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

LEFT_OUT = "***"
"""What stands in the place of a secret."""

_NAME = (
    r"(?:(?:password|passwd|passphrase|secret|api[_\-]?key|private[_\-]?key|access[_\-]?key|account[_\-]?key"
    r"|credential|sas[_\-]?token)s?(?:[_\-]?(?:id|access[_\-]?key))?"
    r"|(?:auth|access|refresh|bearer|session|security|hf|hub|wandb|github)[_\-]token|(?<![a-z0-9_])token)"
)
"""How names end whose values are secrets: `aws_secret_access_key`, `api_key`, `hf_token`, `token`; no `pad_token`."""

_VALUE = r"(?!\*\*\*|none\b|null\b|true\b|false\b)[^\s\"',;&{}\[\]<>]{6,}"

_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # scheme://user:password@host and scheme://token@host; a secret key may hold slashes, a port is no secret.
    (re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.\-]{0,20}://)[^\s\"'<>/]{1,600}@"), rf"\g<1>{LEFT_OUT}@"),
    (
        re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.\-]{0,20}://)[^\s\"'<>/:@]{1,200}:(?!\d+[/?#])[^\s\"'<>@]{1,600}@"),
        rf"\g<1>{LEFT_OUT}@",
    ),
    # ?token=…, &X-Amz-Signature=…: signed URLs.
    (
        re.compile(
            r"(?i)([?&;](?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|signature"
            rf"|sig|awsaccesskeyid|key|auth|code|pass|pwd|{_NAME})=)[^&#;\s\"'<>]+"
        ),
        rf"\g<1>{LEFT_OUT}",
    ),
    # Authorization: Basic …, Bearer …
    (
        re.compile(r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:(?:basic|bearer|token|digest)\s+)?)"
                   r"(?!\*\*\*|(?:basic|bearer|token|digest)\b)[^\s\"',;]{6,}"),
        rf"\g<1>{LEFT_OUT}",
    ),
    (re.compile(r"(?i)\b(bearer\s+|bearer%20)[a-z0-9._~+/\-]{12,}=*"), rf"\g<1>{LEFT_OUT}"),
    # password: …, "secret": "…", WANDB_API_KEY=…; --api-key …
    (re.compile(rf"(?i)({_NAME}[\"']?\s*[:=]\s*[\"']?){_VALUE}"), rf"\g<1>{LEFT_OUT}"),
    (re.compile(rf"(?i)((?<!-)--[a-z0-9_.\-]{{0,40}}{_NAME}\s+[\"']?){_VALUE}"), rf"\g<1>{LEFT_OUT}"),
    # Keys that are known by their form.
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b"), LEFT_OUT),
    (re.compile(r"\bhf_[A-Za-z0-9]{16,}\b"), LEFT_OUT),
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})\b"), LEFT_OUT),
    (re.compile(r"\bwandb_v\d_[A-Za-z0-9_]{20,}\b"), LEFT_OUT),
    (re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_\-]{20,}\b"), LEFT_OUT),
    (re.compile(r"\bAIza[A-Za-z0-9_\-]{35}"), LEFT_OUT),
    (re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"), LEFT_OUT),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), LEFT_OUT),
)  # fmt: skip

_SUSPECT = re.compile(
    r"(?i)://|[?&;]\w|bearer|authorization|passw|passphrase|secret|key|token|credential|hf_|gh[pousr]_|github_pat"
    r"|wandb_v|eyJ|\b(?:AKIA|ASIA|AROA|AIDA|AIza)|\b[sp]k-|\brk-"
)
"""What every text with a secret holds somewhere: others are passed by quickly."""


def redacted(text: str) -> str:
    """The text with `***` in the place of what looks like a credential. Redacting twice changes nothing more."""
    if not _SUSPECT.search(text):
        return text
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def without_secrets(value: Any) -> Any:
    """Settings or other nested data with every text redacted; the value of a key that names a secret is left out."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {
            key: LEFT_OUT if isinstance(inner, str) and inner and _is_secret(str(key)) else without_secrets(inner)
            for key, inner in value.items()
        }
    return [without_secrets(inner) for inner in value] if isinstance(value, list | tuple) else value


def _is_secret(name: str) -> bool:
    return re.search(rf"{_NAME}$", name, re.IGNORECASE) is not None
