//! The configuration of a build service is deployed like anything else: without its review it is not there, what was
//! replaced does not come back, and the last good one stays.

use std::fs;
use std::process::Command;

use crate::tools::{expect, portcullis_command};
use crate::world::{World, said};

const POLICY: &str = "environment: builders/eu\nartifact: portcullis:builder-configuration\nmode: enforce\nrequire:\n  \
                      signed-by: { at-least: 2, of: [bob, release-desk] }\n  released-for: builders\n  version: \">=1.1.0\"\n\
                      on-outage: reject\n";

/// A configuration, packed as it is deployed.
fn pack(world: &World, name: &str, waiting: u64) {
    let folder = world.at(&format!("{name}.d"));
    fs::create_dir(&folder).unwrap();
    let text = format!(
        "listen: 127.0.0.1:0\ntls: {{ certificate: init/tls/server.crt, key: init/tls/server.key }}\ncertificates: {{ ca: \
         init/tls/ca.crt, identity: uri }}\nrepositories:\n  - {{ url: https://git.example/acme/shop, protected: main, refs: \
         [main], may-build: [{{ certificate: \"spiffe://acme.example/ci\" }}] }}\nstate: service\nstore: store\nsigner: \
         signer.sock\nqueue: {{ waiting: {waiting} }}\n"
    );
    fs::write(folder.join("service.yaml"), text).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-cf", &world.text(name), "--sort=name", "--mtime=@0", "-C"]).arg(&folder);
    assert!(tar.arg(".").status().unwrap().success());
}

/// Both who must sign for it do.
fn reviewed(world: &World, name: &str, version: &str) -> Vec<String> {
    let digest = attest::Digest::sha256(&fs::read(world.at(name)).unwrap()).to_string();
    let purl = format!("pkg:generic/builder-configuration@{version}");
    let sign = |person: &str| {
        let (key, out) =
            (world.text(&format!("init/keys/{person}.key")), world.text(&format!("{name}.{person}.json")));
        let what = ["attest", "release", &digest, "--purl", &purl, "--for", "builders"];
        expect(0, &[&what[..], &["--key", &key, "--out", &out]].concat());
        ["--bundle".to_owned(), out]
    };
    ["bob", "release-desk"].iter().flat_map(|person| sign(person)).collect()
}

/// Deploys it to the builder, which reads it then.
fn deploy(world: &World, exit: i32, name: &str, bundles: &[String]) -> String {
    let mut deploy = portcullis_command();
    deploy.current_dir(world.dir.path()).args(["deploy", name, "--as", "portcullis:builder-configuration"]);
    deploy.args(["--environment", "builders/eu", "--install", "builder"]).args(bundles).args(world.gate());
    deploy.args(["--", env!("CARGO_BIN_EXE_portcullis"), "builder", "serve", "--check"]);
    deploy.args(["--config", "builder/current/service.yaml"]);
    said(exit, &deploy.output().unwrap())
}

fn current(world: &World) -> String {
    fs::read_to_string(world.at("builder/current/service.yaml")).unwrap()
}

#[test]
fn a_builders_configuration_is_there_once_it_was_reviewed_and_the_last_good_one_stays() {
    let world = World::new();
    fs::create_dir_all(world.at("book/builders")).unwrap();
    fs::write(world.at("book/builders/eu.yaml"), POLICY).unwrap();
    pack(&world, "one.tar", 100);
    let text = deploy(&world, 1, "one.tar", &[]);
    assert!(text.contains("error[signed-by]") && text.contains("portcullis:builder-configuration"), "{text}");
    assert!(
        !text.contains("well formed") && !world.at("builder/current").exists(),
        "nothing was begun: {text}"
    );
    let text = deploy(&world, 0, "one.tar", &reviewed(&world, "one.tar", "1.1.0"));
    assert!(text.contains("the configuration is well formed"), "{text}");
    let good = current(&world);
    assert!(good.contains("waiting: 100"), "{good}");
    // what one alone signed for, what nobody signed for, and an older one that was reviewed once
    pack(&world, "two.tar", 200);
    let text = deploy(&world, 1, "two.tar", &reviewed(&world, "two.tar", "1.2.0")[..2]);
    assert!(text.contains("error[signed-by]") && !text.contains("well formed"), "{text}");
    pack(&world, "old.tar", 300);
    let text = deploy(&world, 1, "old.tar", &reviewed(&world, "old.tar", "1.0.0"));
    assert!(text.contains("error[version]") && !text.contains("well formed"), "{text}");
    assert_eq!(current(&world), good, "the last good one is in force");
    let records = world.records();
    let admitted = records.iter().filter(|record| record.starts_with("admit")).count();
    assert_eq!((records.len(), admitted), (4, 1), "{records:?}");
}
