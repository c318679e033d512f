//! An AWS-compatible S3, embedded.
