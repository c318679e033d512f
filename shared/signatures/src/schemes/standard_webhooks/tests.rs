//! No bit of a signed delivery may change.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

const NOW_S: i64 = 1_700_000_000;
const KEY: [u8; 24] = [7; 24];

/// Id, timestamp and signatures, as sent.
type Values = [Vec<u8>; 3];

fn signed(id: &str, timestamp: &str, body: &[u8]) -> Values {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat());
    let signature = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
    [id, timestamp, &signature].map(|text| text.as_bytes().to_vec())
}

/// Bytes that no header can hold never arrive: they count as refused.
fn is_taken(values: &Values, body: &[u8]) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in NAMES.into_iter().zip(values) {
        let Ok(value) = HeaderValue::from_bytes(value) else { return false };
        headers.insert(HeaderName::from_static(name), value);
    }
    let old = Secret::new(format!("whsec_{}", BASE64.encode(&[9; 24])));
    let live = Secret::new(format!("whsec_{}", BASE64.encode(&KEY)));
    let sender = StandardWebhooks::new(&[old, live]).unwrap();
    sender.check(&headers, body, NOW_S).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_signed_is_taken_and_no_bit_of_it_may_change(
        id in "[!-~&&[^.]]{1,20}",
        offset in -300_i64..=300,
        body in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let values = signed(&id, &(NOW_S + offset).to_string(), &body);
        prop_assert!(is_taken(&values, &body));
        for part in 0..4 {
            let length = values.get(part).map_or(body.len(), Vec::len);
            for (at, bit) in (0..length).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let (mut values, mut body) = (values.clone(), body.clone());
                values.get_mut(part).unwrap_or(&mut body)[at] ^= 1 << bit;
                prop_assert!(!is_taken(&values, &body), "part {part}, byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn no_secret_and_an_empty_one_are_refused() {
    for secrets in [vec![], vec![Secret::new("")], vec![Secret::new("whsec_")], vec![Secret::new("whsec_!")]]
    {
        assert_eq!(StandardWebhooks::new(&secrets).err(), Some(BadKey), "{}", secrets.len());
    }
    assert_eq!(StandardWebhooks::ed25519(&[]).err(), Some(BadKey));
}
