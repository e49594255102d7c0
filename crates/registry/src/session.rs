//! One question to one repository: its address, its login, and what is left of its limits.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use attest::json;
use attest::{Algorithm, Digest};
use zeroize::Zeroizing;

use crate::address::{Address, Origin};
use crate::answer::{Unknown, Why};
use crate::client::Client;
use crate::document::{ACCEPT, Descriptor, Fetched, hash};
use crate::evidence::Source;
use crate::reference::{self, Reference};
use crate::token::Asker;
use crate::wire::{Ask, Reply, Wire};

/// What a registry says of something that is not there.
const ABSENT: [&str; 4] = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND"];

/// What may be done.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Read,
    Write,
}

pub(crate) struct Session<'a> {
    client: &'a Client,
    reference: &'a Reference,
    pub(crate) origin: Origin,
    wire: Wire<'a>,
    actions: &'static str,
    authorization: RefCell<Option<Zeroizing<String>>>,
    is_answered: Cell<bool>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(client: &'a Client, reference: &'a Reference, access: Access) -> Result<Self, Unknown> {
        let plain = &client.settings().plain_http;
        let host = reference.host();
        let no_host = || Unknown::new(host, Why::Broken("it is no host".to_owned()));
        let as_plain = Origin::of(host, true).ok_or_else(no_host)?;
        let is_plain = Wire::may_be_plain(plain, &as_plain);
        let origin = if is_plain { as_plain } else { Origin::of(host, false).ok_or_else(no_host)? };
        let actions = match access {
            Access::Read => "pull",
            Access::Write => "pull,push",
        };
        let wire = Wire::new(client.agent(is_plain), client.settings().limits, plain);
        let (authorization, is_answered) = (RefCell::new(None), Cell::new(false));
        Ok(Self { client, reference, origin, wire, actions, authorization, is_answered })
    }

    pub(crate) fn within(mut self, time: Duration) -> Self {
        self.wire.limits.time = self.wire.limits.time.min(time);
        self
    }

    pub(crate) fn limits(&self) -> &crate::limits::Limits {
        &self.wire.limits
    }

    /// An address of the repository, as in `manifests/latest`.
    pub(crate) fn at(&self, below: &str) -> Address {
        self.origin.at(&format!("/v2/{}/{below}", self.reference.repository()))
    }

    pub(crate) fn get(&self, below: &str, accept: &str, limit: u64) -> Result<(String, Reply), Unknown> {
        self.get_at(self.at(below), accept, limit)
    }

    pub(crate) fn get_at(&self, at: Address, accept: &str, limit: u64) -> Result<(String, Reply), Unknown> {
        let ask = Ask { method: "GET", at, accept, body: None, limit, follows_redirects: true };
        Ok((ask.shown(), self.ask(&ask)?))
    }

    /// Asks, and again with a login where the registry itself wants one.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<Reply, Unknown> {
        let login = self.authorization.borrow().clone();
        let reply = self.wire.exchange(ask, login.as_ref().map(|l| l.as_str()))?;
        if reply.status != 401 || reply.from != self.origin || self.is_answered.replace(true) {
            return Ok(reply);
        }
        let asker = Asker {
            wire: &self.wire,
            credentials: &self.client.settings().credentials,
            origin: &self.origin,
            reference: self.reference,
            actions: self.actions,
        };
        let Some(login) = asker.answer(&reply)? else { return Ok(reply) };
        let reply = self.wire.exchange(ask, Some(login.as_str()))?;
        *self.authorization.borrow_mut() = Some(login);
        Ok(reply)
    }

    fn fetch(&self, name: &str, digest: Option<&Digest>) -> Result<Option<Fetched>, Unknown> {
        let (asked, reply) = self.get(&format!("manifests/{name}"), ACCEPT, self.limits().manifest)?;
        if !is_there(&asked, &reply)? {
            return Ok(None);
        }
        let failed = |why| Unknown::new(&asked, why);
        let announced = match reply.header("docker-content-digest") {
            Some(text) => {
                Some(reference::digest(&text).ok_or_else(|| failed(Why::Header("docker-content-digest")))?)
            }
            None => None,
        };
        for wanted in digest.into_iter().chain(&announced) {
            check(&reply.bytes, wanted).map_err(failed)?;
        }
        let algorithm = digest.map_or(Algorithm::Sha256, Digest::algorithm);
        let digest = hash(&reply.bytes, algorithm);
        let media_type = reply.header("content-type");
        Ok(Some(Fetched { digest, media_type, bytes: reply.bytes }))
    }
}

impl Source for Session<'_> {
    fn by_digest(&self, digest: &Digest) -> Result<Option<Fetched>, Unknown> {
        self.fetch(&digest.to_string(), Some(digest))
    }

    fn by_tag(&self, tag: &str) -> Result<Option<Fetched>, Unknown> {
        self.fetch(tag, None)
    }

    fn blob(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, Unknown> {
        let (asked, reply) = self.get(&format!("blobs/{digest}"), "*/*", limit)?;
        if !is_there(&asked, &reply)? {
            return Ok(None);
        }
        check(&reply.bytes, digest).map_err(|why| Unknown::new(&asked, why))?;
        Ok(Some(reply.bytes))
    }

    fn referrers(&self, image: &Digest) -> Result<Vec<Descriptor>, Unknown> {
        match self.listed(image)? {
            Some(all) => Ok(all),
            None => Ok(self.fallback(image)?.manifests),
        }
    }

    fn name(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.reference.name())
    }
}

/// Whether an answer brings what was asked for. That it is not there is taken from a registry only, in its own words:
/// a proxy, or a page of whatever else listens there, does not know.
fn is_there(asked: &str, reply: &Reply) -> Result<bool, Unknown> {
    match reply.status {
        200 => Ok(true),
        404 if says_absent(&reply.bytes) => Ok(false),
        404 => Err(Unknown::new(asked, Why::NotARegistry)),
        _ => Err(Unknown::new(asked, reply.refusal())),
    }
}

fn says_absent(body: &[u8]) -> bool {
    let Ok(value) = json::parse_with(body, json::Limits::default().exact()) else { return false };
    let errors = value.as_object().and_then(|object| object.array("errors")).unwrap_or_default();
    let code = |error: &attest::Json| {
        let code = error.as_object().ok()?.optional_string("code").ok()??;
        Some(ABSENT.contains(&code))
    };
    !errors.is_empty() && errors.iter().all(|error| code(error) == Some(true))
}

/// Whether bytes are those of a digest.
pub(crate) fn check(bytes: &[u8], wanted: &Digest) -> Result<(), Why> {
    let found = hash(bytes, wanted.algorithm());
    if found == *wanted { Ok(()) } else { Err(Why::WrongDigest { wanted: wanted.clone(), found }) }
}
