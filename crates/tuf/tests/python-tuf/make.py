"""Makes the repository beside this file, with python-tuf 7 (pip install tuf 'securesystemslib[crypto]').

Another writer than the tests' own one: ECDSA and Ed25519 keys, a root that was rotated, a delegation, hashed names.
The private keys are forgotten at the end.
"""
import base64
import datetime
import hashlib
import json
import pathlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp)

HERE = pathlib.Path(__file__).parent
END = datetime.datetime(2126, 1, 1, tzinfo=datetime.timezone.utc)


def trusted_root():
    der = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    key_id = base64.b64encode(hashlib.sha256(der).digest()).decode()
    log = {"baseUrl": "https://rekor.acme.example", "hashAlgorithm": "SHA2_256",
           "publicKey": {"rawBytes": base64.b64encode(der).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                         "validFor": {"start": "2026-01-01T00:00:00Z"}},
           "logId": {"keyId": key_id}}
    root = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs": [log],
            "certificateAuthorities": [], "ctlogs": [], "timestampAuthorities": []}
    return json.dumps(root, indent=1).encode()


def write(name, metadata, signers):
    for signer in signers:
        metadata.sign(signer, append=True)
    metadata.to_file(str(HERE / name))


one, two, three = (CryptoSigner.generate_ecdsa() for _ in range(3))
online, deep = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()

root = Root(expires=END, consistent_snapshot=True)
for signer, role in [(one, "root"), (two, "root"), (two, "targets"), (online, "snapshot"), (online, "timestamp")]:
    root.add_key(signer.public_key, role)
root.roles["root"].threshold = 2
write("1.root.json", Metadata(root), [one, two])
root.version = 2
root.revoke_key(one.public_key.keyid, "root")
root.add_key(three.public_key, "root")
write("2.root.json", Metadata(root), [one, two, three])

text = trusted_root()
name = "trusted_root.json"
target = TargetFile.from_data(name, text, ["sha256"])
(HERE / "targets").mkdir(exist_ok=True)
(HERE / "targets" / f"{target.hashes['sha256']}.{name}").write_bytes(text)
delegated = Targets(expires=END)
delegated.targets[name] = target
write("1.registry.json", Metadata(delegated), [deep])
role = DelegatedRole("registry", [deep.public_key.keyid], 1, True, paths=["*.json"])
targets = Targets(expires=END, delegations=Delegations({deep.public_key.keyid: deep.public_key}, {"registry": role}))
write("1.targets.json", Metadata(targets), [two])
write("1.snapshot.json", Metadata(Snapshot(expires=END, meta={
    "targets.json": MetaFile(1), "registry.json": MetaFile(1)})), [online])
write("timestamp.json", Metadata(Timestamp(expires=END, snapshot_meta=MetaFile(1))), [online])
