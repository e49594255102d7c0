#!/usr/bin/env python3
"""Asks a choke point whether an artifact may go into an environment. Python's standard library only.

As a program it prints the answer and ends with 0 (it may), 1 (it may not) or 2 (nobody could decide). It is called as
decide.sh is:

    decide.py ENVIRONMENT NAME FILE [BUNDLE...]

NAME is what the policy's `artifact:` calls it. Without bundles, what was attached counts. Settings, from the environment:

    PORTCULLIS_URL    https://HOST:PORT
    PORTCULLIS_CA     the authority of that address, PEM; without, those of this machine
    PORTCULLIS_CERT   this asker's certificate, and
    PORTCULLIS_KEY    its key; or
    PORTCULLIS_TOKEN  the file with a token
    PORTCULLIS_GRANT  the digest of a breakglass grant, in an emergency

As a module: `Chokepoint(...).decide(...)` gives a `Decision`, and raises `CannotDecide` where there is none. Deploy only
where `is_admitted` is true, and only the bytes whose digest was asked about.
"""

import hashlib
import http.client
import json
import os
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
    if len(sys.argv) < 4:
        print(f"usage: {sys.argv[0]} ENVIRONMENT NAME FILE [BUNDLE...]", file=sys.stderr)
        return 2
    environment, name, artifact, *files = sys.argv[1:]
    url, ca, certificate, key, token_file, grant = (
        os.environ.get(f"PORTCULLIS_{setting}") or None for setting in ("URL", "CA", "CERT", "KEY", "TOKEN", "GRANT")
    )
    if not url:
        print("cannot decide: set PORTCULLIS_URL to the choke point's address, https://HOST:PORT", file=sys.stderr)
        return 2
    try:
        token = pathlib.Path(token_file).read_text("ascii").strip() if token_file else None
        with open(artifact, "rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
        bundles = [(file, json.loads(pathlib.Path(file).read_bytes())) for file in files]
        choke_point = Chokepoint(url, ca, certificate, key, token)
        decision = choke_point.decide(environment, name, digest.hexdigest(), bundles, grant)
    except (CannotDecide, OSError, ValueError) as error:
        print(f"cannot decide: {error}", file=sys.stderr)
        return 2
    print(decision.text.rstrip("\n"))
    return 0 if decision.is_admitted else 1


if __name__ == "__main__":
    sys.exit(main())
