//! Directives in prompts: the faults that a simulator injects.
//!
//! A prompt can contain any number of blocks `[[sim: key=value, key=value]]`. Only the simulators read
//! them; the functions do not. Without a block every call succeeds. A directive that does not apply to
//! a provider (a webhook at Runway, for example) has no effect there, so that one prompt works at all
//! providers. An unknown key or value is rejected at create with a message that names it. A provider may
//! have further directives: see its module.
//!
//! | Directive | Effect |
//! |---|---|
//! | `only=NAME` | the rest of this block applies only to that provider |
//! | `note=TEXT` | none: makes a prompt unique |
//! | `latency=S` | the remote job runs for S seconds (fractions allowed) |
//! | `create=refuse:401` | wrong key |
//! | `create=refuse:403-balance` | out of money, in the provider's words: fal 403 "User is locked", Runway 400 "not have enough credits" |
//! | `create=refuse:422` | broken input, in the provider's words: fal 422 `detail[]`, Runway 400 `issues[]` |
//! | `create=refuse:429\|500\|503` | rate limit, internal error, unavailable |
//! | `create=refuse:policy` | the prompt is refused: fal 422 `content_policy_violation`, Runway 400 |
//! | `create=drop-before` | the connection closes, nothing was stored |
//! | `create=drop-after` | the remote job exists and runs, the connection closes without an answer |
//! | `create=slow:S` | the remote job exists, its answer comes after S seconds of real time |
//! | `create=html` | 502 with an HTML page, nothing was stored |
//! | `create=accept-then:500\|502\|503\|504` | the remote job exists and runs, the answer is that status in the provider's words for an error of the server |
//! | `create=accept-then:html` | the remote job exists and runs, the answer is as of `create=html` |
//! | `create=same-id` | nothing is stored, the answer names the last remote job of the same endpoint, if there is one |
//! | `times=N` | `create=` applies to the first N creates with this prompt, later ones go well |
//! | `retry_after=N` | a refusal carries `Retry-After: N`; N may have one decimal |
//! | `retry_after=date:N` | a refusal carries the HTTP date in N seconds |
//! | `fail=content_policy\|internal\|invalid` | the run ends in that failure |
//! | `fail=no_code` | the run ends in a failure without a machine-readable code |
//! | `fail=internal-billed` | as `fail=internal`, and it is billed; fal, which bills no error of the server, returns a 422 |
//! | `status=backwards` | the middle third of the run is reported as queued again |
//! | `status=unknown\|empty\|html\|junk\|truncated` | polls in the middle third of the run: a status word of no list, an empty body, an HTML page, a megabyte of junk, JSON cut in half (each with HTTP 200) |
//! | `status=500\|403` | polls in the middle third of the run: an error of the server, or no permission, in the provider's words |
//! | `status=hang:S` | polls in the middle third of the run are answered after S seconds of real time |
//! | `status=invisible:S` | polls and cancels do not find the remote job for S seconds after its create |
//! | `status=404:S` | polls and cancels do not find the remote job for S seconds from the first third of its run on |
//! | `answer=no-file` | answers about the job name no file when it has succeeded |
//! | `answer=null\|number` | every part of the answers about the job that is no id, no status and no file is `null`, or a number |
//! | `answer=long` | the answers about the job have 1.5 MB of logs |
//! | `throttled=S` | S seconds pass before the run; Runway says `THROTTLED` |
//! | `cancel=ignored` | the cancellation is accepted and the remote job runs on to its end |
//! | `webhook=lost` | never sent |
//! | `webhook=twice` | sent again after it was accepted |
//! | `webhook=early` | the run takes no time, and the webhook comes before the create answer |
//! | `webhook=late:S` | sent S seconds after the change |
//! | `webhook=badsig` | the signature is of another body |
//! | `webhook=unsigned` | without the signature and its headers |
//! | `result=404\|422` | the call for the output of a finished job answers so |
//! | `result=500:N` | the first N calls for the output of a finished job answer 500 |
//! | `asset=404` | the media is not there |
//! | `asset=500:N` | the first N downloads answer 500 |
//! | `asset=503:N` | the first N downloads answer 503, with the `Retry-After` of `retry_after` |
//! | `asset=cut:N` | the first N downloads break off half-way |
//! | `asset=expired:S` | 403 from S seconds after the end (fal) or after the poll that gave the URL (Runway) |
//! | `asset=expired:S:404\|410` | as above, and another status |
//! | `asset=trickle:N` | the bytes come at N a second of real time |
//! | `asset=endless` | 4 MB a second, without a length and an end |
//! | `asset=half` | the first half, without a length, and then a proper end |
//! | `asset=slow` | the bytes trickle for about two seconds of real time |
//! | `asset=redirect` | 302 to a link-local address |
//! | `asset=html` | 200 with an HTML page in place of the media |
//! | `asset=other` | an image in place of a video, a video in place of an image |
//!
//! A fault profile (`Simulator::set_fault_profile`) consists of
//! the same directives: while active, it is prepended to every prompt. One directive is only for
//! profiles:
//!
//! | Directive | Effect |
//! |---|---|
//! | `all=…` | every call of any kind ends as `create=…` says, but for `slow` and `same-id` |

