//! Decided by the engine in the same process.

use std::fs;
use std::process::Command;

use crate::tools::{cache, code, expect, part, path, stderr, stdout};
use crate::world::{Desk, RELEASE, finish, ring, takes, until};

#[test]
fn what_is_released_is_signed_in_every_form_and_its_own_tools_take_it() {
    let desk = Desk::new();
    let (file, out, ring) = (desk.at("Release"), desk.at("out"), ring(&desk));
    let bundle = desk.release("Release", "release");

    let mut ask = desk.ask("openpgp", "apt.key", "release/apt");
    ask.bundles.push(bundle.clone());
    let (said, signature) = desk.signed(&ask, "Release");
    assert!(said.contains("admit: ") && said.contains("by policy") && said.contains("signed: "), "{said}");
    desk.on_record(&signature, RELEASE, "policy");
    assert!(takes("gpgv", &["--keyring", &ring, &out, &file]).unwrap().contains("release@shop.example"));

    ask.form = "openpgp-clear";
    let (_, signature) = desk.signed(&ask, "Release");
    desk.on_record(&signature, RELEASE, "policy");
    takes("gpgv", &["--keyring", &ring, "--output", &desk.at("read"), &out]).unwrap();
    assert_eq!(fs::read(desk.file("read")).unwrap(), RELEASE);

    let mut ask = desk.ask("minisign", "files.key", "release/files");
    ask.bundles.push(bundle.clone());
    let (_, signature) = desk.signed(&ask, "Release");
    desk.on_record(&signature, RELEASE, "policy");
    let public = desk.at("files.minisign.pub");
    let verify = |file: &str| takes("minisign", &["-V", "-p", &public, "-x", &out, "-m", file]);
    assert!(verify(&file).unwrap().contains("file:Release"));
    fs::write(desk.file("other"), b"another\n").unwrap();
    verify(&desk.at("other")).unwrap_err();
    // its comment, which is signed too, says what was judged, and not what somebody calls the file
    fs::copy(&file, desk.file("shop-9.tar.gz")).unwrap();
    let (_, signature) = desk.signed(&ask, "shop-9.tar.gz");
    assert!(signature.contains("\tfile:Release\t") && !signature.contains("shop-9"), "{signature}");

    let mut ask = desk.ask("cosign", "blobs.key", "release/files");
    ask.bundles.push(bundle);
    let (_, signature) = desk.signed(&ask, "Release");
    desk.on_record(&signature, RELEASE, "policy");
    let Some(cosign) = part("cosign", cache("tools/cosign")) else { return };
    let public = desk.at("blobs.pub");
    let verify = |file: &str| {
        let how = ["verify-blob", "--key", &public, "--bundle", &out, "--insecure-ignore-tlog", file];
        takes(path(&cosign), &how)
    };
    assert!(verify(&file).unwrap().contains("Verified OK"));
    verify(&desk.at("other")).unwrap_err();
    assert_eq!(desk.signatures().len(), 5);
    audited(&desk, &signature);
}

/// Every signature rests on a decision; one that is not on record is found.
fn audited(desk: &Desk, signature: &str) {
    let (log, own) = (desk.at("log"), desk.at("published"));
    fs::write(&own, signature).unwrap();
    let said = expect(0, &["log", "signatures", &log, &own]);
    assert!(said.contains("openpgp-clear") && said.contains("every signature rests on a decision"), "{said}");
    fs::write(&own, format!("{signature}\n")).unwrap();
    let said = expect(1, &["log", "signatures", &log, &own]);
    assert!(said.contains("not on record") && said.contains("published"), "{said}");
}

#[test]
fn what_the_policy_refuses_is_not_signed_and_the_key_is_not_opened() {
    let desk = Desk::new();
    // whoever opens it waits for ever
    let key = desk.fifo("unread");
    let good = desk.release("Release", "release");
    let elsewhere = desk.release("Release", "test");
    fs::write(desk.file("changed"), [RELEASE, b"more\n"].concat()).unwrap();
    let expired = desk.grant("2026-01-01T00:00:00Z", "1h");
    for (what, file, environment, bundles, more, reasons) in [
        ("nothing was said of it", "Release", "release/apt", vec![], vec![], vec!["signed-by"]),
        (
            "a byte was changed",
            "changed",
            "release/apt",
            vec![&good],
            vec![],
            vec!["evidence-applies", "another artifact"],
        ),
        (
            "released for somewhere else",
            "Release",
            "release/apt",
            vec![&elsewhere],
            vec![],
            vec!["released-for"],
        ),
        ("nobody wrote a policy", "Release", "release/none", vec![&good], vec![], vec!["policy-missing"]),
        (
            "a grant that has ended",
            "Release",
            "release/apt",
            vec![],
            vec!["--breakglass", &expired],
            vec!["breakglass-grant", "expired", "signed-by"],
        ),
        (
            "a grant where none counts",
            "Release",
            "release/files",
            vec![],
            vec!["--breakglass", &expired],
            vec!["breakglass-grant", "signed-by"],
        ),
        (
            "a dry run signs nothing",
            "Release",
            "release/trial",
            vec![],
            vec![],
            vec!["admitted by dry-run alone"],
        ),
    ] {
        let mut ask = desk.ask("openpgp", "unread", environment);
        ask.bundles.extend(bundles.into_iter().cloned());
        ask.more.extend(more.into_iter().map(str::to_owned));
        let before = desk.entries("decision").len();
        let child = desk.begin(&ask, file);
        let output = finish(child);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), 1, "{what}: {said}");
        for reason in reasons {
            assert!(said.contains(reason), "{what}: wanted `{reason}` in\n{said}");
        }
        desk.nothing(0);
        assert_eq!(desk.entries("decision").len(), before + 1, "{what}: it is on record");
    }
    drop(key);
}

