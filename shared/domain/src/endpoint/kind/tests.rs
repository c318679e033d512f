//! Tests of kinds.

use super::*;

#[test]
fn events_go_to_port_443_or_above_1023() {
    let allowed = |text: &str| callback_url(text, Reach::Public).is_ok();
    for url in
        ["https://a.example", "https://a.example:443/x", "https://a.example:8443", "https://a.example:1024"]
    {
        assert!(allowed(url), "{url}");
    }
    for url in [
        "https://a.example:22",
        "https://a.example:1023",
        "https://a.example:80/",
        "https://a.example:0",
        "http://a.example:8080",
    ] {
        assert!(!allowed(url), "{url}");
    }
}

#[test]
fn a_chat_takes_its_own_addresses_alone() {
    let takes = |kind: Kind, url: &str| kind.address(url, Reach::Public).is_ok();
    assert!(takes(Kind::Slack, "https://hooks.slack.com/services/T0/B0/x"));
    assert!(takes(Kind::Discord, "https://discord.com/api/webhooks/1/x"));
    assert!(takes(Kind::Discord, "https://discord.com/api/v10/webhooks/1/x"));
    for (kind, url) in [
        (Kind::Slack, "https://hooks.slack.com.evil.example/services/T0/B0/x"),
        (Kind::Slack, "https://hooks.slack.com/other/T0"),
        (Kind::Slack, "https://discord.com/api/webhooks/1/x"),
        (Kind::Discord, "https://discord.com/channels/1"),
        (Kind::Discord, "https://discord.com/api/webhooks/1/x?wait=true"),
        (Kind::Discord, "http://127.0.0.1/api/webhooks/1/x"),
        // The last part is hidden, so that it must be the secret.
        (Kind::Slack, "https://hooks.slack.com/services/T0/B0/x/"),
        (Kind::Slack, "https://hooks.slack.com/services/T0/B0/x/more"),
        (Kind::Slack, "https://hooks.slack.com/services/T0/x"),
        (Kind::Slack, "https://hooks.slack.com/services/T0/B0/x#/"),
        (Kind::Slack, "https://hooks.slack.com/services/T0/B0/x%2Fy"),
        (Kind::Discord, "https://discord.com/api/webhooks/1/x/slack"),
        (Kind::Discord, "https://discord.com/api/webhooks/1/x/"),
        (Kind::Discord, "https://discord.com/api/webhooks/1"),
        (Kind::Discord, "https://discord.com/api/webhooks/1/x#a"),
    ] {
        assert!(!takes(kind, url), "{url}");
    }
}

#[test]
fn a_chat_of_telegram_is_a_number_or_a_name() {
    let takes = |chat: &str| Kind::Telegram.address(chat, Reach::Public).is_ok();
    for chat in ["1", "123456789", "-1001557912345", "@genmux_news"] {
        assert!(takes(chat), "{chat}");
    }
    for chat in [
        "",
        "-",
        "0",
        "-0",
        "01",
        "1.5",
        "+1",
        " 1",
        "1 ",
        "@",
        "@abc",
        "@1abcd",
        "@a-bcd",
        "abcde",
        "12345678901234567",
        "https://t.me/abcde",
    ] {
        assert!(!takes(chat), "{chat}");
    }
}

#[test]
fn a_mailbox_is_a_plain_address_at_a_public_host() {
    let takes = |text: &str| Kind::Email.address(text, Reach::Loopback);
    assert_eq!(takes("Anna.B+x@Mail.Example"), Ok("Anna.B+x@mail.example".to_owned()));
    let long = format!("{}@a.example", "x".repeat(65));
    for text in [
        "",
        "anna",
        "@a.example",
        "anna@",
        "anna@localhost",
        "anna@a.local",
        "anna@[127.0.0.1]",
        "anna@127.0.0.1",
        "anna@a.example.",
        "anna@a.example/x",
        "anna@a.example:25",
        "anna@a..example",
        ".anna@a.example",
        "an..na@a.example",
        "\"anna\"@a.example",
        "an na@a.example",
        "anna@a.example, bert@a.example",
        "anna@a.example\r\nBcc: bert@a.example",
        "Anna <anna@a.example>",
        "anna@b@a.example",
        "änna@a.example",
        "anna@bücher.example",
        &long,
    ] {
        assert!(takes(text).is_err(), "{text}");
    }
}

