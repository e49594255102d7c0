//! Release signatures: admitted and on record first, and made of the very bytes that were decided about.

mod registries;
mod tools;

#[path = "sign/here.rs"]
mod here;
#[path = "sign/image.rs"]
mod image;
#[path = "sign/there.rs"]
mod there;
#[path = "sign/token.rs"]
mod token;
#[path = "sign/world.rs"]
mod world;
