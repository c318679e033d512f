//! Identifiers and times as the services write them.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use data_encoding::{BASE64, BASE64URL, HEXLOWER};
use domain::time::Timestamp;

/// A version 4 UUID.
pub(super) fn uuid() -> String {
    let mut bytes: [u8; 16] = random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = HEXLOWER.encode(&bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// An API Gateway request id: 16 characters that end in `=`.
pub(super) fn api_request_id() -> String {
    BASE64.encode(&random::<11>())
}

/// An id of a WebSocket connection: as `ZDb-VclrIAMCJ3w=`.
pub(super) fn connection() -> String {
    BASE64URL.encode(&random::<11>())
}

/// An X-Ray header for a new trace.
pub(super) fn trace(now: Timestamp) -> String {
    format!("Root=1-{:08x}-{}", now.as_secs(), HEXLOWER.encode(&random::<12>()))
}

/// `2015-10-08T16:53:06Z`.
pub(super) fn rfc_3339_seconds(time: Timestamp) -> String {
    written(time, Format::DateTime)
}

/// `08/Oct/2015:16:53:06 +0000`.
pub(super) fn common_log(time: Timestamp) -> String {
    let date = written(time, Format::HttpDate);
    match date.split_whitespace().collect::<Vec<_>>().as_slice() {
        [_, day, month, year, clock, _] => format!("{day}/{month}/{year}:{clock} +0000"),
        _ => date,
    }
}

fn written(time: Timestamp, format: Format) -> String {
    DateTime::from_secs(time.as_secs()).fmt(format).unwrap_or_else(|_| time.to_string())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
