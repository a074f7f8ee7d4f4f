//! What a provider remembers from one refresh to the next: tokens, and answers that seldom change.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

/// As many answers as Prometheus keeps of Azure's interfaces.
const VALUE_COUNT_MAX: usize = 5000;

#[derive(Default)]
pub struct Memory {
    values: HashMap<String, (Value, Instant)>,
}

impl Memory {
    /// What was put under `key`, until its time is over.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let (value, until) = self.values.get(key)?;
        (Instant::now() < *until).then_some(value)
    }

    /// Keeps a value for a while. When there is no room, it is not kept.
    pub fn put(&mut self, key: impl Into<String>, value: impl Into<Value>, lifetime: Duration) {
        let now = Instant::now();
        if self.values.len() >= VALUE_COUNT_MAX {
            self.values.retain(|_, (_, until)| now < *until);
        }
        if self.values.len() < VALUE_COUNT_MAX {
            self.values.insert(key.into(), (value.into(), now + lifetime));
        }
    }

    pub fn forget(&mut self, key: &str) {
        self.values.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_and_are_bounded() {
        let mut memory = Memory::default();
        memory.put("now", "x", Duration::ZERO);
        assert_eq!(memory.get("now"), None);
        for number in 0..VALUE_COUNT_MAX + 1 {
            memory.put(number.to_string(), number, Duration::from_secs(60));
        }
        assert_eq!(memory.get("7"), Some(&Value::from(7)));
        assert_eq!(memory.values.len(), VALUE_COUNT_MAX);
        memory.forget("7");
        assert_eq!(memory.get("7"), None);
    }
}
