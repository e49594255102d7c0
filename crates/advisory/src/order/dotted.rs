//! Numbers alone: Hackage and GHC between dots, CRAN between dots and dashes. The longer one comes after.

use super::number::Number;

pub(super) fn hackage(text: &str) -> Option<Vec<Number>> {
    text.split('.').map(Number::read).collect()
}

pub(super) fn cran(text: &str) -> Option<Vec<Number>> {
    text.split(['.', '-']).map(Number::read).collect()
}
