use super::*;

fn refusal(text: &str) -> Option<&'static str> {
    PublicUrl::parse(text, Reach::Public).err()
}

#[test]
fn a_url_is_kept_as_its_parser_writes_it() {
    for (text, kept) in [
        ("https://example.com/a.png", "https://example.com/a.png"),
        ("HTTPS://Example.COM:443/a/../b.png?x=1&y=%20#end", "https://example.com/b.png?x=1&y=%20#end"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com./a", "https://example.com./a"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://example.com:8443/a", "https://example.com:8443/a"),
        ("https://a_b.example/@user", "https://a_b.example/@user"),
        ("https://1.1.1.1/a", "https://1.1.1.1/a"),
        ("https://0x01010101/a", "https://1.1.1.1/a"),
        ("https://[2606:4700::1111]/a", "https://[2606:4700::1111]/a"),
        ("https://%65xample.com/", "https://example.com/"),
    ] {
        assert_eq!(PublicUrl::parse(text, Reach::Public).as_deref(), Ok(kept), "{text}");
    }
}

#[test]
fn what_only_a_browser_forgives_is_refused() {
    for text in [
        "",
        "a.png",
        "/a.png",
        "//example.com/a.png",
        "https:example.com/a.png",
        "https:/example.com/a.png",
        "https:///example.com/a.png",
        "https:////example.com/a.png",
        "https://",
        "https://?a",
        "https://#a",
        "https:\\\\example.com\\a.png",
        "https://example.com\\a.png",
        "https://example.com/?a\\b",
        " https://example.com/",
        "https://example.com/ ",
        "https://example.com/a b.png",
        "https://example.com/a\u{a0}b.png",
        "https://example.com/\t",
        "https://example.com/\r\nX: y",
        "https://exa\nmple.com/",
        "https://example.com/\0",
        "https://example.com/\u{85}",
        "\u{2028}https://example.com/",
        "https://example.com:99999/",
        "https://exam<ple.com/",
        "x://y https://example.com/",
        "https:example.com/://a",
        "https:/example.com/://a",
    ] {
        assert!(refusal(text).is_some(), "{text:?}");
    }
}

#[test]
fn only_https_without_a_user_is_taken() {
    for text in [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript://example.com/%0aalert(1)",
        "data:image/png;base64,AA==",
        "gs://bucket.example/a",
        "https://user@example.com/",
        "https://:pw@example.com/",
        "https://user:pw@example.com/",
        "https://@example.com/",
        "https://:@example.com/",
        "https://example.com@evil.example/",
    ] {
        assert!(refusal(text).is_some(), "{text}");
    }
}

/// One a line: every spelling is refused here, and by the client of channels.
const FORBIDDEN: &str = include_str!("forbidden_addresses.txt");

#[test]
fn no_spelling_of_a_forbidden_address_is_taken() {
    assert_eq!(FORBIDDEN.lines().count(), 160);
    for text in FORBIDDEN.lines() {
        assert!(refusal(text).is_some(), "{text}");
    }
}

#[test]
fn names_that_are_no_public_ones_are_refused() {
    for host in [
        "vllm-internal.local",
        "vllm.local.",
        "a..example",
        ".example.com",
        "example.com..",
        ".",
        "a.example..",
        "a!b.example",
    ] {
        assert!(refusal(&format!("https://{host}/")).is_some(), "{host}");
    }
    let long = format!("https://{}.example/", "x".repeat(64));
    assert!(refusal(&long).is_some());
    for host in ["mylocal.example", "local.example", "internal.example.com", "thelocalhost.com"] {
        assert_eq!(refusal(&format!("https://{host}/")), None, "{host}");
    }
}

#[test]
fn addresses_that_are_not_public_are_refused_however_they_are_written() {
    for host in [
        "0x7f.1",
        "0177.0.0.1",
        "[2001:0:7f00:1::]",
        "[100:0:0:1::1]",
        "[1000::1]",
        "[8000::1]",
        "[e000::1]",
        "[2600::200:5efe:127.0.0.1]",
    ] {
        assert!(refusal(&format!("https://{host}/a")).is_some(), "{host}");
    }
}

#[test]
fn every_range_parses_and_only_public_addresses_pass() {
    for range in NOT_PUBLIC {
        let net: IpNet = range.parse().unwrap();
        assert!(!is_public(net.addr()) && !is_public(net.broadcast()), "{range}");
    }
    for ip in ["1.1.1.1", "52.95.110.1", "2606:4700::1111", "2a00::1", "100.63.255.255", "172.32.0.1"] {
        assert!(is_public(ip.parse().unwrap()), "{ip}");
    }
}

#[test]
fn this_machine_is_reached_by_the_local_stack_alone() {
    for text in [
        "http://127.0.0.1:9/a.png",
        "http://localhost:8000/a.png",
        "http://LOCALHOST/a",
        "https://[::1]/a",
        "http://0x7f.1/",
    ] {
        assert!(refusal(text).is_some(), "{text}");
        assert!(PublicUrl::parse(text, Reach::Loopback).is_ok(), "{text}");
    }
    for text in [
        "http://10.0.0.1/a",
        "https://10.0.0.1/a",
        "http://example.com/a",
        "https://printer/a",
        "http://a.localhost/",
    ] {
        assert!(PublicUrl::parse(text, Reach::Loopback).is_err(), "{text}");
    }
}

#[test]
fn its_length_is_that_of_what_is_sent() {
    let url = |letter: &str, bytes: usize| {
        let start = "https://example.com/";
        format!("{start}{}", letter.repeat((bytes - start.len()) / letter.len()))
    };
    assert_eq!(refusal(&url("x", 2_048)), None);
    assert!(refusal(&url("x", 2_049)).is_some());
    assert!(refusal(&url("ü", 2_048)).is_some(), "three times as long once it is encoded");
    assert!(ALLOWED.contains(&URL_BYTES_MAX.to_string()));
}

#[test]
fn what_an_earlier_release_took_can_still_be_read() {
    let url: PublicUrl = serde_json::from_str(r#""https:a.example""#).unwrap();
    assert_eq!(serde_json::to_string(&url).unwrap(), r#""https:a.example""#);
}
