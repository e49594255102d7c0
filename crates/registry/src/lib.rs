//! Images in registries: what is attached to an image, fetched and pushed, and said in three values.
//!
//! Nothing that a registry says is believed. What has a digest is hashed again; what has none (which records there are
//! for an image) can be withheld by whoever runs the registry, and never makes anything be admitted. So an answer is
//! found, none, or unknown with a reason, and unknown is never read as none: an outage is no missing signature.
//!
//! Everything is bounded by [`Limits`], for a registry can be anybody's. Credentials go to the registry they are for,
//! and to hosts that whoever configured them named beside it; a redirect takes none along.

mod address;
mod answer;
mod client;
mod cosign;
mod credentials;
mod document;
mod evidence;
mod layout;
mod limits;
mod link;
mod push;
mod reference;
mod referrers;
mod session;
mod token;
mod wire;

pub use answer::{Answer, Unknown, Why};
pub use client::{Client, Settings};
pub use cosign::{Cosign, CosignError};
pub use credentials::{Credentials, CredentialsError};
pub use document::{Descriptor, Document, DocumentError, Fetched};
pub use evidence::{Evidence, Kind, Piece, Wanted};
pub use layout::{Layout, LayoutError};
pub use limits::Limits;
pub use push::{PushError, Pushed};
pub use reference::{Reference, ReferenceError};
pub use token::{Token, TokenWanted};
