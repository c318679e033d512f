//! The only source of randomness.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's generator, or a repeatable one for simulations.
#[derive(Debug, Clone)]
pub enum Random {
    System,
    Seeded(Arc<AtomicU64>),
}

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(AtomicU64::new(seed)))
    }

    pub fn u64(&self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// Uniform in 0..=`u32::MAX`.
    pub fn u32(&self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self {
            Self::System => getrandom::fill(&mut bytes).expect("the system has a random number generator"),
            Self::Seeded(state) => {
                for chunk in bytes.chunks_mut(8) {
                    let next = splitmix(state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed));
                    chunk.copy_from_slice(&next.to_le_bytes()[..chunk.len()]);
                }
            }
        }
        bytes
    }
}

/// SplitMix64's output function: good enough for jitter and test ids, not for secrets.
const fn splitmix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
