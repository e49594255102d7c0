//! `portcullis attest review --from-…` with a clone: what was merged is what was approved, or there is no review.

mod hook;
mod tools;

use std::fs;

use hook::Forge;
use tools::{expect, path};

const WHO: [&str; 4] = ["-c", "user.name=erin", "-c", "user.email=erin@acme.example"];

/// A change of two commits by alice and dave, and a branch that has moved on since; all in `work`.
struct Change {
    forge: Forge,
    head: String,
    main: String,
}

impl Change {
    fn new() -> Self {
        let forge = Forge::new("");
        forge.git("work", &["checkout", "--quiet", "-b", "change"]);
        forge.commit("alice", "a", "1\n");
        let head = forge.commit("dave", "b", "1\n");
        forge.git("work", &["checkout", "--quiet", "main"]);
        let main = forge.commit("frank", "c", "1\n");
        Self { forge, head, main }
    }

    fn merge(&self, args: &[&str]) {
        self.forge.git("work", &[&WHO, args].concat());
    }

    /// GitHub's export of the change, merged as the commit at which `main` is now. Gives exit code and what was said.
    fn attest(&self, with_clone: bool, more: &[&str]) -> (i32, String) {
        let (forge, head, main) = (&self.forge, &self.head, &self.main);
        let merged = forge.tip();
        let view = format!(
            r#"{{"url":"https://github.com/acme/shop/pull/7","state":"MERGED","baseRefName":"main","author":{{"login":"alice"}},
            "headRefOid":"{head}","baseRefOid":"{main}","mergeCommit":{{"oid":"{merged}"}},
            "commits":[{{"oid":"x","authors":[]}},{{"oid":"{head}","authors":[{{"login":"alice"}}]}}],
            "reviews":[{{"author":{{"login":"bob"}},"state":"APPROVED","submittedAt":"2026-11-22T09:00:00Z","commit":{{"oid":"{head}"}}}}]}}"#
        );
        let view = view.replace(r#""oid":"x""#, &format!(r#""oid":"{main}""#));
        fs::write(forge.at("view.json"), view).unwrap();
        let (view, key, clone, out) =
            (forge.at("view.json"), forge.at("forge.key"), forge.at("work"), forge.at("out.json"));
        fs::remove_file(&out).ok();
        let mut args =
            vec!["attest", "review", "--from-github", path(&view), "--key", path(&key), "--out", path(&out)];
        if with_clone {
            args.extend(["--repository-dir", path(&clone)]);
        }
        args.extend(more);
        let output = tools::portcullis(&args);
        let said = tools::stdout(&output) + &tools::stderr(&output);
        assert_eq!(tools::code(&output) == 0, out.exists(), "{said}");
        (tools::code(&output), said)
    }

    fn good(&self) -> String {
        let (code, said) = self.attest(true, &[]);
        assert_eq!(code, 0, "{said}");
        for line in [
            &format!("commit    gitCommit:{}", self.forge.tip()),
            &format!("since     gitCommit:{}", self.main),
        ] {
            assert!(said.contains(line.as_str()), "wanted `{line}` in\n{said}");
        }
        assert!(said.contains("approved  github.com/bob"), "{said}");
        for author in ["alice@acme.example", "dave@acme.example", "erin@acme.example", "github.com/alice"] {
            assert!(said.contains(author), "wanted {author} in\n{said}");
        }
        said
    }

    fn refused(&self, code: &str, reason: &str) {
        let (exit, said) = self.attest(true, &["--format", "json"]);
        assert_eq!(exit, 1, "{said}");
        assert!(
            said.contains(&format!(r#""code": "{code}""#)) && said.contains(reason),
            "wanted {code}, {reason} in\n{said}"
        );
    }
}

#[test]
fn a_merge_a_squash_and_a_rebase_come_out_the_same() {
    let change = Change::new();
    change.merge(&["merge", "--quiet", "--no-ff", "-m", "merge", "change"]);
    change.good();
    let change = Change::new();
    change.merge(&["merge", "--quiet", "--squash", "change"]);
    change.merge(&["commit", "--quiet", "-m", "squash"]);
    change.good();
    let change = Change::new();
    change.merge(&["cherry-pick", "change~1", "change"]);
    change.good();
}

#[test]
fn what_was_added_in_the_merge_was_not_approved() {
    let change = Change::new();
    change.merge(&["merge", "--quiet", "--no-ff", "--no-commit", "change"]);
    fs::write(change.forge.at("work/evil"), "x").unwrap();
    change.forge.git("work", &["add", "--all"]);
    change.merge(&["commit", "--quiet", "-m", "merge"]);
    change.refused("merge-differs", "the tree of gitCommit:");
    // the approved tree, on a branch from which it takes something away
    let change = Change::new();
    change.forge.git("work", &["read-tree", "change"]);
    change.merge(&["commit", "--quiet", "-m", "squash"]);
    change.refused("merge-differs", "from a merge into");
    // a conflict that somebody resolved
    let change = Change::new();
    fs::write(change.forge.at("work/a"), "2\n").unwrap();
    change.forge.git("work", &["add", "--all"]);
    change.merge(&["commit", "--quiet", "--amend", "--no-edit"]);
    assert!(
        !change.forge.run("work", &[&WHO[..], &["merge", "--quiet", "change"]].concat()).status.success()
    );
    fs::write(change.forge.at("work/a"), "3\n").unwrap();
    change.forge.git("work", &["add", "--all"]);
    change.merge(&["commit", "--quiet", "-m", "merge"]);
    let change = Change { main: change.forge.git("work", &["rev-parse", "HEAD~1"]), ..change };
    change.refused("merge-differs", "a conflict with");
}

#[test]
fn a_clone_hides_no_author_and_starts_no_program() {
    // the change took in the branch once more, and the merge's own side of it is cut off
    let change = Change::new();
    change.forge.git("work", &["checkout", "--quiet", "change"]);
    change.merge(&["merge", "--quiet", "--no-ff", "-m", "take in", "main"]);
    let head = change.forge.git("work", &["rev-parse", "HEAD"]);
    let cut = change.forge.git("work", &["rev-parse", "HEAD^1"]);
    change.forge.git("work", &["checkout", "--quiet", "main"]);
    change.merge(&["merge", "--quiet", "--no-ff", "-m", "merge", "change"]);
    let change = Change { head, ..change };
    for file in ["work/.git/shallow", "work/.git/info/grafts"] {
        let file = change.forge.at(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("{cut}\n")).unwrap();
        change.good();
        fs::remove_file(&file).unwrap();
    }
    // a partial clone names the program that brings what is missing in it
    let ran = change.forge.at("ran");
    let program = format!("ext::touch {}", path(&ran));
    for (key, value) in [
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", &program),
        ("protocol.ext.allow", "always"),
    ] {
        change.forge.git("work", &["config", key, value]);
    }
    let change = Change { head: "1".repeat(40), ..change };
    let (exit, said) = change.attest(true, &[]);
    assert!(exit != 0 && !ran.exists(), "{said}");
}

#[test]
fn without_a_clone_only_what_the_export_shows_is_signed_for() {
    let change = Change::new();
    change.merge(&["merge", "--quiet", "--no-ff", "-m", "merge", "change"]);
    let (exit, said) = change.attest(false, &[]);
    assert_eq!(exit, 1, "{said}");
    assert!(
        said.contains("nothing shows that what was merged is what was approved")
            && said.contains("--repository-dir DIR"),
        "{said}"
    );
    let head = format!("gitCommit:{}", change.head);
    let (exit, said) = change.attest(false, &[&head]);
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("the export does not show who committed"), "{said}");
    // the revision itself, with a clone that shows its commits
    let (exit, said) = change.attest(true, &[&head]);
    assert_eq!(exit, 0, "{said}");
    let (exit, said) = change.attest(true, &[&format!("gitCommit:{}", change.main)]);
    assert_eq!((exit, said.contains("the change was merged as another commit")), (1, true), "{said}");
}

