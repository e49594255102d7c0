//! Records of what a machine let in while its choke point could not be reached: what must not stand in them.

use attest::redact::{redact, without_credentials};
use attest::{Json, Object};

/// A record without secrets: they are taken out before it is written, and once more before it is brought. The grant stays, byte
/// for byte, because it is signed. What has none stays as it is.
#[must_use]
pub fn without_secrets(record: &Object) -> Object {
    let mut record = record.clone();
    for (key, value) in record.iter_mut().filter(|(key, _)| *key != "grant") {
        if let ("artifact", Json::Object(artifact)) = (key, &mut *value) {
            let uri = artifact.string("uri").map(without_credentials);
            artifact.set_some("uri", uri.ok());
        }
        redact(value);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        let json = attest::json::parse(text.as_bytes()).unwrap();
        let once = without_secrets(json.as_object().unwrap());
        assert_eq!(without_secrets(&once), once, "once is enough");
        Json::from(once).to_string()
    }

    #[test]
    fn a_login_and_a_token_are_taken_out_and_the_signed_grant_is_not_touched() {
        let said = cleaned(
            r#"{"artifact":{"uri":"https://ci:hunter2@r.example/shop"},"requester":"ghp_0123456789abcdef0123","grant":{"password":"hunter2"}}"#,
        );
        let wanted = r#"{"artifact":{"uri":"https://[redacted]@r.example/shop"},"requester":"[redacted]","grant":{"password":"hunter2"}}"#;
        assert_eq!(said, wanted);
    }

    #[test]
    fn what_machines_write_stays_as_it_is() {
        for text in [
            r#"{"at":"2026-11-22T09:00:00Z","environment":"prod/shop","artifact":{"uri":"pkg:npm/@acme/shop","digest":{"sha256":"aa"}},"chokepoint":"node/node-1","requester":"alice","workload":"db-1/shop"}"#,
            r#"{"artifact":{"uri":"r.example:5000/shop"},"record":"17:sha256:0d98116b56659451","vkey":"host-7/portcullis-spool+0d98116b+AXpEVCtZzM0nW7gQGg9kDYeN3p1t5bZtPvT2Qe0t3x8=","receipt":"host-7/portcullis-spool\n17\nDZgRa1ZllFE=\n\n— host-7/portcullis-spool DZgRa1ZllFEAAAA=\n"}"#,
        ] {
            assert_eq!(cleaned(text), text);
        }
    }
}
