//! Commits and tags against git: what it signs has a signer, and what it does not verify has none.

mod gitsign;
mod tools;

use std::process::{Command, Output};

use attest::commit::{CmsError, Commit, CommitError, CommitScheme, Tag};
use attest::{OpenError, TrustRoot};
use jiff::Timestamp;
use tools::{Gpg, Ssh, flips, mutants, root};

struct Repository {
    gpg: Gpg,
    ssh: Ssh,
    line: String,
}

impl Repository {
    fn new(format: &str) -> Self {
        let gpg = Gpg::new().key("alice", "ed25519");
        let ssh = Ssh::new();
        let line = ssh.key("bob", "ed25519", "256");
        std::fs::write(ssh.path("allowed"), format!("bob@a.example {line}")).unwrap();
        let repository = Self { gpg, ssh, line };
        repository.git(&["init", "-q", &format!("--object-format={format}")]);
        repository
    }

    fn try_git(&self, args: &[&str]) -> Output {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.ssh.folder.path()).env("GNUPGHOME", self.gpg.home());
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.args(["-c", "user.name=Alice A", "-c", "user.email=alice@a.example", "-c"]);
        command.arg(format!("gpg.ssh.allowedSignersFile={}", self.ssh.path("allowed").display()));
        command.args(args).output().unwrap()
    }

    fn git(&self, args: &[&str]) -> Vec<u8> {
        let output = self.try_git(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn with(&self, scheme: CommitScheme) -> Vec<String> {
        match scheme {
            CommitScheme::Ssh => {
                let key = format!("user.signingkey={}", self.ssh.path("bob").display());
                vec!["-c".into(), "gpg.format=ssh".into(), "-c".into(), key]
            }
            _ => vec!["-c".into(), "user.signingkey=alice@a.example".into()],
        }
    }

    /// The content of a new commit or tag, made with these words.
    fn make(&self, scheme: CommitScheme, kind: &str, words: &[&str]) -> Vec<u8> {
        let with = self.with(scheme);
        let args: Vec<&str> = with.iter().map(String::as_str).chain(words.iter().copied()).collect();
        self.git(&args);
        self.git(&["cat-file", kind, if kind == "tag" { "v1" } else { "HEAD" }])
    }

    /// Whether git itself verifies the object.
    fn verifies(&self, kind: &str, object: &[u8]) -> bool {
        std::fs::write(self.ssh.path("object"), object).unwrap();
        let made = self.try_git(&["hash-object", "-t", kind, "-w", "--literally", "object"]);
        let id = String::from_utf8(made.stdout).unwrap();
        made.status.success() && self.try_git(&[&format!("verify-{kind}"), id.trim()]).status.success()
    }

    fn root(&self) -> TrustRoot {
        let text = tools::root_text("people", "alice", &[&self.gpg.block("alice")], "")
            + "    identities: [alice@a.example]\n  bob:\n    identities: [bob@a.example]\n    keys:\n"
            + &format!("      - key: {}", self.line);
        TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"))
    }
}

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const COMMIT: [&str; 6] =
    ["commit", "-q", "--allow-empty", "-S", "-m", "a change\n\nCo-authored-by: C <c@a.example>"];

fn signer(root: &TrustRoot, object: &[u8]) -> Result<(String, CommitScheme), CommitError> {
    let signer = root.who_signed(&Commit::parse(object)?, NOW)?;
    Ok((signer.name, signer.scheme))
}

#[test]
fn git_and_we_agree_on_who_signed() {
    for format in ["sha1", "sha256"] {
        let repository = Repository::new(format);
        let root = repository.root();
        for (scheme, name) in [(CommitScheme::OpenPgp, "alice"), (CommitScheme::Ssh, "bob")] {
            let object = repository.make(scheme, "commit", &COMMIT);
            assert_eq!(signer(&root, &object), Ok((name.to_owned(), scheme)), "{format}");
            assert!(root.is_person(name));
            let commit = Commit::parse(&object).unwrap();
            let shown = repository.git(&["show", "-s", "--format=%H %T %P%n%ae %ce %ct", "HEAD"]);
            let parents: Vec<String> = commit.parents().iter().map(attest::Digest::hex).collect();
            let (author, committer) = (&commit.author().address, &commit.committer().address);
            let ours = format!("{} {} {}", commit.id().hex(), commit.tree().hex(), parents.join(" "));
            let ours = format!("{ours}\n{author} {committer} {}\n", commit.committed().as_second());
            assert_eq!(ours, String::from_utf8(shown).unwrap());
            assert_eq!(commit.co_authors()[0].address, "c@a.example");
            let tag = repository.make(scheme, "tag", &["tag", "-f", "-s", "-m", "one", "v1"]);
            let tag = Tag::parse(&tag).unwrap();
            assert_eq!(root.who_signed_tag(&tag, NOW).unwrap().name, name);
            assert_eq!((tag.commit(), tag.name()), (commit.id(), "v1"));
            let id = repository.git(&["rev-parse", "v1"]);
            assert_eq!(tag.id().hex(), String::from_utf8(id).unwrap().trim());
        }
        let words = ["commit", "-q", "--allow-empty", "-m", "unsigned"];
        assert_eq!(
            signer(&root, &repository.make(CommitScheme::Ssh, "commit", &words)),
            Err(CommitError::NotSigned)
        );
    }
}

#[test]
fn a_merge_of_a_signed_tag_is_read_with_its_mergetag() {
    let repository = Repository::new("sha1");
    repository.make(CommitScheme::OpenPgp, "commit", &COMMIT);
    repository.git(&["checkout", "-q", "-b", "side"]);
    repository.make(CommitScheme::OpenPgp, "commit", &COMMIT);
    repository.make(CommitScheme::OpenPgp, "tag", &["tag", "-s", "-m", "one", "v1"]);
    repository.git(&["checkout", "-q", "-b", "main", "HEAD^"]);
    repository.make(
        CommitScheme::OpenPgp,
        "commit",
        &["commit", "-q", "--allow-empty", "-m", "another change"],
    );
    let merge = repository.make(CommitScheme::Ssh, "commit", &["merge", "-q", "-S", "--no-edit", "v1"]);
    assert!(merge.windows(9).any(|w| w == b"mergetag "), "{}", String::from_utf8_lossy(&merge));
    assert_eq!(signer(&repository.root(), &merge), Ok(("bob".to_owned(), CommitScheme::Ssh)));
    assert_eq!(Commit::parse(&merge).unwrap().parents().len(), 2);
}

#[test]
fn nothing_is_accepted_that_git_does_not_verify() {
    let repository = Repository::new("sha1");
    let root = repository.root();
    for scheme in [CommitScheme::OpenPgp, CommitScheme::Ssh] {
        let object = repository.make(scheme, "commit", &COMMIT);
        assert!(repository.verifies("commit", &object));
        let signed = Commit::parse(&object).unwrap().signature().unwrap().signed_bytes().to_vec();
        let mut harmless = 0;
        for changed in flips(&object).chain(mutants(&object, 10_000)) {
            if signer(&root, &changed).is_ok() {
                harmless += 1;
                assert!(repository.verifies("commit", &changed), "{}", String::from_utf8_lossy(&changed));
                let again = Commit::parse(&changed).unwrap();
                assert_eq!(again.signature().unwrap().signed_bytes(), signed, "another text is signed");
            }
        }
        println!("{}: {harmless} harmless changes", scheme.name());
    }
}

#[test]
fn keys_count_in_their_windows_and_unknown_ones_never() {
    let repository = Repository::new("sha1");
    let object = repository.make(CommitScheme::Ssh, "commit", &COMMIT);
    let line = repository.line.as_str();
    let judged = |more: &str| signer(&root("signers", "bob", &[line], more), &object);
    assert!(judged("").is_ok());
    let early = judged("        until: 2020-01-01\n").unwrap_err();
    assert!(matches!(early, CommitError::Signer(OpenError::OutsideWindow { .. })), "{early}");
    let revoked = judged("        revoked: { from: 2030-01-01, reason: lost }\n").unwrap_err();
    assert!(matches!(&revoked, CommitError::Signer(OpenError::Revoked { .. })), "{revoked}");
    let other = root("signers", "alice", &[&repository.gpg.block("alice")], "");
    assert_eq!(signer(&other, &object), Err(CommitError::Signer(OpenError::UnknownSigner)));
    // what is signed as a file is no commit, even with the right bytes
    let text = String::from_utf8(object).unwrap();
    let signed = Commit::parse(text.as_bytes()).unwrap().signature().unwrap().signed_bytes().to_vec();
    let file = repository.ssh.sign("bob", "file", &[], &signed).trim_end().replace('\n', "\n ");
    let (start, end) = (text.find("gpgsig ").unwrap(), text.find("-----END SSH SIGNATURE-----\n").unwrap());
    let swapped = format!("{}gpgsig {file}\n{}", &text[..start], &text[end + 28..]);
    assert_eq!(
        signer(&repository.root(), swapped.as_bytes()),
        Err(CommitError::Signer(OpenError::UnknownSigner))
    );
}

#[test]
fn what_could_be_read_twice_is_refused() {
    let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let person = "A <a@a.example> 1700000000 +0000";
    let head = format!("tree {tree}\nauthor {person}\ncommitter {person}\n");
    let read = |text: &str| Commit::parse(text.as_bytes());
    assert!(read(&format!("{head}\nmessage")).is_ok());
    let folded =
        read(&format!("{head}\nx\n\nCO-AUTHORED-BY: B <b@a.example>\n\nnot the last paragraph")).unwrap();
    assert_eq!(folded.co_authors()[0].address, "b@a.example");
    let sha256 = format!("tree {}\n", "ab".repeat(32));
    for (what, text, words) in [
        ("two authors", format!("{head}author {person}\n\nx"), "`author` is there twice"),
        ("two trees", format!("tree {tree}\n{head}\nx"), "`tree` is there twice"),
        ("a late parent", format!("{head}parent {tree}\n\nx"), "out of order"),
        ("two signatures", format!("{head}gpgsig a\ngpgsig b\n\nx"), "`gpgsig` is there twice"),
        (
            "a signature of another kind",
            format!("{head}gpgsig-sha256 a\n\nx"),
            "not one for ids of this kind",
        ),
        ("what git would not sign", format!("{head}gpgsig-x a\n\nx"), "not one for ids of this kind"),
        ("an unknown signature", format!("{head}gpgsig a\n\nx"), "OpenPGP, SSH or CMS"),
        ("NUL", format!("{head}\nx\0"), "a NUL is in it"),
        ("an encoding", format!("{head}encoding ISO-8859-1\n\nx"), "ISO-8859-1"),
        ("no end of the headers", head.clone(), "empty line"),
        (
            "an author on two lines",
            head.replacen(person, "A\n <b@a.example> 1 +0000", 1) + "\nx",
            "on one line",
        ),
        ("two addresses", head.replacen("a@a", "a> <a@a", 1) + "\nx", "wanted `Name <address>"),
        ("no time", head.replacen(" 1700000000", "", 1) + "\nx", "wanted `Name <address>"),
        (
            "ids of two kinds",
            head.replacen(&format!("tree {tree}\n"), &format!("{sha256}parent {tree}\n"), 1) + "\nx",
            "another kind",
        ),
        ("upper case", head.replacen("4b8", "4B8", 1) + "\nx", "lower"),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{what}: {error}");
    }
    assert!(Commit::parse(&[b'x'; (1 << 20) + 1]).unwrap_err().to_string().contains("at most"));
    assert!(Commit::parse(b"tree \xff\n\n").unwrap_err().to_string().contains("UTF-8"));
    let cms = read(&format!("{head}gpgsig -----BEGIN SIGNED MESSAGE-----\n x\n\nx")).unwrap();
    let root = root(
        "signers",
        "a",
        &[&{
            let secret = attest::SecretKey::from_ed25519_seed(&[1; 32]).unwrap();
            attest::Signer::public(&secret).to_pem()
        }],
        "",
    );
    let error = root.who_signed(&cms, NOW).unwrap_err();
    assert_eq!(error, CommitError::Cms(CmsError::Malformed("one block of base64, and nothing after it")));
    let tag = format!("object {tree}\ntype commit\ntag v1\ntagger {person}\n\n");
    assert!(Tag::parse(format!("{tag}x").as_bytes()).unwrap().signature().is_none());
    let begin = "-----BEGIN PGP SIGNATURE-----\n";
    assert!(
        Tag::parse(format!("{tag}x\n{begin}{begin}").as_bytes())
            .unwrap_err()
            .to_string()
            .contains("two signatures")
    );
    assert!(Tag::parse(tag.replace("type commit", "type tree").as_bytes()).is_err());
}