#[test]
fn exports_that_are_none_are_told_so() {
    let forge = Forge::new("");
    let (file, key) = (forge.at("export.json"), forge.at("forge.key"));
    let attest = |text: &str, words: &[&str]| {
        fs::write(&file, text).unwrap();
        let output = tools::portcullis(
            &[&["attest", "review", "--key", path(&key), "--out", "/nowhere/x"], words].concat(),
        );
        (tools::code(&output), tools::stderr(&output))
    };
    let (code, said) = attest("{}", &["--from-gitlab", path(&file)]);
    assert!(
        code == 2 && said.contains("does not have the merge request") && said.contains("glab api"),
        "{said}"
    );
    let (code, said) = attest("{", &["--from-gerrit", path(&file)]);
    assert!(code == 2 && said.contains("the export is no review"), "{said}");
    assert_eq!(attest("{}", &["--from-github", "/nowhere/x.json"]).0, 2);
    assert_eq!(attest("{}", &["--from-github", path(&file), "--from-gitlab", path(&file)]).0, 2);
    assert_eq!(attest("{}", &["--from-github", path(&file), "--reviewer", "bob"]).0, 2);
    let (code, said) = attest("{}", &[]);
    assert!(code == 2 && said.contains("nothing says what was approved"), "{said}");
    expect(
        2,
        &["attest", "review", "gitCommit:4b825dc642cb6eb9a060e54bf8d69288fbee4904", "--key", path(&key)],
    );
}
