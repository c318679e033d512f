//! Verification against known examples, foreign vectors, and every flipped bit.

use ed25519_dalek::{Signer, SigningKey};
use http::HeaderName;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW_S: i64 = 1_700_000_000;

/// A delivery with the headers in the order id, user, timestamp, signature.
#[derive(Debug, Clone)]
struct Delivery {
    headers: [Vec<u8>; 4],
    body: Vec<u8>,
}

impl Delivery {
    fn signed(id: &str, user: &str, timestamp: &str, body: &[u8]) -> Self {
        let digest = HEXLOWER.encode(&Sha256::digest(body));
        let text = format!("{id}\n{user}\n{timestamp}\n{digest}");
        let signature = HEXLOWER.encode(&signing_key().sign(text.as_bytes()).to_bytes());
        let headers = [id, user, timestamp, &signature].map(|text| text.as_bytes().to_vec());
        Self { headers, body: body.to_vec() }
    }

    fn headers(&self) -> Option<HeaderMap> {
        const NAMES: [&str; 4] = ["request-id", "user-id", "timestamp", "signature"];
        let mut headers = HeaderMap::new();
        for (name, value) in NAMES.iter().zip(&self.headers) {
            let name: HeaderName = format!("X-Fal-Webhook-{name}").parse().unwrap();
            headers.insert(name, http::HeaderValue::from_bytes(value).ok()?);
        }
        Some(headers)
    }

    fn check(&self) -> Result<(), VerifyError> {
        judge(&self.headers().unwrap(), &self.body, NOW_S, &keys())
    }
}

fn judge(headers: &HeaderMap, body: &[u8], now_s: i64, keys: &Jwks) -> Result<(), VerifyError> {
    check(keys, headers, body, now_s)
}

/// The first test key of RFC 8032.
fn signing_key() -> SigningKey {
    let seed = b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    SigningKey::from_bytes(&HEXLOWER.decode(seed).unwrap().try_into().unwrap())
}

fn keys() -> Jwks {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    Jwks::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap()
}

fn example() -> Delivery {
    Delivery::signed(
        "764cabcf-b745-4b3e-ae38-1200304cf45b",
        "github|123456",
        "1700000000",
        b"{\"status\":\"OK\"}",
    )
}

#[test]
fn the_published_example_is_genuine() {
    let id = "764cabcf-b745-4b3e-ae38-1200304cf45b";
    let body = format!(
        r#"{{"request_id":"{id}","gateway_request_id":"{id}","status":"OK","payload":{{"video":{{"url":"https://v3.fal.media/files/example/out.mp4"}}}}}}"#
    );
    let signed = Delivery::signed(id, "github|123456", "1700000000", body.as_bytes());
    let signature = "1d1d7c1d3980e84a4a1824255dd3ba1c237ff801bfd00c511b818da8f637e7c26237095fe10fcff647ca0c36029d56d76309c5ac4967694df29105d4432ad00f";
    assert_eq!(String::from_utf8_lossy(&signed.headers[3]), signature);
    assert_eq!(signed.check(), Ok(()));
}

#[test]
fn the_vectors_of_other_verifiers_are_judged_alike() {
    let mut count = 0;
    for line in include_str!("../../../../fixtures/fal/signatures.jsonl").lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in vector["headers"].as_object().unwrap() {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.as_str().unwrap().parse().unwrap());
        }
        let body = data_encoding::BASE64.decode(vector["body_b64"].as_str().unwrap().as_bytes()).unwrap();
        let keys = Jwks::parse(vector["jwks"].to_string().as_bytes()).unwrap();
        let result = judge(&headers, &body, vector["now_unix"].as_i64().unwrap(), &keys);
        assert_eq!(result.is_ok(), vector["expect"] == "accept", "{}: {result:?}", vector["reason"]);
        count += 1;
    }
    assert!(count >= 30, "{count} vectors");
}

/// The delivery with one bit flipped; and whether it still says the same, which only a
/// hexadecimal digit turned into a capital does.
fn flipped(delivery: &Delivery, part: usize, at: usize, bit: u8) -> (Delivery, bool) {
    let mut delivery = delivery.clone();
    let bytes = delivery.headers.get_mut(part).unwrap_or(&mut delivery.body);
    bytes[at] ^= 1 << bit;
    let same = part == 3 && bytes[at].is_ascii_uppercase() && bit == 5;
    (delivery, same)
}

/// Bytes that no header can hold never arrive: they count as refused.
fn is_taken(delivery: &Delivery) -> bool {
    delivery.headers().is_some_and(|headers| judge(&headers, &delivery.body, NOW_S, &keys()).is_ok())
}

#[test]
fn no_flipped_bit_is_taken() {
    let delivery = example();
    let lengths = delivery.headers.iter().chain([&delivery.body]).map(Vec::len);
    for (part, length) in lengths.enumerate() {
        for (at, bit) in (0..length).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let (flipped, same) = flipped(&delivery, part, at, bit);
            assert_eq!(is_taken(&flipped), same, "part {part}, byte {at}, bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_signed_is_taken_and_no_bit_of_it_may_change(
        id in "[!-~]{1,40}",
        user in "[!-~]{1,40}",
        body in prop::collection::vec(any::<u8>(), 1..200),
        part in 0_usize..5,
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let delivery = Delivery::signed(&id, &user, "1700000300", &body);
        prop_assert!(is_taken(&delivery));
        let at = at.index(delivery.headers.get(part).unwrap_or(&delivery.body).len());
        let (flipped, same) = flipped(&delivery, part, at, bit);
        prop_assert_eq!(is_taken(&flipped), same);
    }
}

#[test]
fn the_window_is_five_minutes_either_way_inclusive() {
    for (seconds, fresh) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
        let sent = (NOW_S + seconds).to_string();
        let result = Delivery::signed("a", "b", &sent, b"{}").check();
        assert_eq!(result, if fresh { Ok(()) } else { Err(VerifyError::Stale) }, "{seconds}");
    }
}

#[test]
fn a_timestamp_has_one_spelling() {
    for text in ["+1700000000", " 1700000000", "1700000000.0", "1_700_000_000", "99999999999999999999", "x"] {
        let result = Delivery::signed("a", "b", text, b"{}").check();
        assert!(result.is_err_and(VerifyError::is_stale_or_malformed), "{text}");
    }
}

#[test]
fn each_header_is_needed_once() {
    let whole = example().headers().unwrap();
    for name in whole.keys() {
        let mut headers = whole.clone();
        headers.append(name, whole[name].clone());
        let twice = judge(&headers, &example().body, NOW_S, &keys());
        assert!(matches!(twice, Err(VerifyError::Malformed(_))), "{name} twice: {twice:?}");
        headers.remove(name);
        let missing = judge(&headers, &example().body, NOW_S, &keys());
        assert!(matches!(missing, Err(VerifyError::MissingHeader(_))), "no {name}: {missing:?}");
    }
}

#[test]
fn forged_stale_and_unprovable_are_distinguished() {
    let mut forged = example();
    forged.body.push(b' ');
    assert_eq!(forged.check(), Err(VerifyError::BadSignature));
    assert!(!VerifyError::BadSignature.is_stale_or_malformed());
    let unprovable = judge(&example().headers().unwrap(), &example().body, NOW_S, &Jwks::default());
    assert_eq!(unprovable, Err(VerifyError::NoKeys));
    assert!(VerifyError::NoKeys.is_ours());
}
