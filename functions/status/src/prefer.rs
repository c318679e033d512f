//! `Prefer` (RFC 7240): unreadable preferences are ignored.

use std::time::Duration;

use lambda_http::http::HeaderMap;

/// How long the request may wait for a change: the first `wait`.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let (_, seconds) = values.flat_map(|value| split(value, ',')).find_map(|preference| {
        // `wait` has no parameters after a semicolon.
        let preference = split(preference, ';').next()?;
        let (name, value) = preference.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| (name, value.trim()))
    })?;
    let quoted = seconds.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let seconds = quoted.unwrap_or(seconds);
    if seconds.is_empty() || !seconds.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // Too many digits mean the maximum.
    Some(Duration::from_secs(seconds.parse().unwrap_or(u64::MAX)))
}

/// The parts between unquoted separators.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            '\\' => escaped = quoted && !was_escaped,
            '"' if !was_escaped => quoted = !quoted,
            _ => {}
        }
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use lambda_http::http::HeaderValue;

    use super::*;

    fn of(values: &[&'static str]) -> Option<u64> {
        let values = values.iter().map(|value| HeaderValue::from_static(value));
        let headers = values.map(|value| ("prefer".parse().unwrap(), value)).fold(
            HeaderMap::new(),
            |mut headers, (name, value): (lambda_http::http::HeaderName, _)| {
                headers.append(name, value);
                headers
            },
        );
        wait(&headers).map(|span| span.as_secs())
    }

    #[test]
    fn a_wait_is_read_in_every_form_that_it_may_have() {
        for value in [
            "wait=1",
            "Wait=1",
            "WAIT=1",
            "wait = 1",
            "wait\t=\t1",
            "wait=\"1\"",
            "wait=01",
            "wait=1; foo=bar",
            "wait=1;foo=\"a, wait=9\"",
            "respond-async, wait=1",
            "respond-async,wait=1,wait=2",
            "handling=lenient; wait=5, wait=1",
            "foo=\"a, wait=9\", wait=1",
            "foo=\"a\\\", wait=9\", wait=1",
            ", wait=1",
        ] {
            assert_eq!(of(&[value]), Some(1), "{value}");
        }
        assert_eq!(of(&["respond-async", "wait=1"]), Some(1));
        assert_eq!(of(&["wait=99999999999999999999999"]), Some(u64::MAX));
        assert_eq!(of(&["wait=0"]), Some(0));
    }

    #[test]
    fn an_unreadable_preference_is_ignored() {
        for value in [
            "",
            "wait",
            "wait=",
            "wait=soon",
            "wait=-1",
            "wait=+1",
            "wait=1.5",
            "wait=1s",
            "waits=1",
            "wait=\"1",
        ] {
            assert_eq!(of(&[value]), None, "{value}");
        }
        assert_eq!(of(&[]), None);
    }
}
