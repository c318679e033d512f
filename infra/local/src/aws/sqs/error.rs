//! Why an operation was refused, under the names that the protocol gives each reason.

/// A refusal that the caller can read, or a failure of the store beneath.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{message}")]
    Refused { code: Code, message: String },
    #[error("the queue store failed")]
    Storage(#[from] rusqlite::Error),
}

/// The reasons that a caller can branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InvalidAddress,
    InvalidAttributeName,
    InvalidAttributeValue,
    InvalidBatchEntryId,
    InvalidMessageContents,
    InvalidParameterValue,
    MalformedInput,
    MessageNotInflight,
    MissingParameter,
    QueueDoesNotExist,
    QueueNameExists,
    ReceiptHandleIsInvalid,
    ResourceNotFound,
    TooManyEntriesInBatchRequest,
    UnknownOperation,
}

impl Code {
    /// The `__type` of the JSON body, and the older name, on which the SDKs match, for the
    /// `x-amzn-query-error` header and for batch results.
    pub(super) fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::BatchEntryIdsNotDistinct => (
                "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
                Some("AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
            ),
            Self::BatchRequestTooLong => {
                ("com.amazonaws.sqs#BatchRequestTooLong", Some("AWS.SimpleQueueService.BatchRequestTooLong"))
            }
            Self::EmptyBatchRequest => {
                ("com.amazonaws.sqs#EmptyBatchRequest", Some("AWS.SimpleQueueService.EmptyBatchRequest"))
            }
            Self::InvalidAddress => ("com.amazonaws.sqs#InvalidAddress", Some("InvalidAddress")),
            Self::InvalidAttributeName => {
                ("com.amazonaws.sqs#InvalidAttributeName", Some("InvalidAttributeName"))
            }
            Self::InvalidAttributeValue => {
                ("com.amazonaws.sqs#InvalidAttributeValue", Some("InvalidAttributeValue"))
            }
            Self::InvalidBatchEntryId => {
                ("com.amazonaws.sqs#InvalidBatchEntryId", Some("AWS.SimpleQueueService.InvalidBatchEntryId"))
            }
            Self::InvalidMessageContents => {
                ("com.amazonaws.sqs#InvalidMessageContents", Some("InvalidMessageContents"))
            }
            Self::InvalidParameterValue => {
                ("com.amazon.coral.service#InvalidParameterValueException", Some("InvalidParameterValue"))
            }
            Self::MalformedInput => ("com.amazon.coral.service#SerializationException", None),
            Self::MessageNotInflight => {
                ("com.amazonaws.sqs#MessageNotInflight", Some("AWS.SimpleQueueService.MessageNotInflight"))
            }
            Self::MissingParameter => {
                ("com.amazon.coral.service#MissingRequiredParameterException", Some("MissingParameter"))
            }
            Self::QueueDoesNotExist => {
                ("com.amazonaws.sqs#QueueDoesNotExist", Some("AWS.SimpleQueueService.NonExistentQueue"))
            }
            Self::QueueNameExists => ("com.amazonaws.sqs#QueueNameExists", Some("QueueAlreadyExists")),
            Self::ReceiptHandleIsInvalid => {
                ("com.amazonaws.sqs#ReceiptHandleIsInvalid", Some("ReceiptHandleIsInvalid"))
            }
            Self::ResourceNotFound => {
                ("com.amazonaws.sqs#ResourceNotFoundException", Some("ResourceNotFoundException"))
            }
            Self::TooManyEntriesInBatchRequest => (
                "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
                Some("AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
            ),
            Self::UnknownOperation => ("com.amazon.coral.service#UnknownOperationException", None),
        }
    }

    pub(super) fn because(self, message: impl Into<String>) -> Error {
        Error::Refused { code: self, message: message.into() }
    }
}

/// The service's sentence for a parameter whose value it does not take.
pub(super) fn invalid(parameter: &str, value: impl std::fmt::Display, reason: &str) -> Error {
    Code::InvalidParameterValue
        .because(format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}"))
}

pub(super) fn missing(parameter: &str) -> Error {
    Code::MissingParameter.because(format!("The request must contain the parameter {parameter}."))
}
