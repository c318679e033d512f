use super::*;

#[test]
fn a_message_names_its_version_and_nothing_of_the_job() {
    let message = Message::Settle {
        job_id: JobId::from_bytes([0; 16]),
        attempt: 1,
        remote: None,
        outcome: Some(Verdict::Gone),
        source: Source::Webhook,
        sender: None,
        asked: 0,
    };
    let text = serde_json::to_string(&message).unwrap();
    let want = r#"{"type":"settle.v1","job_id":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa","attempt":1,"outcome":{"verdict":"gone"},"source":"webhook"}"#;
    assert_eq!(text, want);
    assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
    assert!(text.contains(&format!(r#""type":"{}""#, message.kind())));
}

#[test]
fn a_message_has_only_characters_that_a_queue_takes() {
    let payload = serde_json::json!({"\u{ffff}": "\0\u{1f}\u{7f}\u{fffd}\u{fffe}\u{10ffff}"});
    let (account, source) = ("acct_a".parse().unwrap(), "hmac".parse().unwrap());
    let at = Timestamp::from_secs(0);
    let inbound = Inbound::new(account, source, "1".to_owned(), "a", at, Some(payload));
    let message = Message::Inbound(Box::new(inbound));
    let text = text("test", &message).unwrap();
    assert!(!text.contains(|c: char| c < ' ' || ['\u{fffe}', '\u{ffff}'].contains(&c)), "{text:?}");
    assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
}

#[test]
fn a_message_of_an_unknown_version_is_not_read_as_another() {
    let text = r#"{"type":"dispatch.v2","job_id":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
    assert!(serde_json::from_str::<Message>(text).is_err());
}
