//! Tests of endpoints.

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId::from_bytes([1; 16]),
        account: "acct_anna".parse().unwrap(),
        kind: Kind::Webhook,
        address: "https://example.com/hook".to_owned(),
        types: vec!["job.*".parse().unwrap()],
        description: None,
        v1a: false,
        status: Status::Enabled,
        disabled_reason: None,
        secrets: Secrets::default(),
        health: Health::default(),
        extras: None,
        version: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

const LATER: Outcome = Outcome::Later { wait: None };

fn failing(times: u32) -> Endpoint {
    (0..times).fold(endpoint(), |endpoint, _| endpoint.after(LATER, NOW, NOW).unwrap())
}

#[test]
fn a_failing_endpoint_is_tried_by_one_delivery_for_each_pause() {
    assert_eq!(failing(FAILURES_MAX - 1).admit(NOW), Admission::Send);
    let failing = failing(FAILURES_MAX);
    assert_eq!(failing.admit(NOW), Admission::Hold);
    let later = NOW + PROBE_FIRST;
    let Admission::Probe(probing) = failing.admit(later) else { panic!("a probe") };
    // Another delivery at the same time loses the race for this version, or waits.
    assert_eq!((probing.version, probing.admit(later)), (failing.version + 1, Admission::Hold));
    let well = probing.after(Outcome::Delivered, later, later).unwrap();
    assert_eq!(well.admit(later), Admission::Send);
    assert!(failing.recovers_to(&well) && !endpoint().recovers_to(&well));
}

#[test]
fn pauses_grow_to_five_minutes() {
    let seconds: Vec<_> = (5..11).map(|failures| probe_pause(failures).as_secs()).collect();
    assert_eq!(seconds, [30, 60, 120, 240, 300, 300]);
    assert_eq!(probe_pause(u32::MAX), PROBE_MAX);
}

#[test]
fn it_is_disabled_by_120_hours_of_failures_alone_or_by_gone_at_once() {
    let failing = failing(1);
    let almost = NOW + FAILING_MAX.saturating_sub(Duration::from_secs(1));
    assert_eq!(failing.after(LATER, almost, almost).unwrap().status, Status::Enabled);
    let disabled = failing.after(LATER, NOW, NOW + FAILING_MAX).unwrap();
    assert_eq!((disabled.status, disabled.disabled_reason), (Status::Disabled, Some(Reason::Failing)));
    assert_eq!(disabled.version, failing.version + 1);
    assert!(failing.is_disabled_by(&disabled) && !disabled.is_disabled_by(&disabled));
    // One success in between, and the hours count anew.
    let well = failing.after(Outcome::Delivered, NOW, almost).unwrap();
    assert_eq!(well.after(LATER, NOW, NOW + FAILING_MAX).unwrap().status, Status::Enabled);
    let gone = endpoint().after(Outcome::Gone, NOW, NOW).unwrap();
    assert_eq!((gone.status, gone.disabled_reason), (Status::Disabled, Some(Reason::Gone)));
    assert_eq!(gone.admit(NOW), Admission::Skip);
    let back = gone.changed(NOW, |next| next.status = Status::Enabled);
    assert_eq!((back.disabled_reason, back.admit(NOW)), (None, Admission::Send));
}

#[test]
fn a_healthy_endpoint_is_not_written_for_each_delivery() {
    let well = endpoint().after(Outcome::Delivered, NOW, NOW).unwrap();
    assert_eq!(well.health.last_success_at, Some(NOW));
    assert_eq!(well.after(Outcome::Delivered, NOW, NOW + Duration::from_secs(3_599)), None);
    assert!(well.after(Outcome::Delivered, NOW, NOW + SUCCESS_EVERY).is_some());
    assert_eq!(well.after(Outcome::Never, NOW, NOW), None);
}

