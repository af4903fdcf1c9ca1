"""What a webhook's signature lets pass: our own key, tokens with any change, and the process itself."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse

import click
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InputError
from tests.tools.shore.test_receive import IMEI, form, kept, lingo, receiving
from tools.shore.receive import receive
from tools.shore.receiving.arrival import Arrival, Unreadable, read_webhook
from tools.shore.receiving.signature import WebhookKey

KEY, OTHER = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
JSON = "application/json"
# As RockBLOCK says them: every value is a text.
CLAIMS = {
    "iss": "Rock 7", "iat": 1693888475, "data": b"signed".hex(), "device_type": "ROCKBLOCK", "imei": IMEI,
    "iridium_cep": "3.0", "iridium_latitude": "75.0001", "iridium_longitude": "154.1209", "momsn": "66",
    "serial": "14331", "transmit_time": "23-09-05 04:33:24",
}  # fmt: skip


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(claims=CLAIMS, key=KEY, hashed=SHA256, **header):
    signed = ".".join(part(json.dumps(one).encode()) for one in ({"alg": "RS256", **header}, claims))
    return f"{signed}.{part(key.sign(signed.encode(), padding.PKCS1v15(), hashed()))}"


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    file = tmp_path_factory.mktemp("key") / "key.pem"
    file.write_bytes(pem(KEY))
    return WebhookKey(file).claims


def body(jwt, **fields):
    return json.dumps({**CLAIMS, "JWT": jwt, **fields}).encode()


def test_what_is_signed_is_read_and_nothing_beside_it(claims):
    false = {"data": b"false".hex(), "imei": "300234010753371", "momsn": 7}
    for found in (
        read_webhook(JSON, body(token(), **false), claims),
        read_webhook(JSON, json.dumps({"JWT": token()}).encode(), claims),
        read_webhook("", urllib.parse.urlencode({**false, "JWT": token()}).encode(), claims),
    ):
        assert found == Arrival(IMEI, 66, 1_693_888_404, b"signed", "webhook", 75.0001, 154.1209, 3.0)


@pytest.mark.parametrize(("jwt", "told"), [
    ("", "no signature"),
    ("a.b", "no signature"),
    ("a.b.c.d", "no signature"),
    (token() + "=", "no signature"),
    ("a.b.c", "cannot be read"),
    (token(key=OTHER), "not of the key's owner"),
    (token(hashed=SHA512), "not of the key's owner"),
    (token(alg="none"), "not signed by RS256"),
    (token(alg="HS256"), "not signed by RS256"),
    (token(alg=["RS256"]), "not signed by RS256"),
    (token(crit=["exp"]), "not signed by RS256"),
    (token().rpartition(".")[0] + "." + part(b""), "no signature"),
    (token().rpartition(".")[0] + "." + part(b"\0" * 256), "not of the key's owner"),
    (token([1, 2]), "without a message"),
    (token({"iss": "Rock 7"}), "has no imei"),
])  # fmt: skip
def test_a_signature_that_proves_nothing_is_refused(claims, jwt, told):
    found = read_webhook(JSON, body(jwt), claims)
    assert isinstance(found, Unreadable)
    assert told in found.sentence


def test_what_carries_no_token_is_refused(claims):
    for kind, data in ((JSON, json.dumps(lingo(b"x")).encode()), ("", form(b"x")), (JSON, b'{"JWT": 5}')):
        assert read_webhook(kind, data, claims) == Unreadable("has no signature (JWT)")


@given(st.data())
def test_no_changed_token_is_believed(claims, data):
    good = token()
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + data.draw(st.sampled_from("ABab01_-.")) + good[at + 1 :]
    found = claims(bad)
    # The last character of a part has bits that say nothing.
    assert isinstance(found, Unreadable) or bad == good or (found == CLAIMS and at == len(good) - 1)


@given(st.text(max_size=80) | st.binary(max_size=60).map(lambda raw: f"{part(raw)}.{part(raw)}.{part(raw)}"))
def test_any_text_is_no_token(claims, text):
    assert isinstance(claims(text), Unreadable)


@pytest.mark.parametrize(("data", "told"), [
    (b"", "is no public key"),
    (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is no public key"),
    (pem(ec.generate_private_key(ec.SECP256R1())), "is no RSA key"),
    (pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "is no RSA key of 2048 bits"),
    (None, "is no public key"),
])  # fmt: skip
def test_a_file_that_is_no_key_is_a_sentence(tmp_path, data, told):
    if data is not None:
        (tmp_path / "key.pem").write_bytes(data)
    with pytest.raises(InputError, match=told):
        WebhookKey(tmp_path / "key.pem")


def test_the_receiver_takes_only_what_is_signed(tmp_path):
    (tmp_path / "key.pem").write_bytes(pem(KEY))
    with receiving(tmp_path / "shore", "--webhook-key", tmp_path / "key.pem") as running:
        assert running.post(body(token()), JSON) == (200, "OK\n")
        assert running.post(body(token()), JSON) == (200, "OK\n")
        assert running.post(body(token(key=OTHER)), JSON)[0] == 400
        assert running.post(form(b"unsigned")) == (400, "has no signature (JWT)\n")
        assert running.post(None)[1] == "1 kept, 1 duplicate, 1 not of this instrument, 2 malformed\n"
        assert not [line for line in running.lines if "not verified" in line]
    assert kept(tmp_path / "shore") == [b"signed"]


def test_without_a_key_it_says_that_nobody_is_verified(tmp_path):
    with receiving(tmp_path) as running:
        assert running.post(body(token(key=OTHER)), JSON)[0] == 200
        assert re.search("not verified", "".join(running.lines))


def test_a_key_without_a_webhook_is_told(tmp_path):
    (tmp_path / "key.pem").write_bytes(pem(KEY))
    with pytest.raises(click.UsageError, match="which is not given"):
        receive.main(
            ["--folder", str(tmp_path), "--webhook-key", str(tmp_path / "key.pem")], standalone_mode=False
        )
