//! Row 29: an answer depends on what the command line names, and on nothing that lies around.

use std::fs;

use super::rows;
use super::world::{Place, trust_root};
use crate::tools::{code, path, portcullis_command, portcullis_in, stderr, stdout};

#[test]
fn row_29_nothing_around_it_changes_an_answer() {
    let asks = rows::all();
    let asks: Vec<_> = asks.into_iter().filter(|a| a.name == "row-04-no-provenance").collect();
    let place = Place::new(&asks);
    let bundle = place.at("evidence.json");
    fs::write(&bundle, &asks[0].evidence[0]).unwrap();
    let (book, root) = (place.at("book"), place.at("trust-root.yaml"));
    let (digest, name) = (asks[0].digest.to_string(), format!("registry.example/{}", asks[0].name));
    let words =
        ["verify", &digest, "--as", &name, "--environment", "prod/shop", "--format", "json", "--bundle"];
    let words = [&words[..], &[path(&bundle), "--book", path(&book), "--trust-root", path(&root)]].concat();
    let quiet = portcullis_in("/".as_ref(), &words);
    // everything that settings could be read from, and all of it says that nothing is asked for
    let around = tempfile::tempdir().unwrap();
    let allow = "environment: prod/shop\nartifact: \"*\"\nmode: dry-run\nrequire: { signed-by: [carol] }\n";
    for folder in ["book", ".portcullis/book", ".config/portcullis/book", "portcullis/book"] {
        fs::create_dir_all(around.path().join(folder)).unwrap();
        fs::write(around.path().join(folder).join("all.yaml"), allow).unwrap();
        let beside = around.path().join(folder).join("..");
        fs::write(beside.join("trust-root.yaml"), trust_root()).unwrap();
        fs::write(beside.join("guardrails.yaml"), "{}\n").unwrap();
        for settings in
            ["config.yaml", "portcullis.yaml", "serve.yaml", ".portcullisrc", ".env", ".in_totorc"]
        {
            fs::write(beside.join(settings), "mode: dry-run\nbook: book\n").unwrap();
        }
    }
    let mut command = portcullis_command();
    for (name, folder) in
        [("HOME", ""), ("XDG_CONFIG_HOME", ".config"), ("XDG_CONFIG_DIRS", ""), ("TMPDIR", "")]
    {
        command.env(name, around.path().join(folder));
    }
    for name in ["PORTCULLIS_BOOK", "PORTCULLIS_TRUST_ROOT", "PORTCULLIS_CONFIG", "PORTCULLIS_MODE"] {
        command.env(name, around.path().join("book"));
    }
    command.envs([("SOURCE_DATE_EPOCH", "0"), ("TZ", "Asia/Tokyo"), ("LC_ALL", "tr_TR.UTF-8")]);
    let loud = command.args(&words).current_dir(around.path()).output().unwrap();
    // the time of the question is the one thing that may differ
    let apart = |text: String| -> Vec<String> {
        text.split(',')
            .filter(|part| !part.contains("T0") && !part.contains("T1") && !part.contains("T2"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!((code(&quiet), code(&loud)), (1, 1), "{}", stderr(&loud));
    assert_eq!(apart(stdout(&quiet)), apart(stdout(&loud)));
}
