//! A cache of table reads in the memory of one instance.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::time::Timestamp;

/// The time to live of a cached value: a change takes effect within it.
pub const CACHED_FOR: Duration = Duration::from_secs(60);
const CACHED_MAX: usize = 1_000;

/// Values by key, each valid for [`CACHED_FOR`]. At the maximum size, all are dropped.
pub struct Recent<K, V>(Mutex<HashMap<K, (V, Timestamp)>>);

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    pub fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        let (value, at) = self.lock().get(key).cloned()?;
        (now.since(at) < CACHED_FOR).then_some(value)
    }

    pub fn put(&self, key: K, value: V, now: Timestamp) {
        let mut recent = self.lock();
        if recent.len() >= CACHED_MAX {
            recent.clear();
        }
        recent.insert(key, (value, now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (V, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> fmt::Debug for Recent<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_value_expires_after_a_minute() {
        let (recent, now) = (Recent::default(), Timestamp::from_secs(1_800_000_000));
        recent.put("a", 1, now);
        assert_eq!(recent.get(&"a", now + Duration::from_secs(59)), Some(1));
        assert_eq!(recent.get(&"a", now + CACHED_FOR), None);
        assert_eq!(recent.get(&"b", now), None);
    }

    #[test]
    fn many_keys_do_not_fill_the_memory() {
        let (recent, now) = (Recent::default(), Timestamp::from_secs(1_800_000_000));
        (0..10_000).for_each(|key| recent.put(key, (), now));
        assert!(recent.lock().len() <= CACHED_MAX);
    }
}
