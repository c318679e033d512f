//! Tags of our own, for values that come back in a URL: HMAC-SHA256, cut to 128 bits.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Secret, Verified, VerifyError};

/// The length of a tag.
pub const BYTES: usize = 16;

/// The tag of these parts, one after another. Their division is not covered: it must follow from what
/// they say.
pub fn sign(secret: &Secret, parts: &[&[u8]]) -> [u8; BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("an HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    let mut tag = [0; BYTES];
    tag.copy_from_slice(&mac.finalize().into_bytes()[..BYTES]);
    tag
}

/// Proves that one of the secrets made this tag of these parts.
pub fn verify(secrets: &[Secret], parts: &[&[u8]], tag: &[u8]) -> Result<Verified<()>, VerifyError> {
    let genuine = secrets.iter().any(|secret| bool::from(sign(secret, parts).as_slice().ct_eq(tag)));
    if genuine { Ok(Verified(())) } else { Err(VerifyError::BadToken) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_start_of_an_hmac_and_any_secret_verifies_it() {
        // RFC 4231, test case 2.
        let tag = data_encoding::HEXLOWER.decode(b"5bdcc146bf60754e6a042426089575c7").unwrap();
        let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        assert_eq!(sign(&Secret::new("Jefe"), &parts).as_slice(), tag);
        let secrets = [Secret::new("new"), Secret::new("Jefe")];
        assert!(verify(&secrets, &parts, &tag).is_ok());
        let refused = Err(VerifyError::BadToken);
        assert_eq!(verify(&secrets[..1], &parts, &tag), refused);
        assert_eq!(verify(&secrets, &parts[..1], &tag), refused);
        assert_eq!(verify(&secrets, &parts, &tag[..BYTES - 1]), refused);
        assert_eq!(verify(&secrets, &parts, &[]), refused);
    }
}
