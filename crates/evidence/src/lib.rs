//! The local evidence store: a folder in which evidence waits beside artifacts until somebody asks for a deployment.
//!
//! Nothing in it is believed. Bundles are named by their digests and hashed again when they are read; whether one is
//! authentic, and what it is about, is found out when it is opened. What is written down beside them (which set was
//! attached to an artifact, which digest a tag had) only says where to look.
//!
//! ```text
//! sha256/aa/HEX              a bundle
//! artifact/sha256/aa/HEX     the digests of the set that was attached to an artifact last, at most 64
//! tag/aa/HEX                 the digest of a tag; the name is hashed, so that no name leaves the folder
//! grants/HEX                 a signed breakglass grant
//! summary/aa/HEX             the newest verification summary of an artifact in an environment; the pair is hashed
//! README                     for somebody who finds the folder
//! lock                       writers take turns; readers never wait
//! ```
//!
//! Every lookup reads one file, whose path follows from what is asked: however many records there are for one
//! artifact, they cost nothing. Every answer is one of three: found, none, or an error that says why nobody knows.
//!
//! Before anything is put in, files that hold several envelopes are taken apart ([`unpack()`]).

mod about;
mod attached;
mod attachment;
mod bundles;
mod folder;
mod grants;
mod summaries;
mod tags;
mod unpack;

pub use about::{About, about, compact, to_json};
pub use attachment::{Attachment, AttachmentError};
pub use folder::{ReadError, Store, WriteError};
pub use tags::Tagged;
pub use unpack::{Piece, UnpackError, choose, unpack};