#[test]
fn the_bytes_that_were_decided_about_are_signed_whatever_happens_to_the_file_meanwhile() {
    let desk = Desk::new();
    let bundle = desk.release("Release", "release");
    let real = fs::read(desk.file("apt.key")).unwrap();
    for change in ["write", "replace", "remove", "link"] {
        fs::write(desk.file("Release"), RELEASE).unwrap();
        fs::remove_file(desk.file("out")).ok();
        fs::remove_file(desk.file("slow.key")).ok();
        let key = desk.fifo("slow.key");
        let mut ask = desk.ask("openpgp", "slow.key", "release/apt");
        ask.bundles.push(bundle.clone());
        let (decided, signed) = (desk.entries("decision").len(), desk.signatures().len());
        let child = desk.begin(&ask, "Release");
        // it waits for the key, and the decision is on record
        until("no decision", || desk.entries("decision").len() > decided);
        assert_eq!(desk.signatures().len(), signed);
        let file = desk.file("Release");
        let evil = b"Origin: Somebody\n";
        match change {
            "write" => fs::write(&file, evil).unwrap(),
            "remove" => fs::remove_file(&file).unwrap(),
            "replace" => {
                fs::write(desk.file("evil"), evil).unwrap();
                fs::rename(desk.file("evil"), &file).unwrap();
            }
            _ => {
                fs::write(desk.file("evil"), evil).unwrap();
                fs::remove_file(&file).unwrap();
                std::os::unix::fs::symlink(desk.file("evil"), &file).unwrap();
            }
        }
        fs::write(&key, &real).unwrap();
        let output = finish(child);
        assert_eq!(code(&output), 0, "{change}: {}", stderr(&output));
        fs::write(desk.file("was"), RELEASE).unwrap();
        takes("gpgv", &["--keyring", &ring(&desk), &desk.at("out"), &desk.at("was")]).unwrap();
        desk.on_record(&fs::read_to_string(desk.file("out")).unwrap(), RELEASE, "policy");
        fs::remove_file(&file).ok();
    }
}

#[test]
fn a_file_is_read_once() {
    let desk = Desk::new();
    let bundle = desk.release("Release", "release");
    let pipe = desk.fifo("pipe");
    let mut ask = desk.ask("openpgp", "apt.key", "release/apt");
    ask.bundles.push(bundle);
    let child = desk.begin(&ask, "pipe");
    // who reads a second time gets nothing, and waits for ever
    fs::write(&pipe, RELEASE).unwrap();
    let output = finish(child);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    takes("gpgv", &["--keyring", &ring(&desk), &desk.at("out"), &desk.at("Release")]).unwrap();
}

