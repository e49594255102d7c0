//! What is attached to an image: the registry's own list, page by page, or the one that pushers keep under a tag.

use attest::Digest;

use crate::address::Address;
use crate::answer::{Unknown, Why};
use crate::document::{Descriptor, Document, INDEX};
use crate::evidence::Source as _;
use crate::link;
use crate::session::Session;

struct Page {
    manifests: Vec<Descriptor>,
    next: Option<Address>,
}

/// The list that pushers keep.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) manifests: Vec<Descriptor>,
    /// As it stands in the registry; empty where there is none.
    pub(crate) bytes: Vec<u8>,
}

impl Session<'_> {
    /// One page of referrers; nothing where the registry has no such list.
    fn page(&self, at: Address) -> Result<Option<Page>, Unknown> {
        let here = at.clone();
        let (asked, reply) = self.get_at(at, INDEX, self.limits().manifest)?;
        let failed = |why| Unknown::new(&asked, why);
        match reply.status {
            200 => {}
            404 if reply.from == self.origin => return Ok(None),
            _ => return Err(failed(reply.refusal())),
        }
        let document = Document::parse(&reply.bytes, reply.header("content-type").as_deref());
        let Document::Index { manifests, .. } = document.map_err(|e| failed(Why::Document(e)))? else {
            return Err(failed(Why::Paging("it is no list".to_owned())));
        };
        let paging = |what: &str| failed(Why::Paging(what.to_owned()));
        let link = link::next(&reply.header("link").unwrap_or_default()).map_err(paging)?;
        let Some(link) = link else { return Ok(Some(Page { manifests, next: None })) };
        let next = here.join(&link).ok_or_else(|| paging("to no address"))?;
        if reply.from != self.origin || next.origin != self.origin || !next.path.starts_with("/v2/") {
            return Err(paging(&format!("at {}", next.shown())));
        }
        Ok(Some(Page { manifests, next: Some(next) }))
    }

    /// The records that the registry's own list has for an image; nothing where it has no such list.
    pub(crate) fn listed(&self, image: &Digest) -> Result<Option<Vec<Descriptor>>, Unknown> {
        let mut next = Some(self.at(&format!("referrers/{image}")));
        let (mut read, mut all): (Vec<Address>, Vec<Descriptor>) = (Vec::new(), Vec::new());
        while let Some(at) = next {
            let failed = |why| Unknown::new(&format!("GET {}", at.shown()), why);
            if read.contains(&at) {
                return Err(failed(Why::Paging("at a page that was read already".to_owned())));
            }
            if read.len() >= self.limits().pages {
                return Err(failed(Why::TooMany("pages of records", self.limits().pages)));
            }
            read.push(at.clone());
            let Some(page) = self.page(at.clone())? else {
                // a list that is there does not end in one that never was
                return if read.len() == 1 { Ok(None) } else { Err(failed(Why::Status(404))) };
            };
            all.extend(page.manifests);
            if all.len() > self.limits().referrers {
                return Err(failed(Why::TooMany("records", self.limits().referrers)));
            }
            next = page.next;
        }
        Ok(Some(all))
    }

    /// The list that pushers keep under a tag where the registry keeps none. It is empty where there is none
    /// either.
    pub(crate) fn fallback(&self, image: &Digest) -> Result<Kept, Unknown> {
        let tag = tag_of(image);
        let Some(fetched) = self.by_tag(&tag)? else { return Ok(Kept::default()) };
        let asked = format!("GET {}", self.at(&format!("manifests/{tag}")).shown());
        let failed = |why| Err(Unknown::new(&asked, why));
        match fetched.document() {
            Ok(Document::Index { manifests, .. }) if manifests.len() > self.limits().referrers => {
                failed(Why::TooMany("records", self.limits().referrers))
            }
            Ok(Document::Index { manifests, .. }) => Ok(Kept { manifests, bytes: fetched.bytes }),
            Ok(Document::Manifest { .. }) => failed(Why::Paging("it is no list".to_owned())),
            Err(e) => failed(Why::Document(e)),
        }
    }
}

/// The tag under which the list of an image's referrers stands, where the registry has no list of its own.
pub(crate) fn tag_of(image: &Digest) -> String {
    let hex = image.hex();
    // a tag is at most 128 characters: the specification cuts longer digests
    format!("{}-{}", image.algorithm().name(), hex.get(..64).unwrap_or(&hex))
}