#[test]
fn two_secrets_sign_during_the_grace_period() {
    let hour = Duration::from_secs(3_600);
    let active = |secrets: Secrets, at: Timestamp| secrets.active(at).collect::<Vec<_>>();
    let first = Secrets::default();
    assert_eq!(active(first, NOW), [1]);
    let second = first.rotated(hour, NOW).unwrap();
    assert_eq!(active(second, NOW), [2, 1]);
    assert_eq!(active(second, NOW + hour), [2]);
    // The one before the last was promised until then; only without grace does it end at once.
    let soon = NOW + Duration::from_secs(3_599);
    assert_eq!(second.rotated(hour, soon), Err(NOW + hour));
    assert_eq!(active(second.rotated(Duration::ZERO, soon).unwrap(), soon), [3]);
    assert_eq!(active(second.rotated(hour, NOW + hour).unwrap(), NOW + hour), [3, 2]);
    assert_eq!(first.rotated(Duration::MAX, NOW).unwrap().previous_until, Some(NOW + GRACE_MAX));
}

#[test]
fn a_try_from_before_it_was_enabled_again_or_moved_says_nothing_of_it() {
    let later = NOW + Duration::from_secs(10);
    let gone = endpoint().after(Outcome::Gone, NOW, NOW).unwrap();
    let back = gone.changed(later, |next| next.status = Status::Enabled);
    let moved = failing(FAILURES_MAX).changed(later, |next| next.address = "https://b.example".to_owned());
    assert_eq!(moved.admit(later), Admission::Send);
    for endpoint in [back, moved] {
        for outcome in [Outcome::Gone, LATER, Outcome::Delivered] {
            assert_eq!(endpoint.after(outcome, NOW, later), None, "{outcome:?}");
            let next = endpoint.after(outcome, later, later).unwrap();
            assert_eq!(next.after(Outcome::Gone, NOW, later), None, "it stays so");
        }
    }
    let described = failing(FAILURES_MAX).changed(later, |next| next.description = Some("ours".to_owned()));
    assert_eq!(described.admit(NOW), Admission::Hold);
}

#[test]
fn a_failing_endpoint_rests_as_long_as_it_asks() {
    let asked = Outcome::Later { wait: Some(Duration::from_secs(7_200)) };
    let failing = failing(FAILURES_MAX - 1).after(asked, NOW, NOW).unwrap();
    assert_eq!(failing.health.probe_at, Some(NOW + Duration::from_secs(7_200)));
}

#[test]
fn a_report_ends_an_endpoint_at_the_address_that_it_is_about() {
    let anna = || Endpoint { kind: Kind::Email, address: "Anna@a.example".to_owned(), ..endpoint() };
    for fate in Fate::ALL {
        let after = anna().after_report(fate, "anna@a.example", NOW);
        let reason = after.as_ref().and_then(|after| after.disabled_reason);
        let expected = match fate {
            Fate::Bounced => Some(Reason::Bounced),
            Fate::Unsubscribed => Some(Reason::Unsubscribed),
            Fate::Complained => Some(Reason::Complained),
            Fate::Sent | Fate::Delayed | Fate::Failed | Fate::Delivered => None,
        };
        assert_eq!(reason, expected, "{fate:?}");
        let Some(ended) = after else { continue };
        assert_eq!((ended.status, ended.may_be_enabled()), (Status::Disabled, false));
        assert_eq!(ended.after_report(fate, "anna@a.example", NOW), None, "a repeat changes nothing");
        let moved = ended.changed(NOW, |next| next.move_to("bert@a.example"));
        assert_eq!((moved.status, moved.may_be_enabled()), (Status::Paused, true));
        // A late report of what was sent to the address before.
        assert_eq!(moved.after_report(fate, "anna@a.example", NOW), None);
    }
    assert_eq!(endpoint().after_report(Fate::Bounced, "https://example.com/hook", NOW), None, "a webhook");
}

#[test]
fn of_what_costs_money_ten_are_sent_on_request_in_an_hour() {
    let mut phone = Endpoint { kind: Kind::Sms, ..endpoint() };
    let minutes = |n: u64| NOW + Duration::from_secs(60 * n);
    for n in 0..10 {
        phone = phone.extra(minutes(n)).unwrap().unwrap();
    }
    assert_eq!(phone.extra(minutes(10)), Err(Duration::from_secs(50 * 60)));
    assert_eq!(phone.extra(minutes(59)), Err(Duration::from_secs(60)));
    assert!(phone.extra(minutes(60)).is_ok());
    // A webhook costs nothing.
    assert_eq!(endpoint().extra(NOW), Ok(None));
}
