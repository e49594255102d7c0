"""Makes layouts and links at random, and says what the reference implementation of in-toto thinks of each.

worlds.py FOLDER COUNT SEED: FOLDER/N has layout, owner.pub, links/, and verdict: `met`, or the exception's name.
"""

import json
import logging
import os
import random
import sys

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from in_toto.models.layout import Layout
from in_toto.models.link import Link
from in_toto.models.metadata import Envelope, Metablock
from in_toto.verifylib import in_toto_verify
from securesystemslib.signer import CryptoSigner

PATHS = ["foo", "bar", "foo.py", "dir/foo", "dir/bar", "dir/sub/foo", "Foo", "é"]
PATTERNS = ["*", "*", "foo", "f*", "?oo", "dir/*", "*/foo", "*.py", "d*o", "??", "dir/foo", "é", "F*"]
WORDS = ["ALLOW", "CREATE", "DELETE", "MODIFY", "DISALLOW"]


def digest(random_):
    return {"sha256": random_.choice("0123") * 64}


def rule(random_, steps):
    kind = random_.random()
    if kind < 0.07:
        return ["REQUIRE", random_.choice(PATHS)]
    if kind < 0.4 and steps:
        words = ["MATCH", random_.choice(PATTERNS)]
        words += ["IN", random_.choice(["dir", "dir/", "dir/sub"])] if random_.random() < 0.25 else []
        words += ["WITH", random_.choice(["PRODUCTS", "PRODUCTS", "MATERIALS"])]
        words += ["IN", random_.choice(["dir", "dir/"])] if random_.random() < 0.25 else []
        return words + ["FROM", random_.choice(steps)]
    word = random_.choice(WORDS[:4]) if kind < 0.85 else "DISALLOW"
    word = word.lower() if random_.random() < 0.1 else word
    return [word, random_.choice(PATTERNS)]


def rules(random_, steps):
    listed = [rule(random_, steps) for _ in range(random_.randrange(4))]
    return listed + ([["DISALLOW", "*"]] if random_.random() < 0.3 else [])


def artifacts(random_, before):
    out = {path: value for path, value in before.items() if random_.random() < 0.8}
    for path in random_.sample(PATHS, random_.randrange(3)):
        out[path] = digest(random_)
    return out


def wrap(random_, signed):
    return Metablock(signed=signed) if random_.random() < 0.5 else Envelope.from_signable(signed)


def layout_of(random_, functionaries, names, depth):
    steps = []
    for name in names:
        chosen = random_.sample(functionaries, random_.choice([1, 1, 2]))
        steps.append({
            "_type": "step", "name": name, "expected_command": [],
            "pubkeys": [s.public_key.keyid for s in chosen],
            "threshold": random_.choice([1, len(chosen)]),
            "expected_materials": rules(random_, names), "expected_products": rules(random_, names),
        })
    keys = {s.public_key.keyid: {"keyid": s.public_key.keyid, **s.public_key.to_dict()} for s in functionaries}
    expires = "2020-01-01T00:00:00Z" if random_.random() < 0.04 else "2035-01-01T00:00:00Z"
    return Layout.read({"_type": "layout", "steps": steps, "inspect": [], "keys": keys, "expires": expires, "readme": ""})


def write_links(random_, layout, functionaries, folder, depth):
    os.makedirs(folder, exist_ok=True)
    before = artifacts(random_, {})
    by_id = {s.public_key.keyid: s for s in functionaries}
    for step in layout.steps:
        after = artifacts(random_, before)
        for keyid in step.pubkeys:
            if random_.random() < 0.05:
                continue
            # the reference counts nobody's link under another's file name; so a wrong signer is one whom nobody lists
            strangers = [s for s in functionaries if s.public_key.keyid not in step.pubkeys]
            signer = by_id[keyid] if random_.random() < 0.95 or not strangers else random_.choice(strangers)
            path = os.path.join(folder, f"{step.name}.{keyid[:8]}")
            if depth == 0 and random_.random() < 0.08:
                inner = layout_of(random_, functionaries, ["inner"], depth + 1)
                metadata = wrap(random_, inner)
                write_links(random_, inner, functionaries, path, depth + 1)
            else:
                products = after if random_.random() < 0.95 else artifacts(random_, after)
                metadata = wrap(random_, Link(name=step.name, materials=before, products=products, command=[], byproducts={"stdout": "\u00e9\"\\\n\u0001", "return-value": 0}))
            metadata.create_signature(signer)
            metadata.dump(path + ".link")
        before = after


def main(folder, count, seed):
    logging.disable(logging.CRITICAL)
    random_ = random.Random(seed)
    owner = CryptoSigner.generate_ed25519()
    functionaries = [CryptoSigner.generate_ed25519(), CryptoSigner.generate_ecdsa(), CryptoSigner.generate_rsa(size=2048)]
    pem = owner._private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for number in range(count):
        here = os.path.join(folder, str(number))
        os.makedirs(here)
        with open(os.path.join(here, "owner.pub"), "wb") as file:
            file.write(pem)
        layout = layout_of(random_, functionaries, ["one", "two", "three"][: random_.randrange(1, 4)], 0)
        links = os.path.join(here, "links")
        write_links(random_, layout, functionaries, links, 0)
        metadata = wrap(random_, layout)
        metadata.create_signature(owner if random_.random() < 0.97 else functionaries[0])
        metadata.dump(os.path.join(here, "layout"))
        public = {"keyid": owner.public_key.keyid, **owner.public_key.to_dict()}
        try:
            in_toto_verify(metadata, {owner.public_key.keyid: public}, link_dir_path=links)
            verdict = "met"
        except Exception as error:  # whatever it is, it is no yes
            verdict = type(error).__name__
        with open(os.path.join(here, "verdict"), "w", encoding="utf-8") as file:
            file.write(verdict)


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
