//! `--image`: what is read, what is uploaded, and how.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::upload::BYTES_MAX;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::server::{ID, Server, genmux, here, http, ok, refused};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0sum!";

/// An API that takes everything, and whose store answers each call by its number.
fn api(store: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Server {
    let calls = AtomicUsize::new(0);
    Server::start(move |request| {
        if request.starts_with("POST /store") {
            assert!(!request.contains("secret-key"), "the store gets no key");
            assert!(request.contains("name=\"policy\"") && request.contains("IHDR"), "{request}");
            return Some(store(calls.fetch_add(1, Ordering::Relaxed)));
        }
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
        let form = json!({"id": "any", "url": format!("http://{host}/store"), "fields": {"policy": "p"}});
        let answer = match request.starts_with("POST /v1/uploads") {
            true => form,
            false => json!({"id": ID, "price_credits": "104", "status": "queued"}),
        };
        Some(ok(answer.to_string()))
    })
}

fn stored(_: usize) -> Vec<u8> {
    http("204 No Content", "", b"")
}

fn png(folder: &Path) -> String {
    fs::write(folder.join("boat.png"), PNG).expect("a folder");
    data_encoding::HEXLOWER.encode(&Sha256::digest(PNG))
}

/// The first lines of requests, without the version.
fn lines(api: &Server) -> Vec<String> {
    let requests = api.requests();
    let line = |request: &String| request.split(" HTTP/").next().unwrap_or_default().to_owned();
    requests.iter().map(line).collect()
}

#[test]
fn a_quote_names_a_file_without_its_upload() {
    let (api, folder) = (api(stored), here());
    let sha256 = png(folder.path());
    assert!(genmux(folder.path(), &api.url, &["quote", "a", "--image", "boat.png"]).status.success());
    assert_eq!(lines(&api), ["POST /v1/quotes"]);
    let named = json!({"upload": sha256}).to_string();
    assert!(api.requests()[0].contains(&named), "{:?}", api.requests());

    assert!(genmux(folder.path(), &api.url, &["submit", "a", "--image", "boat.png"]).status.success());
    assert_eq!(lines(&api)[1..], ["POST /v1/uploads", "POST /store", "POST /v1/jobs"]);
    assert!(api.requests()[3].contains(&named), "{:?}", api.requests());
}

#[test]
fn what_is_no_image_of_a_file_is_refused_before_any_call() {
    let (api, folder) = (api(stored), here());
    let path = folder.path();
    fs::write(path.join("text"), "a text").unwrap();
    assert!(Command::new("mkfifo").arg(path.join("pipe")).status().unwrap().success());
    for (name, bytes) in [("largest", BYTES_MAX), ("larger", BYTES_MAX + 1), ("huge", BYTES_MAX << 10)] {
        fs::write(path.join(name), PNG).unwrap();
        File::options().write(true).open(path.join(name)).unwrap().set_len(bytes).unwrap();
    }
    for (file, why) in [
        ("/dev/zero", "is not a regular file"),
        ("pipe", "is not a regular file"),
        (".", "is not a regular file"),
        ("absent", "cannot be read"),
        ("text", "is not a PNG, JPEG or WebP image"),
        ("larger", "an image may have 10485760 bytes"),
        ("huge", "an image may have 10485760 bytes"),
    ] {
        for command in ["quote", "submit"] {
            let error = refused(path, &api.url, &[command, "a", "--image", file]);
            assert!(error.contains(&format!("{file} ")) && error.contains(why), "{file}: {error}");
        }
    }
    png(path);
    for key in ["", "\"\"", "a,b", "a\nb", "ä", &"a".repeat(256)] {
        let submit = ["submit", "a", "--image", "boat.png", "--idempotency-key", key];
        let error = refused(path, &api.url, &submit);
        assert!(error.contains("visible ASCII characters"), "{key:?}: {error}");
    }
    refused(path, &api.url, &["submit", "a", "--image", "boat.png", "--set", "image=null"]);
    assert_eq!(lines(&api), Vec::<String>::new());
    assert!(genmux(path, &api.url, &["quote", "a", "--image", "largest"]).status.success());
}

#[test]
fn a_url_of_any_case_is_no_file() {
    let (api, folder) = (api(stored), here());
    let url = "HTTPS://a.example/a.png";
    assert!(genmux(folder.path(), &api.url, &["submit", "a", "--image", url]).status.success());
    assert_eq!(lines(&api), ["POST /v1/jobs"]);
    assert!(api.requests()[0].contains(&json!({"url": url}).to_string()), "{:?}", api.requests());
}

#[test]
fn the_post_to_the_store_is_repeated_while_that_may_help() {
    let folder = here();
    let path = folder.path();
    png(path);
    let submit = ["submit", "a", "--image", "boat.png"];
    let passing = api(|call| match call {
        0 => http("503 Slow Down", "", b""),
        // An answer that breaks off.
        1 => b"HTTP/1.1 2".to_vec(),
        call => stored(call),
    });
    let ended = genmux(path, &passing.url, &submit);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(
        lines(&passing),
        ["POST /v1/uploads", "POST /store", "POST /store", "POST /store", "POST /v1/jobs"]
    );

    let other = api(stored);
    let location = format!("location: {}/store\r\n", other.url);
    for (answer, status) in [
        (http("403 Forbidden", "", b"<Code>AccessDenied</Code>"), "403"),
        (http("307 Temporary Redirect", &location, b""), "307"),
    ] {
        let refusing = api(move |_| answer.clone());
        let error = refused(path, &refusing.url, &submit);
        assert!(error.contains(&format!("the store refuses boat.png: {status}")), "{error}");
        assert_eq!(lines(&refusing), ["POST /v1/uploads", "POST /store"]);
    }
    assert_eq!(lines(&other), Vec::<String>::new());
}
