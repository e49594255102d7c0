//! What git tells its pre-receive hook: a line for each ref, with the old and the new object.

use attest::{Algorithm, Digest};

use super::refusal::Refusal;

/// As many refs as one push may name.
pub(super) const MAX_UPDATES: usize = 1000;
/// Where reviews are pushed to.
pub(super) const REVIEWS: &str = "refs/portcullis/reviews/";

/// A ref as it is, and as it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Update {
    /// The object at which it is; nothing where it is new.
    pub(super) old: Option<Digest>,
    /// The object at which it would be; nothing where it is deleted.
    pub(super) new: Option<Digest>,
    /// Its full name.
    pub(super) name: String,
}

/// What kind of ref it is. The list is closed: `refs/replace/` changes what commits say, and another tool's refs may
/// change what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A branch, by its short name.
    Branch(&'a str),
    /// A tag.
    Tag,
    /// A note.
    Note,
    /// A review of a commit.
    Review(Digest),
    /// Any other.
    Other,
}

impl Update {
    pub(super) fn kind(&self) -> Kind<'_> {
        if let Some(name) = self.name.strip_prefix("refs/heads/") {
            return Kind::Branch(name);
        }
        let review = self.name.strip_prefix(REVIEWS).and_then(|rest| rest.split_once('/'));
        if let Some((commit, name)) = review {
            let commit = Digest::from_hex(Algorithm::GitCommit, commit).ok();
            return commit.filter(|_| !name.contains('/')).map_or(Kind::Other, Kind::Review);
        }
        match self.name.as_str() {
            name if name.starts_with("refs/tags/") => Kind::Tag,
            name if name.starts_with("refs/notes/") => Kind::Note,
            _ => Kind::Other,
        }
    }
}

/// Reads all of it, or says what cannot be taken.
pub(super) fn parse(input: &[u8]) -> Result<Vec<Update>, Box<Refusal>> {
    let lines: Vec<&[u8]> = input.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    if lines.len() > MAX_UPDATES || input.len() > 1 << 20 {
        let message = "the push names more refs than are looked at";
        return Err(Box::new(
            Refusal::of("push-bounded", "the push", message)
                .wanted(&format!("at most {MAX_UPDATES} refs"))
                .found(&format!("{} refs or more", lines.len()))
                .fix("push fewer refs at once"),
        ));
    }
    lines.into_iter().map(|line| parse_line(line).map_err(Box::new)).collect()
}

fn parse_line(line: &[u8]) -> Result<Update, Refusal> {
    let shown = String::from_utf8_lossy(line);
    let refusal = |found: &str| {
        Refusal::of("ref-readable", found, "the name of a ref cannot be read by everybody alike")
            .wanted("a name in UTF-8, without characters that are not seen")
            .found(found)
            .fix("give the branch or tag another name")
    };
    let text = std::str::from_utf8(line).map_err(|_| refusal(&shown))?;
    let mut fields = text.splitn(3, ' ');
    let (Some(old), Some(new), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(refusal(&shown));
    };
    if policy::one_line(name) != name || name.starts_with('-') {
        return Err(refusal(name));
    }
    let (Some(old), Some(new)) = (object(old), object(new)) else { return Err(refusal(&shown)) };
    Ok(Update { old, new, name: name.to_owned() })
}

/// An object's id; only zeros stand for none. Outer nothing where it is neither.
#[allow(clippy::option_option, reason = "unreadable, none, some")]
fn object(id: &str) -> Option<Option<Digest>> {
    let digest = Digest::from_hex(Algorithm::GitCommit, id).ok()?;
    Some((!id.bytes().all(|b| b == b'0')).then_some(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: &str = "0000000000000000000000000000000000000000";
    const ONE: &str = "1111111111111111111111111111111111111111";

    fn refused(line: &[u8]) -> String {
        parse(line).unwrap_err().to_text()
    }

    #[test]
    fn a_line_is_read_as_git_writes_it() {
        let read = parse(format!("{ZERO} {ONE} refs/heads/a b\n").as_bytes()).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].old.is_none(), read[0].new.is_some()), (true, true));
        assert_eq!(read[0].kind(), Kind::Branch("a b"));
    }

    #[test]
    fn names_that_people_cannot_see_are_refused() {
        for name in ["refs/heads/ma\u{1b}[2Jin", "refs/heads/ma\u{202e}in", "refs/heads/ma\u{200b}in", "-x"] {
            let told = refused(format!("{ZERO} {ONE} {name}\n").as_bytes());
            assert!(told.contains("error[ref-readable]") && !told.contains('\u{1b}'), "{told:?}");
        }
        let mut bytes = format!("{ZERO} {ONE} refs/heads/").into_bytes();
        bytes.extend([0xff, 0xfe, b'\n']);
        assert!(refused(&bytes).contains("error[ref-readable]"));
        assert!(refused(b"no line of git\n").contains("error[ref-readable]"));
        assert!(refused(format!("{ZERO} 1234 refs/heads/x\n").as_bytes()).contains("error[ref-readable]"));
    }

    #[test]
    fn ten_thousand_refs_are_not_looked_at() {
        let lines: String = (0..10_000).map(|n| format!("{ZERO} {ONE} refs/heads/{n}\n")).collect();
        let told = refused(lines.as_bytes());
        assert!(told.contains("error[push-bounded]") && told.contains("10000 refs"), "{told}");
    }

    #[test]
    fn only_known_places_are_taken() {
        let kind = |name: &str| {
            let update = Update { old: None, new: None, name: name.to_owned() };
            format!("{:?}", update.kind())
        };
        for other in [
            "refs/replace/1",
            "refs/x",
            "HEAD",
            "refs/namespaces/x/refs/heads/main",
            "refs/portcullis/reviews/12/x",
        ] {
            assert_eq!(kind(other), "Other", "{other}");
        }
        assert_eq!(kind(&format!("{REVIEWS}{ONE}/a/b")), "Other");
        assert!(kind(&format!("{REVIEWS}{ONE}/bob")).starts_with("Review"));
    }
}
