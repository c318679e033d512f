//! Identifiers of traces, by W3C Trace Context. All of a job's are derived from its id: whatever handles the
//! job knows them, and nothing carries or stores them.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use super::id::{JobId, named};

/// The trace of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

/// A span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

/// The header `traceparent`: a trace, and the span in it that calls. Ours are always sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    pub trace: TraceId,
    pub span: SpanId,
}

/// What texts name; never all zero, which would be no id.
fn of_texts<const N: usize>(texts: &[&str]) -> [u8; N] {
    let mut bytes = named(texts);
    bytes[N - 1] |= u8::from(bytes == [0; N]);
    bytes
}

impl TraceId {
    pub fn of_job(job: &JobId) -> Self {
        Self(of_texts(&["trace", job.as_str()]))
    }
}

impl SpanId {
    /// The root of a job's trace: the request that created it.
    pub fn of_job(job: &JobId) -> Self {
        Self::of(&["job", job.as_str()])
    }

    /// The span that these texts name.
    pub fn of(texts: &[&str]) -> Self {
        Self(of_texts(&[&["span"], texts].concat()))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace, self.span)
    }
}

/// A text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct InvalidTraceparent;

/// Bytes in lower-case hex; `None` if they are all zero.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes: [u8; N] = HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()?;
    (bytes != [0; N]).then_some(bytes)
}

impl FromStr for Traceparent {
    type Err = InvalidTraceparent;

    /// Of a later version, what version 00 has.
    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let parts: Vec<_> = text.trim().splitn(5, '-').collect();
        let (version, rest) = parts.split_first().ok_or(InvalidTraceparent)?;
        let is_version = *version == "00" || from_hex::<1>(version).is_some_and(|byte| byte != [0xff]);
        let &[trace, span, flags, ref more @ ..] = rest else { return Err(InvalidTraceparent) };
        let is_flags = flags == "00" || from_hex::<1>(flags).is_some();
        if !is_version || !is_flags || (*version == "00" && !more.is_empty()) {
            return Err(InvalidTraceparent);
        }
        let (trace, span) = from_hex(trace).zip(from_hex(span)).ok_or(InvalidTraceparent)?;
        Ok(Self { trace: TraceId(trace), span: SpanId(span) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_is_written_and_nothing_else_is_one() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(text.parse::<Traceparent>().unwrap().to_string(), text);
        let unsampled = text.replace("-01", "-00");
        assert_eq!(unsampled.parse::<Traceparent>().unwrap().to_string(), text);
        assert!(text.replacen("00", "cc", 1).parse::<Traceparent>().is_ok());
        assert!(format!("{}-more", text.replacen("00", "cc", 1)).parse::<Traceparent>().is_ok());
        for wrong in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
        ] {
            assert_eq!(wrong.parse::<Traceparent>(), Err(InvalidTraceparent), "{wrong}");
        }
    }

    #[test]
    fn a_job_has_one_trace_and_other_jobs_have_others() {
        let job = |byte| JobId::from_bytes([byte; 16]);
        assert_eq!(TraceId::of_job(&job(1)), TraceId::of_job(&job(1)));
        assert_ne!(TraceId::of_job(&job(1)), TraceId::of_job(&job(2)));
        assert_ne!(SpanId::of_job(&job(1)), SpanId::of(&[job(1).as_str()]));
        assert_ne!(SpanId::of(&["a", "b"]), SpanId::of(&["ab"]));
    }
}
