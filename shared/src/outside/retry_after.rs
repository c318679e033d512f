//! `Retry-After`, as servers send it.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::fmt::rfc2822;

use domain::time::Timestamp;

/// `Retry-After` as seconds, also with a fraction, or as an HTTP date in any of its forms; at most
/// `max`. `None` if absent or malformed.
pub(crate) fn retry_after(headers: &HeaderMap, max: Duration, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let span = if is_number {
        // Rounded up and saturated: an early call is refused again.
        Duration::from_secs(text.parse::<f64>().ok()?.ceil() as u64)
    } else {
        let date = httpdate::parse_http_date(text).ok().and_then(|date| jiff::Timestamp::try_from(date).ok());
        let date = date.or_else(|| Some(rfc2822::parse(text).ok()?.timestamp()))?;
        Timestamp::from_millis(date.as_millisecond()).since(now)
    };
    Some(span.min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(3_600);

    fn after(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        retry_after(&headers, MAX, Timestamp::from_secs(1_445_412_400)) // 2015-10-21 07:26:40
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        assert_eq!(after("30"), Some(Duration::from_secs(30)));
        for date in [
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "Wednesday, 21-Oct-15 07:28:00 GMT",
            "Wed Oct 21 07:28:00 2015",
            "Wed, 21 Oct 2015 07:28:00 +0000",
        ] {
            assert_eq!(after(date), Some(Duration::from_secs(80)), "{date}");
        }
        assert_eq!(after("Wed, 21 Oct 2015 07:00:00 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn a_fraction_is_rounded_up() {
        for (text, seconds) in [("1.5", 2), ("19.6", 20), ("299.997", 300), ("0.0", 0), ("7.", 7), (".2", 1)]
        {
            assert_eq!(after(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn a_mad_retry_after_is_capped_or_ignored() {
        for text in ["86400", "Wed, 21 Oct 2099 07:28:00 GMT", "99999999999999999999999"] {
            assert_eq!(after(text), Some(MAX), "{text}");
        }
        for text in ["", "soon", "-5", ".", "1.2.3", "1e3", "NaN", "inf"] {
            assert_eq!(after(text), None, "{text}");
        }
    }
}