#[test]
fn a_process_that_is_killed_before_it_signs_leaves_a_decision_and_no_signature() {
    let desk = Desk::new();
    let bundle = desk.release("Release", "release");
    desk.fifo("slow.key");
    let mut ask = desk.ask("openpgp", "slow.key", "release/apt");
    ask.bundles.push(bundle.clone());
    let mut child = desk.begin(&ask, "Release");
    until("no decision", || !desk.entries("decision").is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    desk.nothing(0);
    // and the next one goes on
    let mut ask = desk.ask("openpgp", "apt.key", "release/apt");
    ask.bundles.push(bundle);
    let (_, signature) = desk.signed(&ask, "Release");
    desk.on_record(&signature, RELEASE, "policy");
}

#[test]
fn a_grant_has_it_signed_and_that_stands_in_the_log() {
    let desk = Desk::new();
    let mut ask = desk.ask("openpgp", "apt.key", "release/apt");
    ask.more.extend(["--breakglass".to_owned(), desk.grant(&now(), "1h")]);
    let (said, signature) = desk.signed(&ask, "Release");
    assert!(said.contains("warning: breakglass") && said.contains("by breakglass"), "{said}");
    desk.on_record(&signature, RELEASE, "breakglass");
    takes("gpgv", &["--keyring", &ring(&desk), &desk.at("out"), &desk.at("Release")]).unwrap();
    // it waits for a second person's review, like every use of a grant
    let (log, root) = (desk.at("log"), desk.at("trust-root.yaml"));
    let listed = expect(0, &["breakglass", "list", "--log", &log, "--trust-root", &root]);
    assert!(listed.contains("INC-7"), "{listed}");
}

#[test]
fn a_key_that_is_anothers_and_one_of_another_kind_sign_nothing() {
    let desk = Desk::new();
    let bundle = desk.release("Release", "release");
    let ask = |form: &'static str, key: &str| {
        let mut ask = desk.ask(form, key, "release/apt");
        ask.bundles.push(bundle.clone());
        ask
    };
    for (form, key, reason) in [
        ("minisign", "keys/log.key", "the key is the log's"),
        ("cosign", "keys/release-desk.key", "of release-desk, a releaser of the trust root"),
        ("cosign", "keys/official-ci.key", "of official-ci, a builder of the trust root"),
        ("cosign", "keys/bob.key", "of bob, a reviewer of the trust root"),
        ("cosign", "apt.key", "wanted p256"),
        ("minisign", "blobs.key", "wanted ed25519"),
        ("openpgp", "files.key", "the OpenPGP public key block is another key's"),
        ("openpgp", "missing.key", "cannot read the private key"),
    ] {
        let before = desk.entries("decision").len();
        let said = desk.refused(2, &ask(form, key), "Release");
        assert!(said.contains(reason), "{key}: {said}");
        // what can be seen without the key is no matter for a decision
        let is_seen = !key.starts_with("keys/");
        assert_eq!(desk.entries("decision").len() - before, usize::from(!is_seen), "{key}: {said}");
    }
    // without its public half, and where that lies, the key itself is asked
    for change in ["remove", "lie"] {
        match change {
            "remove" => fs::remove_file(desk.file("blobs.pub")).unwrap(),
            _ => drop(fs::copy(desk.file("files.pub"), desk.file("blobs.pub")).unwrap()),
        }
        let said = desk.refused(2, &ask("minisign", "blobs.key"), "Release");
        assert!(said.contains("wanted ed25519"), "{change}: {said}");
    }
    let mut ask = ask("openpgp", "apt.key");
    ask.more.clear();
    assert!(desk.refused(2, &ask, "Release").contains("which published OpenPGP key signs"));
}

#[test]
fn nothing_is_signed_while_the_log_is_broken_or_full() {
    let desk = Desk::new();
    let mut ask = desk.ask("openpgp", "apt.key", "release/apt");
    ask.bundles.push(desk.release("Release", "release"));
    desk.signed(&ask, "Release");
    fs::remove_file(desk.file("out")).unwrap();
    fs::rename(desk.file("log/checkpoint"), desk.file("kept")).unwrap();
    let output = desk.sign(&ask, "Release");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("has no checkpoint"), "{}", stderr(&output));
    assert!(!desk.file("out").exists());
    fs::rename(desk.file("kept"), desk.file("log/checkpoint")).unwrap();

    let disk = desk.at("disk");
    fs::create_dir(&disk).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=40m", "tmpfs", &disk];
    if !Command::new("mount").args(mount).status().is_ok_and(|s| s.success()) {
        eprintln!("\n*** SKIPPED: this user cannot mount a small disk; a full disk was NOT tried ***\n");
        return;
    }
    let _disk = Mounted(disk.clone());
    ask.more.extend(["--log".to_owned(), format!("{disk}/log")]);
    let args: Vec<String> = desk.arguments(&ask, "Release");
    // the earlier `--log` goes
    let first = args.iter().position(|a| a == "--log").unwrap();
    let args: Vec<&str> = args
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != first && *i != first + 1)
        .map(|(_, a)| a.as_str())
        .collect();
    let sign = || crate::tools::portcullis(&args);
    assert_eq!(code(&sign()), 0, "{}", stderr(&sign()));
    fs::remove_file(desk.file("out")).unwrap();
    let filler = format!("of={disk}/filler");
    Command::new("dd").args(["if=/dev/zero", &filler, "bs=4k"]).output().unwrap();
    let output = sign();
    assert_eq!(code(&output), 2, "{}{}", stdout(&output), stderr(&output));
    assert!(!desk.file("out").exists(), "{}", stdout(&output));
    assert!(stderr(&output).contains("is not on record, so nobody has it"), "{}", stderr(&output));
}

struct Mounted(String);

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().ok();
    }
}

#[allow(clippy::disallowed_methods, reason = "a test's own clock")]
pub fn now() -> String {
    jiff::Timestamp::now().to_string()
}
