//! Texts that many questions share, held once.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of a value among those held.
pub(super) type Number = u32;

/// Values by number, each once.
#[derive(Debug)]
pub(super) struct Once<T: Ord> {
    numbers: BTreeMap<Arc<T>, Number>,
    values: Vec<Arc<T>>,
}

impl<T: Ord> Default for Once<T> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), values: Vec::new() }
    }
}

impl<T: Ord> Once<T> {
    /// The number of a value; nothing once there are more than can be numbered.
    pub(super) fn number(&mut self, value: T) -> Option<Number> {
        if let Some(number) = self.numbers.get(&value) {
            return Some(*number);
        }
        let number = Number::try_from(self.values.len()).ok()?;
        let value = Arc::new(value);
        self.values.push(Arc::clone(&value));
        self.numbers.insert(value, number);
        Some(number)
    }

    pub(super) fn get(&self, number: Number) -> Option<&T> {
        self.values.get(usize::try_from(number).ok()?).map(AsRef::as_ref)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().map(AsRef::as_ref)
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}
