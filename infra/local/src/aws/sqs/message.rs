//! A message on its way in, on its way out, and the handle that a receive gives for it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{Code, Error, invalid};

/// Message attributes by name.
pub type Attributes = BTreeMap<String, Attribute>;

const ATTRIBUTES_MAX: usize = 10;

/// One message attribute, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attribute {
    #[serde(default)]
    pub data_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

/// One message as one receive handed it out.
#[derive(Debug, Clone)]
pub struct Received {
    pub message_id: String,
    pub receipt_handle: String,
    pub body: String,
    /// Lower-case hex.
    pub md5_of_body: String,
    pub attributes: Attributes,
    pub trace_header: Option<String>,
    pub group_id: Option<String>,
    /// How often it was received, this time included.
    pub receive_count: u32,
    pub sent_at: Timestamp,
    pub first_received_at: Timestamp,
    /// Its source queue, if this one is a dead-letter queue.
    pub dead_letter_source: Option<String>,
}

/// A message that passed every check.
#[derive(Debug)]
pub(super) struct NewMessage {
    pub(super) body: String,
    pub(super) attributes: Attributes,
    pub(super) trace_header: Option<String>,
    pub(super) group_id: Option<String>,
    pub(super) delay_s: u32,
}

impl NewMessage {
    /// What counts against the service's limit on a message and on a batch.
    pub(super) fn size(&self) -> usize {
        let attributes =
            self.attributes.iter().map(|(name, a)| name.len() + a.data_type.len() + a.value().len());
        self.body.len() + attributes.sum::<usize>()
    }
}

impl Attribute {
    /// The bytes that are digested and counted.
    pub(super) fn value(&self) -> Cow<'_, [u8]> {
        match (&self.binary_value, &self.string_value) {
            (Some(base64), _) => Cow::Owned(BASE64.decode(base64.as_bytes()).unwrap_or_default()),
            (None, Some(text)) => Cow::Borrowed(text.as_bytes()),
            (None, None) => Cow::Borrowed(&[]),
        }
    }
}

pub(super) fn check_attributes(attributes: &Attributes) -> Result<(), Error> {
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(invalid("MessageAttributes", attributes.len(), "At most 10 attributes are allowed."));
    }
    for (name, attribute) in attributes {
        let kind = attribute.data_type.split('.').next().unwrap_or_default();
        let kind_fits = match kind {
            "String" | "Number" => attribute.string_value.is_some() && attribute.binary_value.is_none(),
            "Binary" => attribute.binary_value.is_some() && attribute.string_value.is_none(),
            _ => false,
        };
        if !kind_fits || attribute.value().is_empty() {
            return Err(invalid("MessageAttributes", name, "The value must be non-empty and fit its type."));
        }
    }
    Ok(())
}

/// What a receipt handle stands for: one receive of one message.
///
/// A later receive of the same message, or its move to another queue, makes the handle stale.
#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) queue: String,
    pub(super) message_id: String,
    pub(super) receive_count: u32,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, message_id, receive_count } = self;
        f.write_str(&BASE64URL_NOPAD.encode(format!("{queue}/{message_id}/{receive_count}").as_bytes()))
    }
}

impl Receipt {
    /// Fails on anything that this queue has never given out.
    pub(super) fn parse(handle: &str, queue: &str) -> Result<Self, Error> {
        Self::read(handle).filter(|receipt| receipt.queue == queue).ok_or_else(|| {
            Code::ReceiptHandleIsInvalid
                .because(format!("The input receipt handle \"{handle}\" is not a valid receipt handle."))
        })
    }

    fn read(handle: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64URL_NOPAD.decode(handle.as_bytes()).ok()?).ok()?;
        let mut parts = text.split('/');
        let receipt = Self {
            queue: parts.next()?.to_owned(),
            message_id: parts.next()?.to_owned(),
            receive_count: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(receipt)
    }
}