#[test]
fn a_target_is_the_arn_of_its_service() {
    let takes = |kind: Kind, text: &str| kind.address(text, Reach::Public).is_ok();
    for (kind, arn) in [
        (Kind::Sns, "arn:aws:sns:eu-central-1:123456789012:events"),
        (Kind::Sns, "arn:aws-us-gov:sns:us-gov-west-1:123456789012:events.fifo"),
        (Kind::Sqs, "arn:aws:sqs:us-east-1:123456789012:a-queue_1"),
        (Kind::Eventbridge, "arn:aws:events:us-east-1:123456789012:event-bus/default"),
        (Kind::Lambda, "arn:aws:lambda:us-east-1:123456789012:function:f"),
        (Kind::Lambda, "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST"),
    ] {
        assert!(takes(kind, arn), "{arn}");
        let others = [Kind::Sns, Kind::Sqs, Kind::Eventbridge, Kind::Lambda, Kind::Webhook, Kind::Email];
        assert!(others.into_iter().filter(|other| *other != kind).all(|other| !takes(other, arn)), "{arn}");
    }
    for arn in [
        "arn:aws:sqs:us-east-1:123456789012:",
        "arn:aws:sqs:us-east-1:123456789012:*",
        "arn:aws:sqs:us-east-1:123456789012:a/b",
        "arn:aws:sqs:us-east-1:123456789012:a:b",
        "arn:aws:sqs::123456789012:a",
        "arn:aws:sqs:evil.example/x:123456789012:a",
        "arn:aws:sqs:us-east-1:12345678901:a",
        "arn:aws:sqs:us-east-1:12345678901x:a",
        "arn:aws-cn:sqs:cn-north-1:123456789012:a",
        " arn:aws:sqs:us-east-1:123456789012:a",
        "arn:aws:sqs:us-east-1",
    ] {
        assert!(!takes(Kind::Sqs, arn), "{arn}");
    }
}

#[test]
fn a_phone_has_an_international_number() {
    let takes = |number: &str| Kind::Sms.address(number, Reach::Public).is_ok();
    for number in ["+15005550006", "+4915123456789", "+1234567", "+123456789012345"] {
        assert!(takes(number), "{number}");
    }
    for number in [
        "",
        "+",
        "15005550006",
        "+05005550006",
        "+1 500 5550006",
        "+1-500-5550006",
        "+123456",
        "+1234567890123456",
        "+1500555000a",
        "+１５００５５５０００６",
    ] {
        assert!(!takes(number), "{number}");
    }
}

#[test]
fn a_device_has_the_token_of_its_vendor() {
    let takes = |kind: Kind, text: &str| kind.address(text, Reach::Public);
    let token = format!("{}:APA91b{}", "c".repeat(22), "x-_".repeat(40));
    assert_eq!(takes(Kind::Fcm, &token), Ok(token.clone()));
    let device = "0123456789ABCDEF".repeat(4);
    assert_eq!(takes(Kind::Apns, &device), Ok(device.to_ascii_lowercase()));
    let endpoint =
        "arn:aws:sns:us-east-1:123456789012:endpoint/GCM/app.a/12345678-abcd-abcd-abcd-123456789012";
    assert!(takes(Kind::SnsPush, endpoint).is_ok() && takes(Kind::Sns, endpoint).is_err());
    for (kind, text) in [
        (Kind::Fcm, "short"),
        (Kind::Fcm, &*format!("{token}/x")),
        (Kind::Fcm, &"x".repeat(1_025)),
        (Kind::Apns, &device[1..]),
        (Kind::Apns, &format!("{device}/../x")),
        (Kind::Apns, &"g".repeat(64)),
        (Kind::SnsPush, "arn:aws:sns:us-east-1:123456789012:app/GCM/app"),
        (Kind::SnsPush, "arn:aws:sns:us-east-1:123456789012:endpoint/GCM/app/*"),
        (Kind::SnsPush, "arn:aws:sns:us-east-1:123456789012:events"),
    ] {
        assert!(takes(kind, text).is_err(), "{text}");
    }
}

#[test]
fn what_is_at_google_has_a_name_or_a_host_of_googles() {
    let takes = |kind: Kind, text: &str| kind.address(text, Reach::Public).is_ok();
    assert!(takes(Kind::Pubsub, "projects/my-project/topics/a.b_c-1"));
    for name in [
        "my-topic",
        "projects/my-project/topics/",
        "projects/my-project/topics/go",
        "projects/my-project/topics/goog-a",
        "projects/my-project/topics/a/b",
        "projects/my-project/topics/abc:publish",
        "projects/my-project/subscriptions/abc",
        "projects/../topics/abc",
    ] {
        assert!(!takes(Kind::Pubsub, name), "{name}");
    }
    assert!(takes(Kind::CloudRun, "https://events-abc-ew.a.run.app/genmux"));
    assert!(takes(Kind::CloudRun, "https://europe-west1-my-project.cloudfunctions.net/genmux"));
    for url in [
        "https://a.example/genmux",
        "https://run.app.evil.example/",
        "https://evilrun.app/",
        "http://a.run.app/",
        "https://a.run.app/?x=1",
        "https://a.run.app/#x",
    ] {
        assert!(!takes(Kind::CloudRun, url), "{url}");
    }
}
