//! What was decided about which owner's template: what a controller makes from it later was asked for by whoever had it
//! decided, and may be made again for a while although the policy has changed.
//!
//! An index, and no more than that: it is learnt from cases, and can be learnt again from the log's.

use std::collections::BTreeMap;

use attest::json::ShapeError;
use attest::time::parse_time;
use attest::{Digest, Json, Object};
use jiff::Timestamp;

/// Templates that are remembered of one owner: more than a rollout has under way.
const TEMPLATES: usize = 16;
const FORMAT: &str = "portcullis-decided/v1";

/// The index.
#[derive(Clone, Debug)]
pub struct Decided {
    owners: BTreeMap<String, Vec<Entry>>,
    most: usize,
    /// How many records of the log it has learnt from.
    learnt: u64,
}

/// What is known of one template of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The template's digest.
    pub template: Digest,
    /// Who had it decided.
    pub requester: Option<String>,
    /// The last record by which the policy was met for every image in it, and when.
    pub met: Option<(u64, Timestamp)>,
    /// When it was last decided about.
    pub last: Timestamp,
}

/// One object that was admitted, whole: every image in it, and the object itself where it is guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The uid that the API server gave to the object.
    pub uid: String,
    /// The digest of its template.
    pub template: Digest,
    /// Who asked, after inheritance.
    pub requester: Option<String>,
    /// The first of its records.
    pub record: u64,
    /// When.
    pub at: Timestamp,
    /// Whether the policy was met by every part, and not stepped over by any.
    pub is_met: bool,
}

impl Decided {
    /// An empty index of at most so many owners.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { owners: BTreeMap::new(), most, learnt: 0 }
    }

    /// How many records of the log it knows.
    #[must_use]
    pub fn learnt(&self) -> u64 {
        self.learnt
    }

    /// How many owners it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Notes that all records before `next` are known.
    pub fn learnt_until(&mut self, next: u64) {
        self.learnt = self.learnt.max(next);
    }

    /// Learns of an object that was admitted. What was met stays met when a later decision about the same template was
    /// not: how long that counts is the policy's to say.
    pub fn learn(&mut self, admitted: Admitted) {
        let Admitted { uid, template, requester, record, at, is_met } = admitted;
        let entries = self.owners.entry(uid).or_default();
        let met = is_met.then_some((record, at));
        match entries.iter_mut().find(|e| e.template == template) {
            // whoever changes something else of the object, or scales it, did not ask for this template: a person who
            // annotates a Deployment must not vouch for what somebody else put into it
            Some(entry) => {
                // that the policy is met by another requester says nothing of the one who asked
                if entry.requester == requester {
                    entry.met = entry.met.max(met);
                }
                entry.last = entry.last.max(at);
            }
            None => {
                entries.push(Entry { template, requester, met, last: at });
                if entries.len() > TEMPLATES {
                    let oldest = entries.iter().map(|e| e.last).min();
                    let at = entries.iter().position(|e| Some(e.last) == oldest).unwrap_or_default();
                    entries.remove(at);
                }
            }
        }
        if self.owners.len() > self.most {
            self.forget_oldest();
        }
    }

    /// What is known of a template of an owner.
    #[must_use]
    pub fn find(&self, uid: &str, template: &Digest) -> Option<&Entry> {
        self.owners.get(uid)?.iter().find(|e| e.template == *template)
    }

    /// Something was made of this template just now: what is in use is not forgotten.
    pub fn used(&mut self, uid: &str, template: &Digest, at: Timestamp) {
        let entries = self.owners.get_mut(uid).into_iter().flatten();
        entries.filter(|e| e.template == *template).for_each(|e| e.last = e.last.max(at));
    }

    /// The namespace that has most owners loses the half of them that was not in use for longest: nobody can make the
    /// index forget another's. Many go at once, so that a full index does not look for its oldest at every decision.
    fn forget_oldest(&mut self) {
        let mut namespaces: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
        for (key, entries) in &self.owners {
            let last = entries.iter().map(|e| e.last).max();
            namespaces.entry(namespace(key).to_owned()).or_default().extend(last);
        }
        let Some((largest, mut times)) = namespaces.into_iter().max_by_key(|(_, times)| times.len()) else {
            return;
        };
        times.sort_unstable();
        let Some(limit) = times.get(times.len() / 2).copied() else { return };
        self.owners
            .retain(|key, entries| namespace(key) != largest || entries.iter().any(|e| e.last > limit));
    }

    /// The JSON form, for a snapshot.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let learnt = i64::try_from(self.learnt).unwrap_or(i64::MAX);
        let owner = |(uid, entries): (&String, &Vec<Entry>)| {
            let entries = Json::Array(entries.iter().map(Entry::to_json).collect());
            Json::from(Object::new().with("uid", uid.as_str()).with("templates", entries))
        };
        let owners = Json::Array(self.owners.iter().map(owner).collect());
        Object::new().with("format", FORMAT).with("learnt", learnt).with("owners", owners).into()
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// [`ShapeError`]; then the log has to be read from its beginning.
    pub fn read(value: &Json, most: usize) -> Result<Self, ShapeError> {
        let object = value.as_object()?;
        if object.string("format")? != FORMAT {
            return Err(ShapeError::new("format", FORMAT, object.string("format")?));
        }
        let mut decided = Self::new(most);
        decided.learnt = number(object, "learnt")?;
        for item in object.array("owners")? {
            let item = item.as_object()?;
            let entries = item.array("templates")?.iter().map(Entry::read).collect::<Result<_, _>>()?;
            decided.owners.insert(item.string("uid")?.to_owned(), entries);
        }
        Ok(decided)
    }
}

