//! Release signatures: admitted and on record first, and made of the very bytes that were decided about.

mod tools;

#[path = "sign/here.rs"]
mod here;
#[path = "sign/there.rs"]
mod there;
#[path = "sign/token.rs"]
mod token;
#[path = "sign/world.rs"]
mod world;
