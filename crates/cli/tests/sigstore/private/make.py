"""Makes a Sigstore instance of one's own, and what it vouches for (pip install cryptography): an authority, a log, no
certificate log and no timestamps; a certificate for ten minutes, a file, its bundle. The keys are forgotten at the end.
"""
import base64
import datetime
import hashlib
import json
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2026, 11, 20, 9, 0, tzinfo=datetime.timezone.utc)
MINUTES = datetime.timedelta(minutes=10)
IDENTITY = "https://git.acme.example/acme/shop/.github/workflows/release.yml@refs/heads/main"
ISSUER = "https://git.acme.example"
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER


def b64(data):
    return base64.b64encode(data).decode()


def compact(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def sign(key, data):
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def spki(key):
    return key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def utf8(text):
    data = text.encode()
    return b"\x0c" + (bytes([len(data)]) if len(data) < 128 else bytes([0x81, len(data)])) + data


def certificate(name, issuer, key, signer, start, end, extensions):
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
    extensions = extensions + [
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)]
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


def usage(**on):
    names = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


ca, log, signer = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
authority = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "acme.example"),
                       x509.NameAttribute(NameOID.COMMON_NAME, "acme sigstore")])
root = certificate(authority, authority, ca, ca, NOW - 1000 * MINUTES, NOW + 400000 * MINUTES, [
    (x509.BasicConstraints(True, 0), True), (usage(key_cert_sign=True, crl_sign=True), True)])
claims = {1: ISSUER.encode(), 8: utf8(ISSUER), 12: utf8("https://git.acme.example/acme/shop"),
          13: utf8("1f" * 20), 14: utf8("refs/heads/main"), 20: utf8("push")}
leaf = certificate(x509.Name([]), authority, signer, ca, NOW, NOW + MINUTES, [
    (usage(digital_signature=True), True),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
    (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(IDENTITY)]), True)] + [
    (x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}"), value), False)
    for number, value in claims.items()])

artifact = b"the shop, version 1\n"
signature = sign(signer, artifact)
body = compact({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
    "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(artifact).hexdigest()}},
    "signature": {"content": b64(signature), "publicKey": {"content": b64(leaf.public_bytes(PEM))}}}})
log_id = hashlib.sha256(spki(log)).digest()
time = int((NOW + MINUTES / 2).timestamp())
promise = sign(log, compact({"body": b64(body), "integratedTime": time, "logIndex": 0, "logID": log_id.hex()}))
tree = hashlib.sha256(b"\0" + body).digest()
note = f"rekor.acme.example - 1\n1\n{b64(tree)}\n"
checkpoint = f"{note}\n\u2014 rekor.acme.example {b64(log_id[:4] + sign(log, note.encode()))}\n"
entry = {"logIndex": "0", "logId": {"keyId": b64(log_id)}, "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
         "integratedTime": str(time), "inclusionPromise": {"signedEntryTimestamp": b64(promise)},
         "inclusionProof": {"logIndex": "0", "rootHash": b64(tree), "treeSize": "1", "hashes": [],
                            "checkpoint": {"envelope": checkpoint}},
         "canonicalizedBody": b64(body)}
bundle = {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
          "verificationMaterial": {"certificate": {"rawBytes": b64(leaf.public_bytes(DER))}, "tlogEntries": [entry]},
          "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(artifact).digest())},
                               "signature": b64(signature)}}
window = {"start": "2026-11-01T00:00:00Z"}
trusted = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
           "tlogs": [{"baseUrl": "https://rekor.acme.example", "hashAlgorithm": "SHA2_256",
                      "publicKey": {"rawBytes": b64(spki(log)), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                                    "validFor": window}, "logId": {"keyId": b64(log_id)}}],
           "certificateAuthorities": [{"subject": {"organization": "acme.example", "commonName": "acme sigstore"},
                                       "uri": "https://fulcio.acme.example",
                                       "certChain": {"certificates": [{"rawBytes": b64(root.public_bytes(DER))}]},
                                       "validFor": window}],
           "ctlogs": [], "timestampAuthorities": []}
(HERE / "artifact").write_bytes(artifact)
(HERE / "bundle.json").write_text(json.dumps(bundle, indent=1))
(HERE / "trusted_root.json").write_text(json.dumps(trusted, indent=1))