impl Entry {
    fn to_json(&self) -> Json {
        let mut object =
            Object::new().with("template", self.template.to_string()).with("last", self.last.to_string());
        object.set_some("requester", self.requester.as_deref());
        if let Some((record, at)) = self.met {
            object.set("record", i64::try_from(record).unwrap_or(i64::MAX));
            object.set("met", at.to_string());
        }
        object.into()
    }

    fn read(value: &Json) -> Result<Self, ShapeError> {
        let object = value.as_object()?;
        let text = object.string("template")?;
        let template =
            Digest::parse(text).map_err(|e| ShapeError::new("template", "a digest", &e.to_string()))?;
        let met = match object.optional_string("met")? {
            Some(_) => Some((number(object, "record")?, time(object, "met")?)),
            None => None,
        };
        let requester = object.optional_string("requester")?.map(str::to_owned);
        Ok(Self { template, requester, met, last: time(object, "last")? })
    }
}

/// The namespace in an owner's key, as in `Deployment/shop/web/UID`.
fn namespace(key: &str) -> &str {
    key.split('/').nth(1).unwrap_or_default()
}

fn number(object: &Object, key: &str) -> Result<u64, ShapeError> {
    u64::try_from(object.int(key)?).map_err(|_| ShapeError::new(key, "a number from 0", "a negative one"))
}

fn time(object: &Object, key: &str) -> Result<Timestamp, ShapeError> {
    let text = object.string(key)?;
    parse_time(text).ok_or_else(|| ShapeError::new(key, "a time in UTC", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(uid: &str, template: &[u8], record: u64, second: i64, is_met: bool) -> Admitted {
        let at = Timestamp::from_second(second).unwrap();
        let requester = Some("alice".to_owned());
        Admitted { uid: uid.to_owned(), template: Digest::sha256(template), requester, record, at, is_met }
    }

    #[test]
    fn an_owner_is_known_by_its_uid_and_its_template() {
        let mut decided = Decided::new(10);
        decided.learn(admitted("u1", b"a", 7, 100, true));
        assert_eq!(decided.find("u1", &Digest::sha256(b"a")).unwrap().requester.as_deref(), Some("alice"));
        assert_eq!(decided.find("u1", &Digest::sha256(b"b")), None);
        assert_eq!(decided.find("u2", &Digest::sha256(b"a")), None);
    }

    #[test]
    fn what_was_met_stays_known_with_its_own_time() {
        let mut decided = Decided::new(10);
        decided.learn(admitted("u1", b"a", 7, 100, true));
        let later = Admitted { requester: None, ..admitted("u1", b"a", 9, 200, false) };
        decided.learn(later);
        let entry = decided.find("u1", &Digest::sha256(b"a")).unwrap();
        assert_eq!(entry.met, Some((7, Timestamp::from_second(100).unwrap())));
        assert_eq!(entry.requester.as_deref(), Some("alice"), "a controller does not take the request over");
        decided.learn(admitted("u1", b"a", 11, 300, true));
        let entry = decided.find("u1", &Digest::sha256(b"a")).unwrap();
        assert_eq!(entry.met, Some((11, Timestamp::from_second(300).unwrap())));
        decided
            .learn(Admitted { requester: Some("mallory".to_owned()), ..admitted("u1", b"a", 12, 301, true) });
        let entry = decided.find("u1", &Digest::sha256(b"a")).unwrap();
        assert_eq!(entry.requester.as_deref(), Some("alice"), "nor does who changes something else");
        assert_eq!(entry.met, Some((11, Timestamp::from_second(300).unwrap())), "nor what is met by them");
        decided.learn(admitted("u1", b"never", 12, 300, false));
        assert_eq!(decided.find("u1", &Digest::sha256(b"never")).unwrap().met, None);
    }

    #[test]
    fn it_is_bounded_and_the_oldest_go() {
        let mut decided = Decided::new(100);
        for number in 0..1000 {
            decided.learn(admitted(&format!("u{number}"), b"a", 1, number, true));
        }
        assert!(decided.len() <= 100);
        assert!(decided.find("u999", &Digest::sha256(b"a")).is_some());
        assert!(decided.find("u0", &Digest::sha256(b"a")).is_none());
        decided.learn(admitted("Deployment/quiet/web/1", b"a", 1, 0, true));
        for number in 0..1000 {
            decided.learn(admitted(&format!("Job/loud/j{number}/2"), b"a", 1, 5000 + number, true));
        }
        assert!(
            decided.find("Deployment/quiet/web/1", &Digest::sha256(b"a")).is_some(),
            "another namespace's"
        );
        let mut decided = Decided::new(100);
        for number in 0..100_u8 {
            decided.learn(admitted("u", &[number], 1, 2000 + i64::from(number), true));
            decided.used("u", &Digest::sha256(&[0]), Timestamp::from_second(9000).unwrap());
        }
        assert!(decided.find("u", &Digest::sha256(&[99])).is_some());
        assert!(decided.find("u", &Digest::sha256(&[0])).is_some(), "in use");
        assert!(decided.find("u", &Digest::sha256(&[1])).is_none());
    }

    #[test]
    fn a_snapshot_reads_back() {
        let mut decided = Decided::new(10);
        decided.learn(admitted("u1", b"a", 7, 100, true));
        decided.learn(Admitted { requester: None, ..admitted("u2", b"b", 8, 100, false) });
        decided.learnt_until(9);
        let text = decided.to_json().to_string();
        let again = Decided::read(&attest::json::parse(text.as_bytes()).unwrap(), 10).unwrap();
        assert_eq!(again.to_json().to_string(), text);
        assert_eq!(again.learnt(), 9);
        let error = Decided::read(&attest::json::parse(b"{\"format\":\"x\"}").unwrap(), 10).unwrap_err();
        assert!(error.to_string().contains(FORMAT), "{error}");
    }
}
