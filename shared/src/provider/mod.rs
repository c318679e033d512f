//! The outside world that makes video: adapters, the one HTTP path, verification.
