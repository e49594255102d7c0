//! Whatever the layout: the wanted change and nothing else, no comment lost, every other line as it was.

use super::*;
use crate::secret::{SecretKey, Signer as _};

const FILE: &str = "trust-root.yaml";

fn key(seed: u8) -> PublicKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap().public().clone()
}

fn pem(seed: u8, pad: usize) -> String {
    key(seed).to_pem().lines().map(|l| format!("{}{l}\n", " ".repeat(pad))).collect()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn revocation(reason: &str) -> Revocation {
    Revocation { from: time("2026-11-22T09:00:00Z"), position: None, reason: reason.to_owned() }
}

fn recall(version: &str) -> Recall {
    let version = Some(semver::VersionReq::parse(version).unwrap());
    Recall { version, tool: None, window: None, reason: "it leaked between builds".to_owned() }
}

/// Comments in every place, a key in two sections, both styles.
fn example() -> String {
    format!(
        "# Who may say what.
version: 7   # raised with every change
builders:
  official-ci:  # the one for production
    ids: [https://ci.example/official]
    keys:
      # in the HSM since March
      - key: |
{}        from: 2026-03-01
      # the old one

      - key: |
{}
  # for staging only
  staging-ci: {{ ids: [https://ci.example/staging], keys: [{{ key: \"{}\" }}] }}
rebuilders:
  official-ci:
    operator: acme
    keys:
    - key: |
{}      from: 2026-03-01
people:
  bob:
    identities: [bob@acme.example]
logs:
  builds:
    key: {}
# the end
",
        pem(1, 10),
        pem(2, 10),
        key(3).to_pem().replace('\n', "\\n"),
        pem(1, 8),
        crate::note::NoteKey { name: "builds".to_owned(), key: key(9) }.to_vkey(),
    )
}

/// The change was made, and the text says nothing else than before in every line that it had before.
fn changed(text: &str, wanted: &Change) -> Changed {
    let before = TrustRoot::parse(FILE, text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let changed = change(FILE, text, wanted).unwrap_or_else(|e| panic!("{e}\n{wanted:?}\n{text}"));
    assert_eq!(changed.version, before.version() + 1);
    let marked = |mark: char| {
        let lines = changed.diff.split('\n').skip(2).filter(move |l| l.starts_with(mark));
        lines.map(|l| &l[1..]).collect::<Vec<_>>().into_iter().peekable()
    };
    let (mut removed, mut added) = (marked('-'), marked('+'));
    let mut new = changed.text.split('\n').peekable();
    for line in text.split('\n') {
        while new.peek() != Some(&line) && new.peek() == added.peek() && new.peek().is_some() {
            new.next();
            added.next();
        }
        if new.peek() == Some(&line) {
            new.next();
        } else {
            assert_eq!(removed.next(), Some(line), "lost or changed\n{}\n{}", changed.diff, changed.text);
        }
    }
    assert!(new.eq(added) && removed.next().is_none(), "{}\n{}", changed.diff, changed.text);
    let comments = |text: &str| text.lines().filter_map(|l| l.split_once('#')).count();
    assert_eq!(comments(text), comments(&changed.text), "{}", changed.diff);
    changed
}

#[test]
fn a_rotation_adds_a_key_and_ends_the_old_ones() {
    let rotation = Change::Rotate {
        name: "official-ci".to_owned(),
        new: key(5),
        from: Some(time("2026-12-01T00:00:00Z")),
        until_old: Some(time("2027-01-01T00:00:00Z")),
    };
    let changed = changed(&example(), &rotation);
    let root = TrustRoot::parse(FILE, &changed.text).unwrap();
    let keys = &root.principal("official-ci").unwrap().keys;
    assert_eq!(keys.len(), 3);
    for trusted in keys {
        let is_new = trusted.key == key(5);
        assert_eq!(trusted.until.is_none(), is_new, "{trusted:?}");
        assert_eq!(trusted.from == Some(time("2026-12-01T00:00:00Z")), is_new, "{trusted:?}");
    }
    let inserted = changed.diff.lines().skip(2).filter(|l| l.starts_with('+')).count();
    assert_eq!(
        inserted,
        1 + 3 + 2 * 5,
        "the version, three ends, the key in both sections:\n{}",
        changed.diff
    );
    assert!(changed.diff.contains(
        "-version: 7   # raised with every change\n+version: 8   # raised with every change\n builders:\n"
    ));
    assert!(weaknesses(FILE, &changed.text, time("2027-06-01T00:00:00Z")).unwrap().is_empty());
}

#[test]
fn a_revoked_key_is_revoked_at_each_of_its_places() {
    let revocation = Revocation {
        position: Some(("builds".to_owned(), 812)),
        ..revocation("the \"laptop\" was \\stolen")
    };
    let keys = vec![key(1).id(), key(3).id()];
    let changed = changed(&example(), &Change::Revoke { keys: keys.clone(), revocation: revocation.clone() });
    let root = TrustRoot::parse(FILE, &changed.text).unwrap();
    for trusted in root.principals().flat_map(|p| &p.keys) {
        let wanted = keys.contains(&trusted.key.id()).then_some(&revocation);
        assert_eq!(trusted.revoked.as_ref(), wanted);
    }
    assert_eq!(changed.text.matches("revoked: {").count(), 3, "{}", changed.diff);
    let again = change(FILE, &changed.text, &Change::Revoke { keys, revocation });
    assert!(matches!(again, Err(EditError::IsRevoked { .. })), "{again:?}");
}

#[test]
fn recalls_are_added_one_after_the_other() {
    let mut text = example();
    let window = Some((time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z")));
    let open_end = Some((time("2026-01-01T00:00:00Z"), Timestamp::MAX));
    let tool = Some(crate::digest::Digest::sha256(b"gcc"));
    let recalls = [
        recall("=2.6.6"),
        Recall { version: None, tool, window, reason: "a \"poisoned\" compiler".to_owned() },
        Recall { version: None, tool: None, window: open_end, reason: "since then".to_owned() },
    ];
    for builder in ["official-ci", "staging-ci"] {
        for recall in &recalls {
            text =
                changed(&text, &Change::Recall { builder: builder.to_owned(), recall: recall.clone() }).text;
        }
        let root = TrustRoot::parse(FILE, &text).unwrap();
        let found = &root.principal(builder).unwrap().builder.as_ref().unwrap().recalls;
        assert_eq!(found.len(), 3);
        assert!(recalls.iter().all(|r| found.contains(r)));
    }
}

#[test]
fn what_cannot_be_changed_says_why() {
    let rotate = |name: &str, seed, from: Option<&str>, until: Option<&str>| Change::Rotate {
        name: name.to_owned(),
        new: key(seed),
        from: from.map(time),
        until_old: until.map(time),
    };
    let revoke = |seed: u8, revocation| Change::Revoke { keys: vec![key(seed).id()], revocation };
    let recall_of = |builder: &str, recall| Change::Recall { builder: builder.to_owned(), recall };
    let window = Some((time("2026-02-01T00:00:00Z"), time("2026-01-01T00:00:00Z")));
    let position = Some(("bilds".to_owned(), 1));
    for (wanted, words) in [
        (rotate("offical-ci", 5, None, None), "nobody is called `offical-ci`; write `official-ci`"),
        (rotate("zzz", 5, None, None), "nobody is called `zzz`"),
        (rotate("bob", 5, None, None), "`bob` has no list of keys"),
        (rotate("official-ci", 3, None, None), "there already, as one of `staging-ci`"),
        (
            rotate("official-ci", 5, Some("2027-01-02T00:00:00Z"), Some("2027-01-01T00:00:00Z")),
            "would end before the new one counts",
        ),
        (revoke(8, revocation("x")), "is not in the trust root"),
        (revoke(1, revocation("")), "the reason is not one line"),
        (revoke(1, revocation("a\nb")), "the reason is not one line"),
        (revoke(1, Revocation { position, ..revocation("x") }), "has no log `bilds`"),
        (recall_of("bob", recall("=1.0.0")), "`bob` is no builder"),
        (recall_of("official-ci", Recall { version: None, ..recall("*") }), "nothing says what is recalled"),
        (recall_of("official-ci", Recall { window, ..recall("*") }), "the end is before the beginning"),
    ] {
        let error = change(FILE, &example(), &wanted).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    assert!(matches!(change(FILE, "version: x\n", &revoke(1, revocation("x"))), Err(EditError::Load(_))));
}

#[test]
fn what_is_probably_not_meant_is_found() {
    let at = time("2026-11-22T09:00:00Z");
    assert_eq!(weaknesses(FILE, &example(), at).unwrap(), Vec::new());
    // the same key twice, revoked at one of its places only
    let text = example().replace(
        "    keys:\n    - key",
        "    keys:\n    - revoked: { from: 2026-01-01, reason: x }\n      key",
    );
    let found = weaknesses(FILE, &text, at).unwrap();
    assert!(found.len() == 1 && found[0].message.contains("stands twice"), "{found:?}");
    let before_march = weaknesses(
        FILE,
        &example().replace("\n\n      - key: |\n", "\n\n      - until: 2026-01-01\n        key: |\n"),
        time("2026-02-01T00:00:00Z"),
    );
    assert!(before_march.unwrap()[0].message.contains("no key of `official-ci` counts at 2026-02-01"));
}

/// Layouts made by chance, from a fixed seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    /// Nothing, a blank line, or a comment at some depth. Never within a block of text, where it would be text.
    fn noise(&mut self, depth: usize) -> String {
        match self.below(6) {
            0 => "\n".to_owned(),
            1 => format!("{}# note {}\n", " ".repeat(depth), self.below(1000)),
            2 => format!("# note {}\n\n", self.below(1000)),
            _ => String::new(),
        }
    }

    fn remark(&mut self) -> &'static str {
        if self.below(4) == 0 { "  # why" } else { "" }
    }

    /// A key as an item, its lines indented by `dash` and two more.
    fn key(&mut self, seed: u8, dash: usize) -> String {
        let pad = " ".repeat(dash);
        let mut fields = vec![format!("key: |\n{}", pem(seed, dash + 6))];
        if self.below(3) == 0 {
            fields.push(format!("from: 2026-01-01{}\n", self.remark()));
        }
        match self.below(4) {
            0 => fields.push(format!("until: 2027-03-01T00:00:00Z{}\n", self.remark())),
            1 => fields.push(format!("until: \"2027-03-01\"{}\n", self.remark())),
            _ => {}
        }
        if self.below(3) == 0 {
            fields.reverse();
        }
        let mut out = String::new();
        for (number, field) in fields.iter().enumerate() {
            let start = if number == 0 { "- " } else { "  " };
            // a comment right behind a block of text would be read as its end: still a comment, and still kept
            out.push_str(&format!("{pad}{start}{field}"));
        }
        out + &self.noise(dash)
    }

    fn builder(&mut self, name: &str, seeds: &mut std::ops::RangeFrom<u8>) -> String {
        let count = 1 + self.below(3);
        let ids = format!("ids: [\"https://ci.example/{name}\"]");
        if self.below(4) == 0 {
            let one = |seed: u8| format!("{{ key: \"{}\" }}", key(seed).to_pem().replace('\n', "\\n"));
            let keys: Vec<String> = seeds.by_ref().take(usize::try_from(count).unwrap()).map(one).collect();
            let recalled = if self.below(2) == 0 { ", recalled: []" } else { "" };
            return format!(
                "  {name}: {{ {ids}, keys: [{}]{recalled} }}{}\n",
                keys.join(", "),
                self.remark()
            );
        }
        let dash = if self.below(2) == 0 { 4 } else { 6 };
        let mut keys = format!("    keys:{}\n{}", self.remark(), self.noise(dash));
        for seed in seeds.by_ref().take(usize::try_from(count).unwrap()) {
            keys.push_str(&self.key(seed, dash));
        }
        let recalled = match self.below(3) {
            0 => {
                format!("    recalled:\n      - {{ version: \"=1.0.0\", reason: \"x\" }}{}\n", self.remark())
            }
            1 => "    recalled: [ { version: \"=1.0.0\", reason: x } ]\n".to_owned(),
            _ => String::new(),
        };
        let mut parts = [format!("    {ids}{}\n", self.remark()), keys, recalled];
        let turn = usize::try_from(self.below(3)).unwrap();
        parts.rotate_left(turn);
        format!("  {name}:{}\n{}{}{}", self.remark(), parts.concat(), self.noise(4), self.noise(2))
    }

    fn trust_root(&mut self) -> String {
        let mut seeds = 10_u8..;
        let mut text =
            format!("{}version: {}{}\n{}", self.noise(0), 1 + self.below(98), self.remark(), self.noise(0));
        text.push_str("builders:\n");
        for name in ["first-ci", "second-ci", "third-ci"] {
            text.push_str(&self.builder(name, &mut seeds));
        }
        text.push_str("groups: {}\n");
        text.push_str(&self.noise(0));
        match self.below(3) {
            0 => text.replace('\n', "\r\n"),
            1 => text.trim_end().to_owned(),
            _ => text,
        }
    }
}

#[test]
fn in_any_layout_the_wanted_change_and_no_other() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for _ in 0..600 {
        let mut text = chance.trust_root();
        for round in 0..3_u8 {
            let name = ["first-ci", "second-ci", "third-ci"][usize::try_from(chance.below(3)).unwrap()];
            let root = TrustRoot::parse(FILE, &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
            let free: Vec<String> = root
                .principals()
                .flat_map(|p| &p.keys)
                .filter(|k| k.revoked.is_none())
                .map(|k| k.key.id())
                .collect();
            let wanted = match chance.below(3) {
                0 => Change::Rotate {
                    name: name.to_owned(),
                    new: key(200 + round),
                    from: (chance.below(2) == 0).then(|| time("2026-12-01T00:00:00Z")),
                    until_old: (chance.below(2) == 0).then(|| time("2027-01-01T00:00:00Z")),
                },
                1 => Change::Revoke {
                    keys: free.into_iter().take(2).collect(),
                    revocation: revocation("lost: \"x\" \\ y"),
                },
                _ => Change::Recall { builder: name.to_owned(), recall: recall(">=1.2.0, <1.4.2") },
            };
            text = changed(&text, &wanted).text;
        }
    }
}
