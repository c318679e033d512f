//! What a queue is set to, and its attributes as the service words them.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{Code, Error, invalid};

const ARN_PREFIX: &str = "arn:aws:sqs:us-east-1:000000000000:";
const NAME_CHARS_MAX: usize = 80;
pub(super) const DELAY_S: RangeInclusive<u32> = 0..=900;
pub(super) const VISIBILITY_S: RangeInclusive<u32> = 0..=43_200;
pub(super) const WAIT_S: RangeInclusive<u32> = 0..=20;
const RETENTION_S: RangeInclusive<u32> = 60..=1_209_600;
const RECEIVE_COUNT: RangeInclusive<u32> = 1..=1_000;

/// A standard queue's settings; all spans in seconds, in the service's limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSpec {
    pub name: String,
    pub visibility_timeout_s: u32,
    pub delay_s: u32,
    pub retention_s: u32,
    pub receive_wait_s: u32,
    pub redrive: Option<Redrive>,
}

/// Where a message goes instead of being received once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    pub dead_letter_queue: String,
    pub max_receive_count: u32,
}

impl QueueSpec {
    /// The service's defaults: 30 s visibility, no delay, 4 days' retention, no redrive.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            visibility_timeout_s: 30,
            delay_s: 0,
            retention_s: 345_600,
            receive_wait_s: 0,
            redrive: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > NAME_CHARS_MAX || !self.name.chars().all(legal) {
            return Err(Code::InvalidParameterValue.because(
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
            ));
        }
        for (attribute, value, range) in [
            ("VisibilityTimeout", self.visibility_timeout_s, VISIBILITY_S),
            ("DelaySeconds", self.delay_s, DELAY_S),
            ("MessageRetentionPeriod", self.retention_s, RETENTION_S),
            ("ReceiveMessageWaitTimeSeconds", self.receive_wait_s, WAIT_S),
        ] {
            if !range.contains(&value) {
                return Err(bad_attribute(attribute));
            }
        }
        match &self.redrive {
            Some(redrive) if !RECEIVE_COUNT.contains(&redrive.max_receive_count) => {
                Err(invalid("RedrivePolicy", redrive.policy(), "maxReceiveCount must be between 1 and 1000."))
            }
            _ => Ok(()),
        }
    }

    /// Sets one attribute as `CreateQueue` names it. Ranges are left to `check`.
    pub(super) fn set(&mut self, attribute: &str, value: &str) -> Result<(), Error> {
        let field = match attribute {
            "VisibilityTimeout" => &mut self.visibility_timeout_s,
            "DelaySeconds" => &mut self.delay_s,
            "MessageRetentionPeriod" => &mut self.retention_s,
            "ReceiveMessageWaitTimeSeconds" => &mut self.receive_wait_s,
            "RedrivePolicy" => {
                self.redrive = Some(Redrive::parse(value).ok_or_else(|| {
                    invalid("RedrivePolicy", value, "It must name deadLetterTargetArn and maxReceiveCount.")
                })?);
                return Ok(());
            }
            _ => return Err(unknown_attribute(attribute)),
        };
        *field = value.parse().ok().ok_or_else(|| bad_attribute(attribute))?;
        Ok(())
    }

    /// The settings as `GetQueueAttributes` returns them.
    pub(super) fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = vec![
            ("QueueArn", arn(&self.name)),
            ("VisibilityTimeout", self.visibility_timeout_s.to_string()),
            ("DelaySeconds", self.delay_s.to_string()),
            ("MessageRetentionPeriod", self.retention_s.to_string()),
            ("ReceiveMessageWaitTimeSeconds", self.receive_wait_s.to_string()),
        ];
        attributes.extend(self.redrive.iter().map(|redrive| ("RedrivePolicy", redrive.policy())));
        attributes
    }
}

impl Redrive {
    fn parse(policy: &str) -> Option<Self> {
        let policy: Value = serde_json::from_str(policy).ok()?;
        let count = &policy["maxReceiveCount"];
        // The service takes the number as a JSON number and as a string.
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
        Some(Self {
            dead_letter_queue: name_in_arn(policy["deadLetterTargetArn"].as_str()?)?.to_owned(),
            max_receive_count: u32::try_from(count).ok()?,
        })
    }

    pub(super) fn policy(&self) -> String {
        json!({
            "deadLetterTargetArn": arn(&self.dead_letter_queue),
            "maxReceiveCount": self.max_receive_count,
        })
        .to_string()
    }
}

pub(super) fn arn(queue: &str) -> String {
    format!("{ARN_PREFIX}{queue}")
}

pub(super) fn name_in_arn(arn: &str) -> Option<&str> {
    arn.strip_prefix(ARN_PREFIX)
}

pub(super) fn unknown_attribute(attribute: &str) -> Error {
    Code::InvalidAttributeName.because(format!("Unknown Attribute {attribute}."))
}

fn bad_attribute(attribute: &str) -> Error {
    Code::InvalidAttributeValue.because(format!("Invalid value for the parameter {attribute}."))
}