mod words;

use domain::provider::Provider;

use super::play::Play;
use words::{apply, pairs};

const OPEN: &str = "[[sim:";
const CLOSE: &str = "]]";

/// Whether this key and value are a directive of some provider's own.
pub(crate) type IsOwn = fn(&str, &str) -> bool;

/// Reads every block of the prompt that concerns the provider.
///
/// # Errors
///
/// A sentence that names the first unknown, malformed or unclosed directive, also in blocks for
/// other providers.
pub(crate) fn read(prompt: &str, provider: Provider, is_own: IsOwn) -> Result<Play, String> {
    let mut play = Play::default();
    let mut rest = prompt;
    while let Some(start) = rest.find(OPEN) {
        let block = &rest[start + OPEN.len()..];
        let end = block.find(CLOSE).ok_or_else(|| format!("{OPEN} without {CLOSE}"))?;
        let pairs = pairs(&block[..end])?;
        let mut only = None;
        let mut scratch = Play::default();
        for (key, value) in &pairs {
            match *key {
                "only" => only = Some(value.parse::<Provider>().map_err(|error| error.to_string())?),
                key => apply(&mut scratch, key, value, is_own)?,
            }
        }
        if only.is_none_or(|only| only == provider) {
            for (key, value) in pairs.iter().filter(|(key, _)| *key != "only") {
                apply(&mut play, key, value, is_own)?;
            }
        }
        rest = &block[end + CLOSE.len()..];
    }
    Ok(play)
}

/// The prompt without its blocks: the caption of the video.
pub(crate) fn caption(prompt: &str) -> String {
    let mut words = String::new();
    let mut rest = prompt;
    while let Some(start) = rest.find(OPEN) {
        words.push_str(&rest[..start]);
        rest = rest[start..].find(CLOSE).map_or("", |end| &rest[start + end + CLOSE.len()..]);
    }
    words.push_str(rest);
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::frame::play::{CreatePlay, Failure, Refusal, RetryAfter};

    fn read(prompt: &str, provider: Provider) -> Result<Play, String> {
        super::read(prompt, provider, |_, _| false)
    }

    #[test]
    fn a_prompt_without_blocks_plays_a_good_run() {
        assert_eq!(read("a paper boat", Provider::Fal), Ok(Play::default()));
    }

    #[test]
    fn several_blocks_are_read_together() {
        let play =
            read("a [[sim: latency=0.5, fail=internal]] b [[sim: retry_after=3]]", Provider::Fal).unwrap();
        assert_eq!(play.latency, Some(Duration::from_millis(500)));
        assert_eq!((play.fail, play.retry_after), (Some(Failure::Internal), Some(RetryAfter::Seconds(3))));
    }

    #[test]
    fn a_block_for_one_provider_leaves_the_others_alone() {
        let prompt = "x [[sim: only=fal, create=refuse:503]] [[sim: latency=2]]";
        let at_fal = read(prompt, Provider::Fal).unwrap();
        let at_runway = read(prompt, Provider::Runway).unwrap();
        assert_eq!(at_fal.create, CreatePlay::Refuse(Refusal::Unavailable));
        assert_eq!(at_runway, Play { latency: Some(Duration::from_secs(2)), ..Play::default() });
    }

    #[test]
    fn a_typing_error_is_refused_even_in_a_block_for_another_provider() {
        for block in [
            "latncy=1",
            "latency=soon",
            "latency=-1",
            "create=refuse:418",
            "create=html:1",
            "create=accept-then:200",
            "status=404",
            "status=418",
            "fail",
            "only=x",
        ] {
            let prompt = format!("x [[sim: only=runway, {block}]]");
            assert!(read(&prompt, Provider::Fal).is_err(), "{block} passed");
        }
        assert_eq!(read("x [[sim: latency=1", Provider::Fal), Err("[[sim: without ]]".into()));
    }

    #[test]
    fn the_caption_is_the_prompt_without_its_blocks() {
        assert_eq!(caption("a boat [[sim: latency=1]]  at sea [[sim: fail=internal]]"), "a boat at sea");
    }
}
