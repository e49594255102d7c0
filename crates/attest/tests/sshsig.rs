//! SSH signatures against OpenSSH: what ssh-keygen signs verifies, and nothing is accepted that it refuses.

mod tools;

use attest::PublicKey;
use attest::key::KeyError;
use attest::sshsig::{SshError, SshSignature};
use tools::{Ssh, flips, mutants};

const MESSAGE: &[u8] = b"what is signed\n";
const KINDS: [(&str, &str); 4] = [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("rsa", "2048")];

fn listed(line: &str) -> PublicKey {
    PublicKey::from_listed(line).unwrap().remove(0)
}

fn is_by(key: &PublicKey, namespace: &str, signature: &[u8], message: &[u8]) -> bool {
    let text = std::str::from_utf8(signature).unwrap_or_default();
    SshSignature::from_armor(text).is_ok_and(|s| s.verify(key, namespace, message).is_ok())
}

#[test]
fn what_ssh_keygen_signs_verifies_for_its_key_its_namespace_and_its_message_alone() {
    let ssh = Ssh::new();
    let other = listed(&ssh.key("other", "ed25519", "256"));
    for (kind, bits) in KINDS {
        let name = format!("{kind}{bits}");
        let key = listed(&ssh.key(&name, kind, bits));
        for hash in ["hashalg=sha256", "hashalg=sha512"] {
            let signature = ssh.sign(&name, "git", &["-O", hash], MESSAGE);
            let read = SshSignature::from_armor(&signature).unwrap();
            assert_eq!(read.verify(&key, "git", MESSAGE), Ok(()), "{name} {hash}");
            assert_eq!(read.verify(&key, "file", MESSAGE), Err(SshError::Namespace("git".to_owned())));
            assert_eq!(read.verify(&key, "git", b"what is singed\n"), Err(SshError::NotByKey));
            assert_eq!(read.verify(&other, "git", MESSAGE), Err(SshError::NotByKey));
            // the same key in another form is another word
            let plain = PublicKey::from_pem(&key.to_pem()).unwrap();
            assert_eq!(read.verify(&plain, "git", MESSAGE), Err(SshError::NotByKey));
        }
    }
}

#[test]
fn no_change_is_accepted_that_ssh_keygen_refuses() {
    for (kind, bits) in KINDS {
        let ssh = Ssh::new();
        let key = listed(&ssh.key("a", kind, bits));
        let signature = ssh.sign("a", "file", &[], MESSAGE).into_bytes();
        assert!(ssh.accepts("a", "file", &signature, MESSAGE) && is_by(&key, "file", &signature, MESSAGE));
        assert!(flips(MESSAGE).all(|message| !is_by(&key, "file", &signature, &message)));
        let binary = attest::pem::decode(std::str::from_utf8(&signature).unwrap()).unwrap().1;
        let armor = |bytes: Vec<u8>| attest::pem::encode("SSH SIGNATURE", &bytes).into_bytes();
        let all = flips(&signature).chain(mutants(&signature, 5_000));
        let all = all.chain(flips(&binary).map(armor)).chain(mutants(&binary, 5_000).map(armor));
        let mut harmless = 0;
        for changed in all {
            if is_by(&key, "file", &changed, MESSAGE) {
                harmless += 1;
                assert!(
                    ssh.accepts("a", "file", &changed, MESSAGE),
                    "{kind}: {}",
                    String::from_utf8_lossy(&changed)
                );
            }
        }
        println!("{kind}{bits}: {harmless} harmless changes");
    }
}

#[test]
fn what_is_not_accepted_is_refused_by_name() {
    let ssh = Ssh::new();
    let wire = |fields: &[&[u8]]| -> Vec<u8> {
        let string = |f: &&[u8]| [&u32::try_from(f.len()).unwrap().to_be_bytes(), *f].concat();
        fields.iter().flat_map(string).collect()
    };
    let line = |kind: &str, blob: &[u8]| {
        use base64::Engine as _;
        format!("{kind} {}", base64::engine::general_purpose::STANDARD.encode(blob))
    };
    for (kind, words) in [
        ("sk-ssh-ed25519@openssh.com", "a key in a security key"),
        ("ssh-dss", "`ssh-dss` is not accepted"),
        ("ecdsa-sha2-nistp521", "`ecdsa-sha2-nistp521` is not accepted"),
        ("ssh-ed25519-cert-v01@openssh.com", "cert-v01"),
    ] {
        let error = PublicKey::from_listed(&line(kind, &wire(&[kind.as_bytes(), b"x"]))).unwrap_err();
        assert!(matches!(error, KeyError::Ssh(SshError::Refused(_))), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let small = wire(&[b"ssh-ed25519", &[&[1][..], &[0; 31]].concat()]);
    assert_eq!(PublicKey::from_listed(&line("ssh-ed25519", &small)).unwrap_err(), KeyError::SmallOrder);
    let own = ssh.key("a", "rsa", "2048");
    let lies = own.replacen("ssh-rsa", "ssh-ed25519", 1);
    assert!(PublicKey::from_listed(&lies).is_err());
    assert!(PublicKey::from_listed(&format!("{own}{own}")).is_err(), "one line");
    assert_eq!(PublicKey::from_listed("alice ssh-ed25519 AAAA").unwrap_err(), KeyError::NotListed);
    let weak = ssh.key("weak", "rsa", "1024");
    assert_eq!(PublicKey::from_listed(&weak).unwrap_err(), KeyError::Rejected);

    // the same signature, called by the name of SHA-1
    let signature = attest::pem::decode(&ssh.sign("a", "git", &[], MESSAGE)).unwrap().1;
    let at = signature.windows(12).rposition(|w| w == b"rsa-sha2-512").unwrap();
    let (head, tail) = (&signature[..at - 8], &signature[at + 12..]);
    let inner = [&7_u32.to_be_bytes()[..], b"ssh-rsa", tail].concat();
    let old = [head, &u32::try_from(inner.len()).unwrap().to_be_bytes(), &inner].concat();
    let error = SshSignature::from_binary(&old).unwrap_err();
    assert!(error.to_string().contains("`ssh-rsa`, which is SHA-1"), "{error}");
}
