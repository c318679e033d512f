//! An AWS-compatible DynamoDB, embedded.
