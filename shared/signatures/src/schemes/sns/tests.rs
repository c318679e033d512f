//! Messages that OpenSSL signed.

use serde_json::{Value, json};

use super::*;

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:reports";
const URL: &str = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem";
const CERTIFICATE: &str = include_str!("../../../fixtures/sns/certificate.pem");
/// Of both versions: without a subject, with one, and a confirmation.
const SIGNED: &str = include_str!("../../../fixtures/sns/signed.jsonl");
const NOW_S: i64 = 1_800_000_000;

fn sns() -> Sns {
    let mut sns = Sns::new(&[TOPIC]).unwrap();
    sns.add_certificate(URL.parse().unwrap(), CERTIFICATE);
    sns
}

fn check(message: &Value) -> Result<(), VerifyError> {
    sns().check(message.to_string().as_bytes(), NOW_S)
}

fn signed() -> Vec<Value> {
    SIGNED.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_message_is_proved_as_it_is_and_with_no_part_of_it_changed() {
    assert_eq!(signed().len(), 6);
    for message in signed() {
        assert_eq!(check(&message), Ok(()), "{message}");
        for (name, value) in message.as_object().unwrap() {
            // What is not signed decides nothing that is.
            if matches!(name.as_str(), "SignatureVersion" | "SigningCertURL") {
                continue;
            }
            let mut other = message.clone();
            other[name] = format!("{}x", value.as_str().unwrap()).into();
            assert!(check(&other).is_err(), "{name} of {message}");
        }
        let mut other = message.clone();
        other["SignatureVersion"] = if message["SignatureVersion"] == "1" { "2" } else { "1" }.into();
        assert_eq!(check(&other), Err(VerifyError::BadSignature));
        other["SignatureVersion"] = "3".into();
        assert_eq!(check(&other), Err(VerifyError::BadBody));
    }
    // A subject that is put in, or taken away.
    let mut with = signed().remove(0);
    with["Subject"] = "new".into();
    let mut without = signed().remove(1);
    without.as_object_mut().unwrap().remove("Subject");
    assert_eq!([check(&with), check(&without)], [Err(VerifyError::BadSignature); 2]);
}

#[test]
fn a_certificate_is_fetched_of_sns_in_the_topics_own_region_alone() {
    let of = |url: &str, topic: &str| {
        let mut message = signed().remove(0);
        (message["SigningCertURL"], message["TopicArn"]) = (json!(url), json!(topic));
        sns().certificate_url(message.to_string().as_bytes())
    };
    assert_eq!(of(URL, TOPIC).unwrap().as_str(), URL);
    assert_eq!(of(URL, &format!("{TOPIC}2")), Err(VerifyError::BadSignature));
    for url in [
        URL.replace("https", "http"),
        URL.replace("eu-central-1", "us-east-1"),
        URL.replace("amazonaws.com/", "amazonaws.com.evil.example/"),
        URL.replace("amazonaws.com/", "amazonaws.com:8443/"),
        URL.replace("https://", "https://user@"),
        URL.replace("SimpleNotificationService-", "bucket/SimpleNotificationService-"),
        URL.replace("Service-", "Service-../"),
        URL.replace(".pem", ".pem?x=1"),
        URL.replace(".pem", ".pem#x"),
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-.pem".to_owned(),
        String::new(),
    ] {
        assert_eq!(of(&url, TOPIC), Err(VerifyError::BadBody), "{url}");
    }
}

#[test]
fn without_the_certificate_or_outside_its_time_nothing_is_proved() {
    let message = signed().remove(0).to_string();
    let bare = Sns::new(&[TOPIC]).unwrap();
    assert_eq!(bare.check(message.as_bytes(), NOW_S), Err(VerifyError::NoKeys));
    for now_s in [0, 1_700_000_000, 6_000_000_000, -1] {
        assert_eq!(sns().check(message.as_bytes(), now_s), Err(VerifyError::BadSignature), "{now_s}");
    }
    for pem in ["", "<html>", include_str!("../../../fixtures/paypal/certificate.pem")] {
        let mut other = Sns::new(&[TOPIC]).unwrap();
        other.add_certificate(URL.parse().unwrap(), pem);
        assert_eq!(other.check(message.as_bytes(), NOW_S), Err(VerifyError::BadSignature), "{pem:.20}");
    }
    for body in ["", "[]", "{}", "null", "{\"Type\": 1}"] {
        assert_eq!(sns().check(body.as_bytes(), NOW_S), Err(VerifyError::BadBody), "{body}");
    }
}

#[test]
fn a_key_is_the_arn_of_a_topic() {
    assert!(Sns::new(&["arn:aws-cn:sns:cn-north-1:123456789012:a.fifo"]).is_ok());
    for topic in
        ["", "a", "arn:aws:sqs:eu-central-1:1:a", "arn:aws:sns:a.evil/:1:a", "arn:aws:sns:eu-central-1:1:"]
    {
        assert!(Sns::new(&[topic]).is_err(), "{topic}");
    }
    assert!(Sns::new(&[]).is_err());
}
