//! placeholder
use super::model::Layout;
use crate::draft::Draft;
/// x
#[must_use]
pub fn translate(_layout: &Layout) -> Draft { Draft::default() }
