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
