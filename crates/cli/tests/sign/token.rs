//! A release key in a token, of SoftHSM.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{code, part, stderr, stdout};
use crate::world::{Desk, RELEASE, USER, takes};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

#[test]
fn a_key_in_a_token_signs_for_apt_and_its_pin_is_not_read_before_the_decision() {
    if part("SoftHSM", PathBuf::from(MODULE)).is_none() {
        return;
    }
    let desk = Desk::new();
    fs::create_dir(desk.file("tokens")).unwrap();
    let conf = desk.at("softhsm2.conf");
    fs::write(&conf, format!("directories.tokendir = {}\n", desk.at("tokens"))).unwrap();
    fs::write(desk.file("pin"), "428571\n").unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).env("SOFTHSM2_CONF", &conf).output().unwrap();
        (code(&output), stdout(&output) + &stderr(&output))
    };
    let token = ["--init-token", "--free", "--label", "release", "--pin", "428571", "--so-pin", "0000"];
    assert_eq!(run("softhsm2-util", &token).0, 0);
    let login = ["--module", MODULE, "--token-label", "release", "--login", "--pin", "428571"];
    let make = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "apt", "--id", "01"];
    assert_eq!(run("pkcs11-tool", &[&login[..], &make].concat()).0, 0);

    let uri = |pin: &str| {
        format!("pkcs11:token=release;object=apt?module-path={MODULE}&pin-source=file:{}", desk.at(pin))
    };
    let own = env!("CARGO_BIN_EXE_portcullis");
    let good = uri("pin");
    let name = desk.at("hsm");
    let block = ["keygen", &name, "--public-of", &good, "--form", "openpgp", "--user-id", USER];
    let (exit, said) = run(own, &block);
    assert_eq!(exit, 0, "{said}");

    let mut ask = desk.ask("openpgp-clear", "unused", "release/apt");
    ask.key = uri("pin");
    ask.more = vec!["--block".to_owned(), desk.at("hsm.asc")];
    ask.bundles.push(desk.release("Release", "release"));
    let args = desk.arguments(&ask, "Release");
    let (exit, said) = run(own, &args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(exit, 0, "{said}");
    let signature = fs::read_to_string(desk.file("out")).unwrap();
    desk.on_record(&signature, RELEASE, "policy");
    let ring = desk.at("hsm.gpg");
    takes("gpg", &["--batch", "--dearmor", "--output", &ring, &desk.at("hsm.asc")]).unwrap();
    assert!(takes("gpgv", &["--keyring", &ring, &desk.at("out")]).unwrap().contains("ECDSA"));
    fs::remove_file(desk.file("out")).unwrap();

    // whoever reads this PIN waits for ever
    desk.fifo("unread");
    ask.key = uri("unread");
    ask.bundles.clear();
    let args = desk.arguments(&ask, "Release");
    let bounded = [&["30", own], &args.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat();
    let (exit, said) = run("timeout", &bounded);
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("signed-by"), "{said}");
    desk.nothing(1);
    assert!(Path::new(&desk.at("unread")).exists());
}
