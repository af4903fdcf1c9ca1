"""The signature of a webhook's message: Ground Control's JSON Web Token (RS256), against its public key.

The token carries every field of the message, so what is signed is what is read, and fields beside it are not
looked at. Form: RFC 7515 (compact), RFC 7518 section 3.3; field and key: docs.groundcontrol.com, RockBLOCK
web services.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from edge.errors import InputError
from tools.shore.receiving.arrival import Unreadable

ALGORITHM = "RS256"
LEAST_KEY_BITS = 2048
_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class WebhookKey:
    """A public key that verifies tokens.

    Parameters
    ----------
    file
        PEM, an RSA public key.

    Raises
    ------
    InputError
        When it is none.
    """

    def __init__(self, file: Path) -> None:
        remedy = "save the public key of your provider's page, with its BEGIN and END lines"
        try:
            key = load_pem_public_key(file.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as cause:
            raise InputError(f"is no public key ({cause})", file=file, remedy=remedy) from cause
        if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_KEY_BITS:
            raise InputError(
                f"is no RSA key of {LEAST_KEY_BITS} bits or more", file=file, remedy=remedy
            )  # fmt: skip
        self._key = key

    def claims(self, token: str) -> dict[str, Any] | Unreadable:
        """What a token says, when the key's owner has signed it. Never raises."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            return Unreadable("has no signature (JWT)")
        try:
            header, claims = (msgspec.json.decode(_bytes(part)) for part in found.groups()[:2])
            signature = _bytes(found[3])
        except (ValueError, RecursionError):
            return Unreadable("has a signature that cannot be read")
        if not isinstance(header, dict) or header.get("alg") != ALGORITHM or "crit" in header:
            return Unreadable(f"is not signed by {ALGORITHM}")
        try:
            self._key.verify(signature, f"{found[1]}.{found[2]}".encode("ascii"), PKCS1v15(), SHA256())
        except InvalidSignature:
            return Unreadable("has a signature that is not of the key's owner")
        return claims if isinstance(claims, dict) else Unreadable("has a signature without a message")


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
