//! A small SQS server: the operations that Genmux uses, on standard queues.
