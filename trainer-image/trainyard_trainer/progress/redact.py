"""Remove secrets from all output of the process: log lines, reports, the result, the manifest."""

import re
from typing import Final

_USERINFO: Final = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")
_QUERY: Final = re.compile(
    r"(?<=[?&])((?:[^=&\s\"']*(?:sign|sig|token|key|secret|password|credential)[^=&\s\"']*)=)[^&\s\"']+", re.IGNORECASE
)
_BEARER: Final = re.compile(r"(?<=Bearer )\S+")
HIDDEN: Final = "***"


def redact(text: str) -> str:
    """Replace user names and passwords in addresses, signatures and tokens in queries, and bearer tokens."""
    text = _USERINFO.sub(HIDDEN, text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    return _BEARER.sub(HIDDEN, text)
