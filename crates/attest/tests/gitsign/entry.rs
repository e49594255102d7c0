//! A log's entry about one signature, in a tree of one leaf, as gitsign keeps it: protobuf without the body.

use attest::{Digest, SecretKey, Signer as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What the log says.
pub struct Entry {
    log: Vec<u8>,
    time: i64,
    promise: Vec<u8>,
    root: Vec<u8>,
    checkpoint: String,
}

impl Entry {
    pub fn new(log: &SecretKey, signed: &[u8], signature: &[u8], certificate: &str, time: i64) -> Self {
        let body = format!(
            r#"{{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{{"data":{{"hash":{{"algorithm":"sha256","value":"{}"}}}},"signature":{{"content":"{}","publicKey":{{"content":"{}"}}}}}}}}"#,
            Digest::sha256(signed).hex(),
            STANDARD.encode(signature),
            STANDARD.encode(certificate),
        );
        let id = Digest::sha256(log.public().spki());
        let promised = format!(
            r#"{{"body":"{}","integratedTime":{time},"logID":"{}","logIndex":0}}"#,
            STANDARD.encode(&body),
            id.hex()
        );
        let root = Digest::sha256(&[b"\0", body.as_bytes()].concat());
        let note = format!("rekor.acme.example - 1\n1\n{}\n", STANDARD.encode(root.bytes()));
        let line = [&id.bytes()[..4], &log.sign(note.as_bytes()).unwrap()].concat();
        Self {
            log: id.bytes().to_vec(),
            time,
            promise: log.sign(promised.as_bytes()).unwrap(),
            root: root.bytes().to_vec(),
            checkpoint: format!("{note}\n\u{2014} rekor.acme.example {}\n", STANDARD.encode(line)),
        }
    }

    pub fn protobuf(&self) -> Vec<u8> {
        self.write("hashedrekord", self.time, true)
    }

    pub fn without_promise(&self) -> Vec<u8> {
        self.write("hashedrekord", self.time, false)
    }

    pub fn promising(&self, time: i64) -> Vec<u8> {
        self.write("hashedrekord", time, true)
    }

    pub fn of_kind(&self, kind: &str) -> Vec<u8> {
        self.write(kind, self.time, true)
    }

    fn write(&self, kind: &str, time: i64, promise: bool) -> Vec<u8> {
        let kind = [field(1, kind.as_bytes()), field(2, b"0.0.1")].concat();
        let proof =
            [field(2, &self.root), number(3, 1), field(5, &field(1, self.checkpoint.as_bytes()))].concat();
        let mut all = [field(2, &field(1, &self.log)), field(3, &kind), number(4, time)].concat();
        if promise {
            all.extend(field(5, &field(1, &self.promise)));
        }
        all.extend(field(6, &proof));
        all
    }
}

fn number(number: u8, value: i64) -> Vec<u8> {
    let mut bytes = vec![number << 3];
    let mut rest = u64::try_from(value).unwrap();
    while rest > 0x7f {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn field(at: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = number(at, i64::try_from(value.len()).unwrap());
    bytes[0] |= 2;
    [bytes, value.to_vec()].concat()
}
