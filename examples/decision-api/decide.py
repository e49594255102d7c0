#!/usr/bin/env python3
"""Asks a choke point whether an artifact may go into an environment. Python's standard library only.

As a program it prints the answer and ends with 0 (it may), 1 (it may not) or 2 (nobody could decide):

    decide.py --url https://portcullis.example:8443 --ca ca.pem --certificate ci.pem --key ci.key \
        --environment prod/shop --artifact pkg:deb/acme/shop --file shop.deb --bundle shop.sigstore.json

As a module: `Chokepoint(...).decide(...)` gives a `Decision`, and raises `CannotDecide` where there is none. Deploy only
where `is_admitted` is true, and only the bytes whose digest was asked about.
"""

import argparse
import hashlib
import http.client
import json
import pathlib
import ssl
import sys
import time
import urllib.parse
import uuid

MOST = 16 << 20


class CannotDecide(Exception):
    """There is no decision: nothing may go on, and another try may help."""


class Decision:
    """What was decided. `text` is for people, `answer` is the whole of it."""

    def __init__(self, status, answer):
        self.status = status
        self.answer = answer
        self.record = answer.get("record")
        # what has no record was a dry run, on which nobody may act
        self.is_admitted = status == 200 and answer.get("decision") == "admit" and bool(self.record)
        self.text = answer.get("text") or "\n".join(
            f"{key}: {answer[key]}" for key in ("message", "wanted", "found", "fix") if key in answer
        )


class Chokepoint:
    """One choke point, asked with a client certificate or with a token."""

    def __init__(self, url, ca=None, certificate=None, key=None, token=None):
        address = urllib.parse.urlsplit(url)
        if address.scheme != "https" or not address.hostname:
            raise ValueError(f"{url} is no https:// address")
        self.host, self.port = address.hostname, address.port or 443
        self.tls = ssl.create_default_context(cafile=ca)
        if certificate:
            self.tls.load_cert_chain(certificate, key)
        self.headers = {"content-type": "application/json"}
        if token:
            self.headers["authorization"] = f"Bearer {token}"

    def decide(self, environment, artifact, sha256, bundles=(), grant=None, workload=None, tries=3):
        """Asks, and again where nobody could decide. One key: however often it is sent, it is decided once."""
        question = {"environment": environment, "artifact": {"uri": artifact, "digest": {"sha256": sha256}}}
        if bundles:
            question["evidence"] = [{"name": name, "bundle": bundle} for name, bundle in bundles]
        if grant:
            question["grant"] = grant
        if workload:
            question["workload"] = workload
        headers = {**self.headers, "idempotency-key": uuid.uuid4().hex}
        body = json.dumps(question).encode()
        for last in range(tries):
            try:
                status, again, answer = self._ask(headers, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                status, again, answer = 0, 1, {"message": f"there is no answer: {error}"}
            if status in (200, 403):
                return Decision(status, answer)
            if 400 <= status < 500 and status != 429:
                break
            if last + 1 < tries:
                time.sleep(min(again, 10))
        raise CannotDecide(Decision(status, answer).text)

    def _ask(self, headers, body):
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=60)
        try:
            connection.request("POST", "/v1/decisions?timeout=30s", body, headers)
            response = connection.getresponse()
            text = response.read(MOST + 1)
            answer = json.loads(text)
            if len(text) > MOST or not isinstance(answer, dict):
                raise ValueError("it is no answer of a choke point")
            again = response.getheader("retry-after", "1")
            return response.status, int(again) if again.isdigit() else 1, answer
        finally:
            connection.close()


def main():
    parser = argparse.ArgumentParser(description="Asks whether an artifact may go into an environment.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--ca", help="the authority of the address; without, those of this machine")
    parser.add_argument("--certificate", help="this asker's certificate")
    parser.add_argument("--key", help="its key")
    parser.add_argument("--token-file", help="a file with a token, instead of a certificate")
    parser.add_argument("--environment", required=True)
    parser.add_argument("--artifact", required=True, help="what the policy's `artifact:` calls it")
    parser.add_argument("--file", required=True, help="the artifact itself")
    parser.add_argument("--bundle", action="append", default=[], help="evidence; without, what was attached counts")
    parser.add_argument("--grant", help="in an emergency, the digest of a breakglass grant")
    given = parser.parse_args()
    try:
        token = pathlib.Path(given.token_file).read_text("ascii").strip() if given.token_file else None
        with open(given.file, "rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
        bundles = [(name, json.loads(pathlib.Path(name).read_bytes())) for name in given.bundle]
        choke_point = Chokepoint(given.url, given.ca, given.certificate, given.key, token)
        decision = choke_point.decide(given.environment, given.artifact, digest.hexdigest(), bundles, given.grant)
    except (CannotDecide, OSError, ValueError) as error:
        print(f"cannot decide: {error}", file=sys.stderr)
        return 2
    print(decision.text.rstrip("\n"))
    return 0 if decision.is_admitted else 1


if __name__ == "__main__":
    sys.exit(main())
