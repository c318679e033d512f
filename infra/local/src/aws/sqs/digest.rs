//! The MD5s by which a sender checks that its message arrived whole.

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};

use super::message::Attributes;

pub(super) fn of_body(body: &str) -> String {
    HEXLOWER.encode(&Md5::digest(body))
}

/// The digest over names, types and values in order of name; none if there are no attributes.
pub(super) fn of_attributes(attributes: &Attributes) -> Option<String> {
    const TEXT: u8 = 1;
    const BINARY: u8 = 2;
    let mut md5 = Md5::new();
    for (name, attribute) in attributes {
        part(&mut md5, name.as_bytes());
        part(&mut md5, attribute.data_type.as_bytes());
        md5.update([if attribute.binary_value.is_some() { BINARY } else { TEXT }]);
        part(&mut md5, &attribute.value());
    }
    (!attributes.is_empty()).then(|| HEXLOWER.encode(&md5.finalize()))
}

fn part(md5: &mut Md5, bytes: &[u8]) {
    // A message is at most 1 MiB, so the length fits.
    md5.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    md5.update(bytes);
}
