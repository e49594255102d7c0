//! Certificates of openssl's, in a folder: `NAME.pem` and `NAME.key`.

use std::fs;
use std::path::Path;
use std::process::Command;

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// Runs openssl there.
pub fn openssl(folder: &Path, args: &str) {
    let output = Command::new("openssl").args(args.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority.
pub fn authority(folder: &Path, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 {KEY} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name} -addext basicConstraints=critical,CA:TRUE"
        ),
    );
}

/// A certificate of an authority, with these alternative names.
pub fn certificate(folder: &Path, authority: &str, name: &str, names: &str) {
    openssl(folder, &format!("req -new {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
    fs::write(folder.join("san"), format!("subjectAltName={names}\n")).unwrap();
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 2 -extfile san -out {name}.pem"
        ),
    );
}
